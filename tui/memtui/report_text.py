"""A leak report as plain text, for `memtui check --format text` and for plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memtui.figures import percent, prose
from memtui.leaks.look import Look, look
from memtui.leaks.model import LeakTable, build_table
from memtui.leaks.names import function_name, place, program_index, shorten, title
from memtui.leaks.state import notes_of
from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame, LeakKind, LeakRecord, LeakReport, ReportStatus

# file, line: the source line's text, None when there is no source.
SourceOf = Callable[[str, int], str | None]

_INDENT = " " * 4
_DEEPEST = 64
# Of the program's own functions every template argument may matter; those of std::invoke fill the screen.
_LIBRARY_COLUMNS = 120


def no_source(_file: str, _line: int) -> str | None:
    return None


def report_lines(
    report: LeakReport, source: SourceOf = no_source, *, ascii: bool = False, most: int | None = None
) -> Iterator[str]:
    """The report as lines without ends: summary, notes, then leaks largest first, and errors; at most ``most`` of each."""
    words = look(ascii)
    table = build_table(report)
    yield words.text(summary(report, words))
    for note in notes_of(report):
        yield words.text(f"note: {clean(note)}")
    shown = table.by_size if most is None else table.by_size[:most]
    for place_in_list, index in enumerate(shown, start=1):
        yield ""
        for line in _record_lines(place_in_list, table, index, source, words):
            yield words.text(line)
    left = len(table.by_size) - len(shown)
    if left > 0:
        size = sum(report.leaks[index].size_bytes for index in table.by_size[len(shown) :])
        yield ""
        yield words.text(f"… and {words.count(left)} more, {prose(size)}")
    for number, error in enumerate(report.errors[:most], start=1):
        yield ""
        for line in _error_lines(number, error, words):
            yield words.text(line)
    if most is not None and len(report.errors) > most:
        yield ""
        yield words.text(f"… and {_counted(len(report.errors) - most, 'error', words)} more")


def format_report(
    report: LeakReport, source: SourceOf = no_source, *, ascii: bool = False, most: int | None = None
) -> str:
    """report_lines() as one text that ends with a line feed."""
    return "".join(f"{line}\n" for line in report_lines(report, source, ascii=ascii, most=most))


def summary(report: LeakReport, words: Look) -> str:
    """One sentence: what leaked, or that nothing did, or that nothing was checked; and by which check, of whom."""
    of = [" ".join(dict.fromkeys(filter(None, (clean(report.checker), clean(report.mode)))))]
    if report.argv:
        of.append(clean(" ".join(report.argv), 200))
    if report.pid is not None:
        of.append(f"pid {report.pid}")
    origin = ", ".join(part for part in of if part)
    if report.status is ReportStatus.NOT_RUN:
        return f"not checked ({origin})"
    if not report.leaks and not report.total_bytes:
        return f"no leaks found ({origin})"
    size = max(report.total_bytes, sum(record.size_bytes for record in report.leaks))
    objects = max(report.total_objects, sum(record.objects for record in report.leaks))
    stacks = _counted(len(report.leaks), "stack", words)
    reachable = [record for record in report.leaks if record.kind is LeakKind.STILL_REACHABLE]
    if not reachable:
        return f"{prose(size)} {_verb(report)} {_counted(objects, 'object', words)} from {stacks} ({origin})"
    still_size, still = (sum(r.size_bytes for r in reachable), sum(r.objects for r in reachable))
    said = f"{prose(still_size)} still reachable in {_counted(still, 'object', words)}"
    if len(reachable) == len(report.leaks):
        return f"no leaks found, {said} from {stacks} ({origin})"
    lost = f"{prose(size - still_size)} leaked in {_counted(objects - still, 'object', words)}"
    return f"{lost}, {said}, from {stacks} ({origin})"


_VERBS = {LeakKind.IN_USE: "in use in", LeakKind.GROWTH: "grown in"}


def _verb(report: LeakReport) -> str:
    """What a heap profile lists is in use, or has grown: nobody has checked whether it leaked."""
    kinds = {record.kind for record in report.leaks}
    return _VERBS.get(next(iter(kinds)), "leaked in") if len(kinds) == 1 else "leaked in"


def leak_line(record: LeakRecord) -> str:
    """One leak as plain lines show it: ``leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88``."""
    from memtui.leaks.names import is_library_frame

    program = program_index(record.stack, (is_library_frame(frame) for frame in record.stack))
    where = f" {place(record.stack[program])}" if program is not None else ""
    name = title(record.stack, program)
    # An unnamed frame is called by its module, and its place says the module again.
    called = "" if where.lstrip().startswith(f"{name}+") else f" {name}"
    noun = "object" if record.objects == 1 else "objects"
    return f"leak {prose(record.size_bytes)} in {record.objects} {noun}:{called}{where}"


def leak_lines(report: LeakReport, most: int = 5) -> list[str]:
    """The largest leaks, one line each."""
    largest = sorted(report.leaks, key=lambda record: record.size_bytes, reverse=True)
    return [leak_line(record) for record in largest[:most]]


def _record_lines(number: int, table: LeakTable, index: int, source: SourceOf, words: Look) -> Iterator[str]:
    record, name = table.record(index), table.names[index]
    share = f", {percent(record.size_bytes / table.total_bytes)}" if table.total_bytes > 0 else ""
    yield (
        f"{number}. {prose(record.size_bytes)} in {_counted(record.objects, 'object', words)} "
        f"({record.kind.value}{share}): {name.function}"
    )
    yield from stack_text(table, index, source, words)


def stack_text(table: LeakTable, index: int, source: SourceOf, words: Look) -> Iterator[str]:
    """The record's stack, a frame a line, with the source line of the program's first."""
    record, name = table.record(index), table.names[index]
    if not record.stack:
        yield f"{_INDENT}the checker recorded no stack"
    for depth, frame in enumerate(record.stack[:_DEEPEST]):
        yield _INDENT + _frame_line(frame, _LIBRARY_COLUMNS if table.in_library(frame) else None)
        if depth == name.program and frame.file and frame.line:
            text = source(frame.file, frame.line)
            if text is not None and text.strip():
                yield f"{_INDENT}{frame.line:>8} {words.rule} {clean(text.strip(), 200)}"
    if len(record.stack) > _DEEPEST:
        yield f"{_INDENT}… {words.count(len(record.stack) - _DEEPEST)} more frames"


def _error_lines(number: int, error: CheckerError, words: Look) -> Iterator[str]:
    """What is wrong and where, then what the checker adds to it, each with its stack."""
    seen = "" if error.count == 1 else f", {words.count(error.count)} times"
    yield f"error {number}. {clean(error.kind)}{seen}: {clean(error.what)}"
    yield from _stack_lines(error.stack, words)
    for detail in error.details:
        yield f"  {clean(detail.what)}"
        yield from _stack_lines(detail.stack, words)


def _stack_lines(stack: tuple[Frame, ...], words: Look) -> Iterator[str]:
    for frame in stack[:_DEEPEST]:
        yield _INDENT + _frame_line(frame)
    if len(stack) > _DEEPEST:
        yield f"{_INDENT}… {words.count(len(stack) - _DEEPEST)} more frames"


def error_text(error: CheckerError, words: Look) -> Iterator[str]:
    """One of a checker's other errors: what it is, its stack, then the stacks that explain it."""
    yield clean(error.what or error.kind)
    for what, stack in (("", error.stack), *((detail.what, detail.stack) for detail in error.details)):
        if what:
            yield f"  {clean(what)}"
        for frame in stack[:_DEEPEST]:
            yield words.text(_INDENT + _frame_line(frame))
        if len(stack) > _DEEPEST:
            yield words.text(f"{_INDENT}… {words.count(len(stack) - _DEEPEST)} more frames")


def _frame_line(frame: Frame, width: int | None = None) -> str:
    """``width``: of the name, as far as it can be shortened."""
    name, where = function_name(frame), place(frame, whole=True)
    if width is not None:
        name = shorten(name, width)
    inlined = " (inlined)" if frame.inlined else ""
    return f"{name}{inlined}  {where}" if frame.function or frame.linkage_name else where


def _counted(number: int, noun: str, words: Look) -> str:
    return f"{words.count(number)} {noun}{'' if number == 1 else 's'}"
