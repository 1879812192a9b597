"""Turns what gperftools left, a .heap dump and the heap checker's log, into the rows of a report."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.heap_text import parse_heap
from memtui_parsers.heapcheck_log import HeapcheckLog, check_sentence, parse_heapcheck_log, report_from_log
from memtui_parsers.heapcheck_notes import STACKS_NOT_SEARCHED
from memtui_parsers.leak_id import is_runtime_module
from memtui_parsers.values import HeapProfile, LeakKind, ReportStatus
from memtui_profiler.collect_parsed import parsed_rows
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.report_files import open_report
from memtui_profiler.report_modules import ModuleFinder
from memtui_profiler.report_rows import end_row, fit, note_rows
from memtui_profiler.session.reader import unpack_stack
from memtui_profiler.session.rows import Leak, LeakFrame, ModuleRow, Row, SymbolsEnd
from memtui_profiler.symbolize import symbolize
from memtui_profiler.whereabouts import Whereabouts

DRACONIAN = "draconian"
HEAPPROFILE = "heapprofile"
# Bytes that a step takes in a packed stack.
_STEP = array("I").itemsize
_AT_ONCE = 1000
_NO_DUMP = "The check left no dump, which is how the heap checker says that nothing leaked"


def collect_heap(request: CollectRequest) -> Iterator[Row]:
    """What collect() is for these. Raises UserError when neither dump nor log can be read as what it should be."""
    log = _read_log(request.log)
    if request.dump is None and request.live and not log.checks:
        yield from note_rows(request.report, [_NO_DUMP, *_log_notes(request, log)])
        yield end_row(request.report, ReportStatus.COMPLETE, 0, 0)
        yield SymbolsEnd(at_s=0.0, report=request.report)
        return
    if request.dump is None:
        yield from _from_log(request, log, "")
        return
    try:
        with open_report(request.dump) as file:
            profile = parse_heap(file.stream)
            if file.trouble:
                profile = replace(profile, notes=(*profile.notes, file.trouble))
    except (OSError, ParseError) as error:
        why = f"the dump {clean(request.dump)} cannot be read: {getattr(error, 'strerror', None) or error}"
        yield from _from_log(request, log, why)
        return
    yield from _from_dump(request, profile, log)


def _from_dump(request: CollectRequest, profile: HeapProfile, log: HeapcheckLog) -> Iterator[Row]:
    report = request.report
    where = Whereabouts.of(request)
    finder = ModuleFinder(profile.mappings, request.extra_maps, where, compare=request.bare)
    leaks = _stacks(profile, finder)
    frames = _frames(report, profile, finder, leaks)
    modules = [
        ModuleRow(report=report, ordinal=ordinal, path=module.path, build_id=module.build_id)
        for ordinal, module in enumerate(finder.modules)
    ]
    for module in modules:
        yield ModuleRow(report=report, ordinal=module.ordinal, path=clean(module.path), build_id=module.build_id)
    yield from frames
    kind = _kind(request, profile)
    word = kind.value
    total_bytes = total_objects = 0
    for stack, (size_bytes, objects) in sorted(leaks.items(), key=lambda item: item[1], reverse=True):
        total_bytes += size_bytes
        total_objects += objects
        yield Leak(report, fit(size_bytes), fit(objects), word, stack)
    runtimes = _runtimes_own(leaks, frames, modules) if kind is LeakKind.NOT_FREED else []
    said = [*profile.notes, *_homeless(profile, frames), *runtimes, *_log_notes(request, log)]
    yield from note_rows(report, said)
    status = ReportStatus.COMPLETE if profile.whole else ReportStatus.TRUNCATED
    yield end_row(report, status, total_bytes, total_objects)
    # What the finder could not read is what the symbols will say too, in the same words.
    later = list(finder.notes)
    readable = {m.ordinal for m, loaded in zip(modules, finder.modules, strict=True) if loaded.facts is not None}
    yield from symbolize(
        report,
        [m for m in modules if m.ordinal in readable],
        [f for f in frames if f.module in readable],
        where=where,
        notes=later,
    )
    yield from note_rows(report, [note for note in later if note not in said])
    yield SymbolsEnd(at_s=0.0, report=report)


def _stacks(profile: HeapProfile, finder: ModuleFinder) -> dict[bytes, tuple[int, int]]:
    """(bytes, objects) by packed stack of positions in the profile's addresses, the allocator's own gone from the leaf end."""
    leaks: dict[bytes, tuple[int, int]] = {}
    in_allocator: dict[bytes, bool] = {}
    figures = profile.figures
    for stack, objects, size_bytes in zip(profile.stacks, figures[0::4], figures[1::4], strict=True):
        if not (objects or size_bytes):
            continue  # allocated once and freed: a heap profile has these
        while stack:
            leaf = stack[:_STEP]
            known = in_allocator.get(leaf)
            if known is None:
                address = profile.addresses[unpack_stack(leaf)[0]]
                known = in_allocator[leaf] = finder.place(address).allocator
            if not known:
                break
            stack = stack[_STEP:]
        had = leaks.get(stack)
        leaks[stack] = (size_bytes, objects) if had is None else (had[0] + size_bytes, had[1] + objects)
    return leaks


def _frames(report: int, profile: HeapProfile, finder: ModuleFinder, stacks: Collection[bytes]) -> list[LeakFrame]:
    """A row for each address that is on one of the stacks; its position in the profile's is its ordinal."""
    used: set[int] = set()
    packed = iter(stacks)
    while some := b"".join(islice(packed, _AT_ONCE)):
        used.update(unpack_stack(some))
    rows = []
    for ordinal in sorted(used):
        address = profile.addresses[ordinal]
        place = finder.place(address)
        offset = None if place.offset is None else hex(place.offset)
        rows.append(LeakFrame(report, ordinal, hex(address), place.module, offset))
    return rows


