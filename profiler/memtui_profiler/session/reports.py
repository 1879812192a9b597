"""Loads a report from the rows of a session, with the names that are there so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import cast

from memtui_parsers.report.leak_id import numbered_leak_ids
from memtui_parsers.values import (
    CheckerError,
    ErrorDetail,
    Frame,
    GrowthFacts,
    GrowthOutcome,
    LeakKind,
    LeakRecord,
    LeakReport,
    Module,
    ReportStatus,
    RunFacts,
)
from memtui_profiler.errors import UserError
from memtui_profiler.session.reader import SessionReader, unpack_stack
from memtui_profiler.session.rows import (
    CheckerErrorRow,
    ErrorDetailRow,
    GrowthRow,
    Leak,
    LeakFrame,
    ModuleRow,
    ReportEnd,
    ReportFacts,
    ReportNote,
    ReportRow,
    Run,
    RunEnd,
    Symbol,
)
from memtui_profiler.session.stored_json import json_list

# Far above the limit of every parser: the list of frames is as long as the largest ordinal.
MAX_FRAMES = 1 << 22

_Leak = tuple[int, int, str, bytes, int | None]
_KINDS = {kind.value: kind for kind in LeakKind}


def load_report(reader: SessionReader, report_id: int) -> LeakReport:
    """Report ``report_id``; its leaks are in the order of their rows, largest first. Raises UserError when there is none.

    Stacks share their frames. A report that has no end yet is TRUNCATED and has the totals of the leaks so far.
    """
    rows = reader.rows_of(ReportRow, "id", report_id)
    if not rows:
        raise UserError(f"no report {report_id}", "this session has none of that number", "see `memtui sessions`")
    try:
        return _load(reader, rows[0])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(
            f"cannot read report {report_id}", f"its rows are damaged ({error})", "run the check again"
        ) from error


def _load(reader: SessionReader, row: ReportRow) -> LeakReport:
    report_id = row.id
    leaks = _leaks(reader, report_id)
    frames = _frames(reader, report_id)
    numbers, flat = _numbered([packed for *_, packed, _ in leaks], frames)
    stacks = [tuple(map(flat.__getitem__, stack)) for stack in numbers]
    end = next(reversed(reader.rows_of(ReportEnd, "report", report_id)), None)
    argv, started, facts = _run(reader, row)
    return LeakReport(
        checker=row.checker,
        mode=row.mode,
        status=ReportStatus(end.status) if end else ReportStatus.TRUNCATED,
        argv=argv,
        pid=row.pid,
        started=started,
        run=facts,
        total_bytes=end.total_bytes if end else sum(size for size, *_ in leaks),
        total_objects=end.total_objects if end else sum(objects for _, objects, *_ in leaks),
        notes=tuple(note.text for note in reader.rows_of(ReportNote, "report", report_id)),
        leaks=tuple(
            LeakRecord(leak_id, size, objects, _KINDS[kind], stack, samples)
            for leak_id, (size, objects, kind, _, samples), stack in zip(
                numbered_leak_ids(numbers, flat), leaks, stacks, strict=True
            )
        ),
        errors=tuple(_errors(reader, report_id, frames)),
        seen_bytes=end.seen_bytes if end else None,
        growth=_growth(reader, report_id),
        frames=tuple(flat),
    )


def _growth(reader: SessionReader, report_id: int) -> GrowthFacts | None:
    row = next(reversed(reader.rows_of(GrowthRow, "report", report_id)), None)
    if row is None:
        return None
    figures = {name: value for name, value in row._asdict().items() if name not in ("id", "report")}
    return GrowthFacts(**{**figures, "outcome": GrowthOutcome(row.outcome)})


def _leaks(reader: SessionReader, report_id: int) -> list[_Leak]:
    # Bare tuples: 200,000 Leak objects would take half a second more.
    names = ("size_bytes", "objects", "kind", "stack", "samples")
    return cast(list[_Leak], reader.cells(Leak, names, "report", report_id))


def _frames(reader: SessionReader, report_id: int) -> list[tuple[Frame, ...]]:
    """The frames at each address, by its ordinal: inlined calls innermost first, the physical one last."""
    modules = {
        m.ordinal: Module(m.path, m.build_id, bool(m.unchecked)) for m in reader.rows_of(ModuleRow, "report", report_id)
    }
    symbols: dict[int, dict[int, Symbol]] = {}
    for symbol in reader.rows_of(Symbol, "report", report_id):
        symbols.setdefault(symbol.frame, {})[symbol.depth] = symbol
    by_ordinal: dict[int, tuple[Frame, ...]] = {}
    for row in reader.rows_of(LeakFrame, "report", report_id):
        if row.ordinal >= MAX_FRAMES:
            raise ValueError(f"a frame numbered {row.ordinal}")
        by_depth = symbols.get(row.ordinal, {})
        module = None if row.module is None else modules.get(row.module)
        named = tuple(_frame(row, module, by_depth[depth]) for depth in sorted(by_depth))
        by_ordinal[row.ordinal] = named or (_frame(row, module, None),)
    return [by_ordinal.get(ordinal, ()) for ordinal in range(max(by_ordinal, default=-1) + 1)]


def _frame(row: LeakFrame, module: Module | None, symbol: Symbol | None) -> Frame:
    address, offset = int(row.address, 16), None if row.offset is None else int(row.offset, 16)
    if symbol is None:
        return Frame(address, module, offset)
    return Frame(
        address=address,
        module=module,
        offset=offset,
        function=symbol.function,
        linkage_name=symbol.linkage_name,
        file=symbol.file,
        line=symbol.line,
        inlined=bool(symbol.inlined),
    )


def _stacks(packed_stacks: Sequence[bytes], frames: Sequence[tuple[Frame, ...]]) -> list[tuple[Frame, ...]]:
    numbers, flat = _numbered(packed_stacks, frames)
    return [tuple(map(flat.__getitem__, stack)) for stack in numbers]


def _numbered(
    packed_stacks: Sequence[bytes], frames: Sequence[tuple[Frame, ...]]
) -> tuple[Sequence[Sequence[int]], list[Frame]]:
    """Stacks as positions in one list of frames, and that list. A step without a row of leak_frame is left out."""
    count = len(frames)
    stacks = list(map(unpack_stack, packed_stacks))
    missing = {n for n, calls in enumerate(frames) if not calls}
    if (
        all(len(calls) <= 1 for calls in frames)
        and all(max(stack) < count for stack in stacks if stack)
        and (not missing or all(map(missing.isdisjoint, stacks)))
    ):
        # Nothing is inlined: an ordinal is a position. Ordinals of no stack get a frame too, so that it stays one.
        return stacks, [calls[0] if calls else Frame(0, None, None) for calls in frames]
    flat = [frame for calls in frames for frame in calls]
    ends = list(accumulate(map(len, frames)))
    steps = [range(end - len(calls), end) for end, calls in zip(ends, frames, strict=True)]
    return [[at for n in stack if n < count for at in steps[n]] for stack in stacks], flat


def _errors(reader: SessionReader, report_id: int, frames: Sequence[tuple[Frame, ...]]) -> Iterator[CheckerError]:
    rows = reader.rows_of(CheckerErrorRow, "report", report_id)
    more = reader.rows_of(ErrorDetailRow, "report", report_id)
    details: dict[int, list[ErrorDetail]] = {}
    for detail, stack in zip(more, _stacks([row.stack for row in more], frames), strict=True):
        details.setdefault(detail.error, []).append(ErrorDetail(detail.what, stack))
    for row, stack in zip(rows, _stacks([row.stack for row in rows], frames), strict=True):
        yield CheckerError(row.kind, row.what, stack, tuple(details.get(row.ordinal, ())), row.times)


def _run(reader: SessionReader, report: ReportRow) -> tuple[tuple[str, ...], str | None, RunFacts]:
    """The report's run: argv, start in ISO 8601 and end. Without a run in the session they are those of its file, if any."""
    meta = reader.meta()
    origin_s = reader.started_s()
    runs = [] if report.run is None else reader.rows_of(Run, "id", report.run)
    of_report = meta.get(f"argv.{report.id}") or meta.get("argv", "[]")
    argv = tuple(map(str, json_list(runs[0].argv if runs else of_report)))
    if not runs:
        of_file = next(iter(reader.rows_of(ReportFacts, "report", report.id)), None)
        if of_file is None:
            return argv, _iso(origin_s), RunFacts()
        facts = RunFacts(of_file.exit_code, of_file.signal, bool(of_file.oom_killed), of_file.seconds)
        return tuple(map(str, json_list(of_file.argv))) or argv, of_file.started or _iso(origin_s), facts
    run = runs[0]
    started = _iso(None if origin_s is None else origin_s + run.at_s)
    end = next(iter(reader.rows_of(RunEnd, "run", run.id)), None)
    if end is None:
        return argv, started, RunFacts()
    seconds = max(0.0, end.at_s - run.at_s)
    return argv, started, RunFacts(end.exit_code, end.signal, bool(end.oom_killed), seconds)


def _iso(unix_s: float | None) -> str | None:
    return None if unix_s is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
