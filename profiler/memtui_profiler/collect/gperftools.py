"""Turns the files of gperftools, a .heap dump and the heap checker's log, into the rows of a report."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_parsers.formats.heapcheck_log import (
    STACKS_NOT_SEARCHED,
    WHOLE_PROGRAM,
    HeapcheckLog,
    check_sentence,
    parse_heapcheck_log,
    report_from_log,
)
from memtui_parsers.report.leak_id import is_runtime_module
from memtui_parsers.report.samples import few_samples_note
from memtui_parsers.values import HeapProfile, LeakKind, ReportStatus
from memtui_profiler.checkers import checker_named, mode_named
from memtui_profiler.collect.frame_places import mark_unchecked
from memtui_profiler.collect.grown import Figures, counting_samples, with_nobodys
from memtui_profiler.collect.listed_leaks import with_listed
from memtui_profiler.collect.parsed import end_row, fit, growth_row, note_rows, parsed_rows, symbol_row
from memtui_profiler.collect.report_files import Opened, open_report, tell_nobody
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.session.reader import unpack_stack
from memtui_profiler.session.rows import Leak, LeakFrame, ModuleRow, Row, SymbolsEnd
from memtui_profiler.symbols.demangling import demangled
from memtui_profiler.symbols.module_finder import ModuleFinder
from memtui_profiler.symbols.source_lines import NamedSources
from memtui_profiler.symbols.symbolize import symbolize

# What a .heap file calls itself that a profiler or a leak check wrote (FACTS.md, "Heap checker").
_PROFILE = "heapprofile"
# Bytes of one frame in a packed stack.
_FRAME_BYTES = array("I").itemsize
_AT_ONCE = 1000
_NO_DUMP = "The check left no dump, which is how the heap checker says that nothing leaked"


def collect_heap(request: CollectRequest, opened: Opened = tell_nobody) -> Iterator[Row]:
    """As collect(), for the heap checker and profiler. Raises UserError when neither the dump nor the log can be read."""
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
        with open_report(request.dump, opened=opened) as file:
            profile = parse_heap(file.stream)
            if file.trouble:
                profile = replace(profile, notes=(*profile.notes, file.trouble))
        if profile.period and not profile.stacks:
            raise ParseError("nothing in it was sampled: too little was allocated, or the rest of the file is missing")
    except (OSError, ParseError) as error:
        why = f"the dump {clean(request.dump)} cannot be read: {getattr(error, 'strerror', None) or error}"
        yield from _from_log(request, log, why)
        return
    if request.growth is not None:
        profile = counting_samples(profile)
    if not profile.whole:
        profile = with_listed(profile, log, of_this_check=request.live or _names(log, request.dump))
    yield from _from_dump(request, profile, log)


def _names(log: HeapcheckLog, dump: str) -> bool:
    """Whether the last check in the log wrote this dump."""
    return bool(log.dumps) and Path(log.dumps[-1]).name == Path(dump).name


def _from_dump(request: CollectRequest, profile: HeapProfile, log: HeapcheckLog) -> Iterator[Row]:
    report = request.report
    file_finder = request.file_finder
    module_finder = ModuleFinder(profile.mappings, request.extra_maps, file_finder, compare=request.bare)
    leaks = _stacks(profile, module_finder)
    if request.growth is not None:
        leaks = with_nobodys(leaks, request.growth)
    frames = _frames(report, profile, module_finder, leaks)
    modules = [ModuleRow(report, n, mapped.path, mapped.build_id) for n, mapped in enumerate(module_finder.modules)]
    unnamed = [frame for frame in frames if profile.addresses[frame.ordinal] not in profile.names]
    modules, unchecked_note = _marked(modules, module_finder, unnamed, all_names=not profile.names)
    for module in modules:
        yield module._replace(path=clean(module.path))
    yield from frames
    kind = _kind(request, profile)
    kind_value = kind.value
    total_bytes = total_objects = 0
    for stack, (size_bytes, objects, samples) in sorted(leaks.items(), key=lambda item: item[1][:2], reverse=True):
        total_bytes += size_bytes
        total_objects += objects
        sampled = None if samples is None or not profile.samples else fit(samples)
        yield Leak(report, fit(size_bytes), fit(objects), kind_value, stack, sampled)
    runtime_note = _runtime_note(leaks, frames, modules) if kind is LeakKind.NOT_FREED else []
    sampled_stacks = [samples for _, _, samples in leaks.values() if samples is not None]
    few = few_samples_note(sampled_stacks) if profile.samples else []
    if request.growth is not None:
        yield growth_row(report, request.growth)
    notes = [
        *request.notes,
        *profile.notes,
        *few,
        *_placeless_note(profile, frames),
        *runtime_note,
        *_log_notes(request, log),
        *unchecked_note,
    ]
    yield from note_rows(report, notes)
    status = ReportStatus.COMPLETE if profile.whole else ReportStatus.TRUNCATED
    end = end_row(report, status, total_bytes, total_objects)
    yield end._replace(seen_bytes=_seen_bytes(request, log, end.total_bytes))
    # A file that the module finder could not read gets its note from there, and is not opened again.
    later = list(module_finder.notes) if unnamed else []
    yield from _named(request, profile, frames)
    readable = {m.ordinal for m, mapped in zip(modules, module_finder.modules, strict=True) if mapped.facts is not None}
    yield from symbolize(
        report,
        [m for m in modules if m.ordinal in readable],
        [f for f in unnamed if f.module in readable],
        file_finder=file_finder,
        notes=later,
    )
    yield from note_rows(report, [note for note in later if note not in notes])
    yield SymbolsEnd(at_s=0.0, report=report)


def _marked(
    modules: list[ModuleRow], module_finder: ModuleFinder, unnamed: list[LeakFrame], *, all_names: bool
) -> tuple[list[ModuleRow], list[str]]:
    """Mark the modules whose file names frames and may be of another build. Return them, and a note."""
    naming = {frame.module for frame in unnamed}
    read = {m.ordinal for m in modules if m.ordinal in naming and module_finder.modules[m.ordinal].facts is not None}
    unchecked = {ordinal for ordinal in read if module_finder.modules[ordinal].unchecked}
    note, modules = mark_unchecked(modules, unchecked, all_names=all_names and unchecked == read)
    return modules, note


def _named(request: CollectRequest, profile: HeapProfile, frames: list[LeakFrame]) -> Iterator[Row]:
    """Rows of the names that the dump itself has, and their source lines."""
    functions = demangled(
        {call.linkage_name for calls in profile.names.values() for call in calls if call.linkage_name}
    )
    sources, author = NamedSources(), request.author
    for row in frames:
        calls = profile.names.get(profile.addresses[row.ordinal], ())
        for depth, call in enumerate(calls):
            yield symbol_row(request.report, row.ordinal, depth, call, functions.get(call.linkage_name or ""))
        sources.add(((call.file, call.line) for call in calls), None, author)
    yield from sources.rows(request.file_finder)


def _stacks(profile: HeapProfile, module_finder: ModuleFinder) -> Figures:
    """(bytes, objects, samples) by packed stack of positions in the profile's ``addresses``, without the allocator's frames."""
    leaks: dict[bytes, tuple[int, int, int | None]] = {}
    in_allocator: dict[bytes, bool] = {}
    figures = profile.figures
    samples = profile.samples or repeat(0)
    for stack, objects, size_bytes, sampled in zip(profile.stacks, figures[0::4], figures[1::4], samples, strict=False):
        if not (objects or size_bytes):
            continue  # allocated once and freed: a heap profile has these
        while stack:
            leaf = stack[:_FRAME_BYTES]
            is_allocator = in_allocator.get(leaf)
            if is_allocator is None:
                address = profile.addresses[unpack_stack(leaf)[0]]
                is_allocator = in_allocator[leaf] = module_finder.place(address).allocator
            if not is_allocator:
                break
            stack = stack[_FRAME_BYTES:]
        before = leaks.get(stack, (0, 0, 0))
        leaks[stack] = (before[0] + size_bytes, before[1] + objects, (before[2] or 0) + sampled)
    return leaks


def _frames(
    report: int, profile: HeapProfile, module_finder: ModuleFinder, stacks: Collection[bytes]
) -> list[LeakFrame]:
    """A row for each address on one of the stacks; its ordinal is its position in the profile's ``addresses``."""
    used: set[int] = set()
    packed = iter(stacks)
    while some := b"".join(islice(packed, _AT_ONCE)):
        used.update(unpack_stack(some))
    rows = []
    for ordinal in sorted(used):
        address = profile.addresses[ordinal]
        place = module_finder.place(address)
        offset = None if place.offset is None else hex(place.offset)
        rows.append(LeakFrame(report, ordinal, hex(address), place.module, offset))
    return rows