def _homeless(profile: HeapProfile, frames: list[LeakFrame]) -> list[str]:
    count = sum(frame.module is None for frame in frames) if profile.mappings else 0
    where = "in no file that was loaded: an unloaded library, or code made at run time"
    return [f"{count} {'address lies' if count == 1 else 'addresses lie'} {where}"] if count else []


def _runtimes_own(leaks: dict[bytes, tuple[int, int]], frames: list[LeakFrame], modules: list[ModuleRow]) -> list[str]:
    """Draconian counts what libraries allocate at their start and keep: every program has some, and no one can mend it."""
    runtime = {module.ordinal for module in modules if is_runtime_module(module.path)}
    programs = {frame.ordinal for frame in frames if frame.module not in runtime}
    own = [figures for stack, figures in leaks.items() if stack and programs.isdisjoint(unpack_stack(stack))]
    if not own:
        return []
    size_bytes, objects = sum(size for size, _ in own), sum(count for _, count in own)
    return [
        f"{size_bytes} bytes in {objects} objects are the system libraries' own: no frame of the program is in them"
    ]


def _from_log(request: CollectRequest, log: HeapcheckLog, why: str) -> Iterator[Row]:
    """What the log alone says; ``why`` the dump is not there, '' when there is none."""
    try:
        found = report_from_log(log, mode=request.mode)
    except ParseError as error:
        todo = "run the check again" if request.dump else "give memtui the output of a program under HEAPCHECK"
        raise UserError("no leak report", why or str(error), todo) from error
    notes = [why, *found.notes] if why else list(found.notes)
    yield from parsed_rows(request, replace(found, notes=tuple(_without_noise(notes, request.mode))))


def _read_log(path: str | None) -> HeapcheckLog:
    if path is None:
        return HeapcheckLog()
    try:
        with open_report(path) as file:
            return parse_heapcheck_log(file.stream)
    except OSError:
        return HeapcheckLog()  # only a hint; a report that needs it says so


def _log_notes(request: CollectRequest, log: HeapcheckLog) -> list[str]:
    verdicts = [check_sentence(check) for check in log.checks if not check.leaked_objects]
    return _without_noise([*log.notes, *verdicts], request.mode)


def _without_noise(notes: list[str], mode: str) -> list[str]:
    """Draconian reports what stacks point to because it was asked to: no cause for doubt."""
    return [note for note in notes if not (mode == DRACONIAN and note == STACKS_NOT_SEARCHED)]


def _kind(request: CollectRequest, profile: HeapProfile) -> LeakKind:
    if profile.kind.startswith("growth"):
        return LeakKind.GROWTH
    if request.checker == HEAPPROFILE or profile.kind != HEAPPROFILE:
        return LeakKind.IN_USE
    return LeakKind.NOT_FREED if request.mode == DRACONIAN else LeakKind.UNREACHABLE
