"""A leak report as plain text, for `memtui check --format text` and for plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from memtui.display.figures import percent
from memtui.display.glyphs import Glyphs, glyphs_for
from memtui.reports.changes import counted, growth_words, rss_words, sample_words
from memtui.reports.names import function_name, is_unchecked, place, shorten
from memtui.reports.table import LeakTable, build_table, table_notes
from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame, GrowthFacts, LeakKind, LeakReport, ReportStatus
from memtui_profiler.checkers import checker_named
from memtui_profiler.words import in_what_was_seen, rate_words, size_words

# file, line: the source line's text, None when there is no source.
SourceOf = Callable[[str, int], str | None]

_VERBS = {LeakKind.IN_USE: "in use", LeakKind.GROWTH: "grown", LeakKind.ALLOCATED: "allocated"}
_INDENT = " " * 4
_DEEPEST = 64
# In the program's own functions every template argument may matter; those of std::invoke would fill the screen.
_LIBRARY_COLUMNS = 120


def no_source(_file: str, _line: int) -> str | None:
    return None


def report_lines(
    report: LeakReport, source: SourceOf = no_source, *, ascii: bool = False, skips: Sequence[str] = ()
) -> Iterator[str]:
    """Return the report as lines without ends: summary, notes, leaks (the largest first), then the checker's other errors.

    ``skips``: patterns of functions that leaks are not named by.
    """
    glyphs = glyphs_for(ascii=ascii)
    table = build_table(report, skips=skips)
    yield glyphs.plain(summary(report, glyphs))
    for note in table_notes(table):
        yield glyphs.plain(f"note: {clean(note)}")
    for number, index in enumerate(table.by_size, start=1):
        yield ""
        yield from map(glyphs.plain, _record_lines(number, table, index, source, glyphs))
    for number, error in enumerate(report.errors, start=1):
        yield ""
        yield from map(glyphs.plain, _error_lines(number, error, glyphs))


def summary(report: LeakReport, glyphs: Glyphs) -> str:
    """Return one sentence: what leaked, or that nothing did, or that nothing was checked; by which check, in which process."""
    check = " ".join(dict.fromkeys(filter(None, (clean(report.checker), clean(report.mode)))))
    pid = "" if report.pid is None else f"pid {report.pid}"
    origin = ", ".join(filter(None, (check, clean(" ".join(report.argv), 200), pid)))
    if report.status is ReportStatus.NOT_RUN:
        return f"not checked ({origin})"
    is_cut = report.status is ReportStatus.TRUNCATED
    if report.growth is not None:
        return _growth_summary(report, report.growth, origin, glyphs)
    if not report.leaks and not report.total_bytes:
        if is_cut:
            return f"no result, the report is cut before its first leak ({origin})"
        checker = checker_named(report.checker)
        nothing = "no leaks found" if checker is None else checker.found_nothing
        return f"{nothing}{in_what_was_seen(report.seen_bytes)} ({origin})"
    size = max(report.total_bytes, sum(record.size_bytes for record in report.leaks))
    objects = max(report.total_objects, sum(record.objects for record in report.leaks))
    # valgrind's default report has sums and no stacks.
    stacks = sum(bool(record.stack) for record in report.leaks)
    from_stacks = f" from {counted(stacks, 'stack', glyphs)}" if stacks else ""
    reachable = [record for record in report.leaks if record.kind is LeakKind.STILL_REACHABLE]
    if not reachable:
        # A heap profile lists what is in use or has grown, not what has leaked.
        kinds = {record.kind for record in report.leaks}
        verb = _VERBS.get(kinds.pop(), "leaked") if len(kinds) == 1 else "leaked"
        return f"{size_words(size)} {verb}{_in_objects(objects, glyphs)}{from_stacks} ({origin})"
    still_size, still = sum(r.size_bytes for r in reachable), sum(r.objects for r in reachable)
    reachable_words = f"{size_words(still_size)} still reachable in {counted(still, 'object', glyphs)}"
    if len(reachable) == len(report.leaks):
        none_found = "no leaks found before the report is cut" if is_cut else "no leaks found"
        return f"{none_found}, {reachable_words}{from_stacks} ({origin})"
    lost = f"{size_words(size - still_size)} leaked in {counted(objects - still, 'object', glyphs)}"
    return f"{lost}, {reachable_words}{',' if from_stacks else ''}{from_stacks} ({origin})"


def _growth_summary(report: LeakReport, growth: GrowthFacts, origin: str, glyphs: Glyphs) -> str:
    stacks = sum(bool(record.stack) for record in report.leaks)
    from_stacks = f"{counted(growth.samples, 'sample', glyphs)} in {counted(stacks, 'stack', glyphs)}"
    return f"{growth_words(growth)}, {from_stacks}; {rss_words(growth)} ({origin})"


def leak_line(table: LeakTable, index: int) -> str:
    """Return one leak as plain lines show it: ``leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88``."""
    record, name, where = table.record(index), table.names[index].function, table.names[index].location
    where = f" {where}" if where else ""
    # An unnamed frame is called by its module, and its place says the module again.
    called = "" if where.lstrip().startswith(f"{name}+") else f" {name}"
    if table.report.growth is not None:
        return f"grown {size_words(record.size_bytes)}:{called}{where}"
    noun = "object" if record.objects == 1 else "objects"
    return f"leak {size_words(record.size_bytes)} in {record.objects} {noun}:{called}{where}"


def leak_lines(report: LeakReport, most: int) -> list[str]:
    """Return the largest leaks, one line each."""
    table = build_table(report)
    largest = sorted(range(len(table.sizes)), key=table.sizes.__getitem__, reverse=True)
    return [leak_line(table, index) for index in largest[:most]]


def _in_objects(objects: int, glyphs: Glyphs) -> str:
    """Return `` in 3 objects``; '' for none, as in the figures of a tool that counts bytes alone."""
    return f" in {counted(objects, 'object', glyphs)}" if objects else ""


def _record_lines(number: int, table: LeakTable, index: int, source: SourceOf, glyphs: Glyphs) -> Iterator[str]:
    record, name = table.record(index), table.names[index]
    samples = f", {words}" if (words := sample_words(record, glyphs)) else ""
    share = f", {percent(record.size_bytes / table.total_bytes)}" if table.total_bytes > 0 else ""
    growth = table.report.growth
    if growth is not None and growth.seconds > 0:
        share += f", {rate_words(record.size_bytes / growth.seconds)}"
    yield (
        f"{number}. {size_words(record.size_bytes)}{_in_objects(record.objects, glyphs)} "
        f"({record.kind.value}{share}{samples}): {name.function}"
    )
    yield from stack_text(table, index, source, glyphs)


def stack_text(table: LeakTable, index: int, source: SourceOf, glyphs: Glyphs) -> Iterator[str]:
    """Return the record's stack, one line for each frame; below the program's first frame its source line."""
    record, name = table.record(index), table.names[index]
    if not record.stack:
        nobodys = "nobody was seen to touch this memory first"
        yield _INDENT + ("the checker recorded no stack" if table.report.growth is None else nobodys)
    for depth, frame in enumerate(record.stack[:_DEEPEST]):
        yield _INDENT + _frame_line(frame, _LIBRARY_COLUMNS if table.in_library(frame) else None)
        if depth == name.program and frame.file and frame.line:
            text = source(frame.file, frame.line)
            if text is not None and text.strip():
                yield f"{_INDENT}{frame.line:>8} {glyphs.vertical} {clean(text.strip(), 200)}"
    yield from _rest_of(record.stack, glyphs)


def _error_lines(number: int, error: CheckerError, glyphs: Glyphs) -> Iterator[str]:
    seen = "" if error.count == 1 else f", {glyphs.count(error.count)} times"
    yield f"error {number}. {clean(error.kind)}{seen}: {clean(error.what)}"
    yield from _error_stacks(error, glyphs)


def error_text(error: CheckerError, glyphs: Glyphs) -> Iterator[str]:
    """Return one of a checker's other errors as lines: what it is, its stack, then the stacks that explain it."""
    yield clean(error.what or error.kind)
    yield from map(glyphs.plain, _error_stacks(error, glyphs))


def _error_stacks(error: CheckerError, glyphs: Glyphs) -> Iterator[str]:
    """The stack of the error, and what the checker adds to it, each with its stack."""
    for what, stack in (("", error.stack), *((detail.what, detail.stack) for detail in error.details)):
        if what:
            yield f"  {clean(what)}"
        yield from (_INDENT + _frame_line(frame) for frame in stack[:_DEEPEST])
        yield from _rest_of(stack, glyphs)


def _rest_of(stack: tuple[Frame, ...], glyphs: Glyphs) -> Iterator[str]:
    if len(stack) > _DEEPEST:
        yield f"{_INDENT}… {glyphs.count(len(stack) - _DEEPEST)} more frames"


def _frame_line(frame: Frame, width: int | None = None) -> str:
    """``width``: of the name, as far as it can be shortened."""
    name, where = function_name(frame), place(frame, whole=True)
    if width is not None:
        name = shorten(name, width)
    inlined = " (inlined)" if frame.inlined else ""
    unchecked = " (unchecked)" if is_unchecked(frame) else ""
    return f"{name}{inlined}{unchecked}  {where}" if frame.function or frame.linkage_name else where