def _placeless_note(profile: HeapProfile, frames: list[LeakFrame]) -> list[str]:
    """A note on addresses in no module, if there are any."""
    count = sum(frame.module is None for frame in frames) if profile.mappings else 0
    where = "in no file that was loaded: an unloaded library, or code made at run time"
    return [f"{count} {'address lies' if count == 1 else 'addresses lie'} {where}"] if count else []


def _runtime_note(leaks: Figures, frames: list[LeakFrame], modules: list[ModuleRow]) -> list[str]:
    """A note on what the system libraries keep from their start: draconian counts it, and no program can free it."""
    runtime = {module.ordinal for module in modules if is_runtime_module(module.path)}
    programs = {frame.ordinal for frame in frames if frame.module not in runtime}
    own = [figures for stack, figures in leaks.items() if stack and programs.isdisjoint(unpack_stack(stack))]
    if not own:
        return []
    size_bytes, objects = sum(size for size, _, _ in own), sum(count for _, count, _ in own)
    return [
        f"{size_bytes} bytes in {objects} objects are the system libraries' own: no frame of the program is in them"
    ]


def _from_log(request: CollectRequest, log: HeapcheckLog, why: str) -> Iterator[Row]:
    """The report of the log alone. ``why``: the reason why the dump cannot be read, '' when there is none."""
    try:
        report = report_from_log(log, mode=request.mode)
    except ParseError as error:
        todo = "run the check again" if request.dump else "give memtui the output of a program under HEAPCHECK"
        raise UserError("no leak report", why or str(error), todo) from error
    notes = [why, *report.notes] if why else list(report.notes)
    notes = _without_noise(notes, request.mode)
    seen_bytes = _seen_bytes(request, log, report.total_bytes)
    yield from parsed_rows(request, replace(report, notes=tuple(notes), seen_bytes=seen_bytes))


def _seen_bytes(request: CollectRequest, log: HeapcheckLog, leaked_bytes: int) -> int | None:
    """All that the check of the whole program looked at; None where it found leaks and did not say what else there was."""
    if request.bare:
        return None  # a log by itself does not tell how large the process was
    if _counts_everything(request.mode):
        return leaked_bytes
    check = next((check for check in log.checks if check.name == WHOLE_PROGRAM), None)
    return None if check is None or check.leaked_objects else check.reachable_bytes


def _read_log(path: str | None) -> HeapcheckLog:
    if path is None:
        return HeapcheckLog()
    try:
        with open_report(path) as file:
            return parse_heapcheck_log(file.stream)
    except OSError:
        return HeapcheckLog()  # without a dump the empty log is then refused


def _log_notes(request: CollectRequest, log: HeapcheckLog) -> list[str]:
    verdicts = [check_sentence(check) for check in log.checks if not check.leaked_objects]
    return _without_noise([*log.notes, *verdicts], request.mode)


def _without_noise(notes: list[str], mode: str) -> list[str]:
    """Without the note that stacks were not searched, in a mode that does not search them by design."""
    return [note for note in notes if not (_counts_everything(mode) and note == STACKS_NOT_SEARCHED)]


def _counts_everything(mode: str) -> bool:
    registered = mode_named(mode)
    return registered is not None and registered.counts_everything


def _kind(request: CollectRequest, profile: HeapProfile) -> LeakKind:
    if profile.kind.startswith("growth"):
        return LeakKind.GROWTH
    checker = checker_named(request.checker)
    if profile.kind != _PROFILE or (checker is not None and checker.takes_snapshots):
        return LeakKind.IN_USE
    return LeakKind.NOT_FREED if _counts_everything(request.mode) else LeakKind.UNREACHABLE
