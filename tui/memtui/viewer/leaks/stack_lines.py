"""The stack of one leak, or those of an error, as lines of text: frames, folded runtime, the selected frame's source. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memtui.display.glyphs import Glyphs
from memtui.reports.names import function_name, is_unchecked, module_name, place, program_index, shorten
from memtui.reports.table import LeakTable
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.leaks.source.syntax import language_of, spans
from memtui.viewer.widgets.line import Piece, fit, padded
from memtui_parsers.clean_text import clean
from memtui_parsers.report.passing_code import is_library_frame
from memtui_parsers.values import CheckerError, Frame
from memtui_profiler.words import size_words

# More frames of one stack than anybody reads; a hostile report may have as many as it likes.
MOST_FRAMES = 1000
# Fewer library frames than this in a row are shown as they are: a fold would save nothing.
_FOLD_FROM = 2
_TEXT_LINES = 4
INLINED = " inlined"
UNCHECKED = " unchecked"


class Section(NamedTuple):
    """A stack under its title, leaf first. ``library[i]``: frame i is the runtime's; ``program``: the index of the program's first.

    ``size`` stands beside the source line of that one. ``left`` frames are not shown.
    """

    title: str
    stack: tuple[Frame, ...]
    library: tuple[bool, ...]
    program: int | None
    size: str = ""
    left: int = 0


@dataclass(frozen=True, slots=True)
class StackLine:
    """One line, and the stop of the cursor that it belongs to: an index into ``stops``, or -1 for a heading."""

    pieces: tuple[Piece, ...]
    stop: int = -1


class Stop(NamedTuple):
    """A place of the cursor: one frame, or with ``folded`` above 1 a fold of so many library frames from ``frame`` on."""

    frame: int
    folded: int = 1
    section: int = 0


def record_section(table: LeakTable, index: int) -> Section:
    """Return the stack of a record."""
    record = table.record(index)
    stack = record.stack[:MOST_FRAMES]
    program = table.names[index].program
    return Section(
        title="",
        stack=stack,
        library=tuple(map(table.in_library, stack)),
        program=program if program is not None and program < len(stack) else None,
        size=size_words(record.size_bytes),
        left=len(record.stack) - len(stack),
    )


def error_sections(error: CheckerError) -> tuple[Section, ...]:
    """Return the error's own stack, then those that explain it: where the block was allocated or freed."""
    return (
        _section("", error.stack),
        *(_section(detail.what, detail.stack) for detail in error.details if detail.what or detail.stack),
    )


def _section(title: str, stack: tuple[Frame, ...]) -> Section:
    shown = stack[:MOST_FRAMES]
    library = tuple(map(is_library_frame, shown))
    return Section(title, shown, library, program_index(shown), left=len(stack) - len(shown))


def stops_of(sections: Sequence[Section], *, unfolded: bool) -> tuple[Stop, ...]:
    """Return the stops of the stacks, leaf first; library frames that follow each other are folded unless ``unfolded``."""
    stops: list[Stop] = []
    for number, section in enumerate(sections):
        at = 0
        while at < len(section.stack):
            end = at
            while end < len(section.stack) and section.library[end] and end != section.program:
                end += 1
            if end - at >= _FOLD_FROM and not unfolded:
                stops.append(Stop(at, end - at, number))
                at = end
            else:
                stops.append(Stop(at, 1, number))
                at += 1
    return tuple(stops)


def first_stop(sections: Sequence[Section], stops: Sequence[Stop]) -> int:
    """Return the index of the stop of the program's first frame, 0 without one."""
    own = (n for n, stop in enumerate(stops) if stop.section == 0 and stop.frame == sections[0].program)
    return next(own, 0)


def stack_lines(
    sections: Sequence[Section],
    stops: Sequence[Stop],
    chosen: int,
    sources: Sources,
    glyphs: Glyphs,
    width: int,
    *,
    heading: Sequence[str] = (),
) -> tuple[StackLine, ...]:
    """Return all lines, ``heading`` first, each at most ``width`` cells. The chosen frame is written whole, with its source."""
    lines = [StackLine(((padded(glyphs, glyphs.plain(text), width), "heading"),)) for text in heading]
    if heading:
        lines.append(StackLine((("", ""),)))
    at = 0
    for number, section in enumerate(sections):
        if section.title:
            lines += [
                StackLine(((text, "title"),)) for text in _wrapped(glyphs.plain(clean(section.title)), width, glyphs)
            ]
        if not section.stack:
            text = "" if section.title else "The checker recorded no stack for these."
            lines.append(StackLine(((fit(text, width, glyphs.ellipsis), "runtime"),)))
        while at < len(stops) and stops[at].section == number:
            lines += _stop_lines(section, stops[at], at, at == chosen, sources, glyphs, width)
            at += 1
        if section.left:
            text = f" {glyphs.ellipsis} {glyphs.count(section.left)} more frames"
            lines.append(StackLine(((fit(text, width, glyphs.ellipsis), "runtime"),)))
    return tuple(lines)


def _stop_lines(
    section: Section, stop: Stop, number: int, chosen: bool, sources: Sources, glyphs: Glyphs, width: int
) -> list[StackLine]:
    frame = section.stack[stop.frame]
    if stop.folded > 1:
        text = f"{glyphs.ellipsis} {stop.folded} runtime frames"
        return [StackLine(((" ", ""), (fit(text, width - 1, glyphs.ellipsis), "runtime")), number)]
    in_library = section.library[stop.frame]
    if not chosen:
        return [StackLine(_frame_pieces(frame, in_library, glyphs, width), number)]
    size = section.size if stop.frame == section.program else ""
    return _chosen(frame, number, in_library, size, sources, glyphs, width)


def _frame_pieces(frame: Frame, in_library: bool, glyphs: Glyphs, width: int) -> tuple[Piece, ...]:
    """Return a frame in one line: its function, shortened if need be, then its place."""
    where = glyphs.plain(place(frame) if frame.file or not frame.function else module_name(frame))
    where = fit(where, max(0, width // 2), glyphs.ellipsis)
    room = max(0, width - 3 - len(where))
    part = "runtime" if in_library else "program"
    if not (frame.function or frame.linkage_name):
        return ((" ", ""), (where, part))
    mark = _marks(frame)
    mark = mark if room > 2 * len(mark) else ""
    room -= len(mark)
    name = fit(glyphs.plain(shorten(function_name(frame), room)), room, glyphs.ellipsis)
    return ((" ", ""), (name, part), (mark, "inlined"), ("  ", ""), (where, "location"))


def _marks(frame: Frame) -> str:
    return (INLINED if frame.inlined else "") + (UNCHECKED if is_unchecked(frame) else "")


def _chosen(
    frame: Frame, number: int, in_library: bool, size: str, sources: Sources, glyphs: Glyphs, width: int
) -> list[StackLine]:
    part = "runtime" if in_library else "program"
    where = glyphs.plain(place(frame))
    name = glyphs.plain(function_name(frame)) if frame.function or frame.linkage_name else where
    lines: list[StackLine] = []
    mark = _marks(frame)
    if name is not where and len(name) + len(mark) + len(where) + 3 <= width:
        lines.append(StackLine(((" ", ""), (name, part), (mark, "inlined"), ("  ", ""), (where, "location")), number))
    else:
        lines += [StackLine(((" ", ""), (piece, part)), number) for piece in _wrapped(name, width - 1, glyphs)]
        if name is not where:
            where = fit(where, width - 3 - len(mark), glyphs.ellipsis)
            lines.append(StackLine((("   ", ""), (where, "location"), (mark, "inlined")), number))
    return lines + _source(frame, number, size, sources, glyphs, width)


def _source(frame: Frame, number: int, size: str, sources: Sources, glyphs: Glyphs, width: int) -> list[StackLine]:
    if not frame.file or not frame.line:
        return []
    excerpt = sources.around(frame.file, frame.line)
    if not excerpt.lines:
        missing = _wrapped(glyphs.plain(excerpt.missing), width - 3, glyphs)
        return [StackLine((("   ", ""), (text, "missing")), number) for text in missing]
    digits = max(4, len(str(excerpt.lines[-1][0])) + 1)
    indent = min((len(text) - len(text.lstrip()) for _, text in excerpt.lines if text.strip()), default=0)
    language = language_of(frame.file)
    lines = []
    for line, text in excerpt.lines:
        here = line == frame.line
        code = glyphs.plain(text[indent:].rstrip())
        gutter = (glyphs.cursor if here else " ") + str(line).rjust(digits)
        tail = f"  {size}" if here and size else ""
        code = fit(code, max(0, width - len(gutter) - 3 - len(tail)), glyphs.ellipsis)
        pieces: tuple[Piece, ...] = (
            (gutter, "source-mark" if here else "source-number"),
            (f" {glyphs.vertical} ", "source-mark" if here else "rule"),
            *_coloured(code, language, here=here),
            (tail, "size"),
        )
        lines.append(StackLine(pieces, number))
    return lines


def _coloured(code: str, language: str, *, here: bool) -> list[Piece]:
    """Return a source line in the inks of its words, bold where the leak is."""
    ground = "source-line" if here else "source"
    return [(text, f"{part}{'-line' if here else ''}" if part else ground) for text, part in spans(code, language)]


def _wrapped(text: str, width: int, glyphs: Glyphs) -> list[str]:
    """Return text on up to four lines, broken after a space, a comma, a ``/`` or ``::`` where one is near the end."""
    width = max(width, 8)
    rest = fit(text, width * _TEXT_LINES, glyphs.ellipsis)
    lines: list[str] = []
    while len(rest) > width and len(lines) < _TEXT_LINES - 1:
        breaks = (rest.rfind(mark, width // 2, width - len(mark) + 1) + len(mark) for mark in (" ", ",", "/", "::"))
        end = max((at for at in breaks if at > width // 2), default=width)
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*lines, fit(rest, width, glyphs.ellipsis)]


def note_lines(notes: Sequence[str], glyphs: Glyphs, width: int) -> tuple[StackLine, ...]:
    """Return the report's notes in full, each wrapped, each a stop of the cursor."""
    from textwrap import wrap

    lines: list[StackLine] = []
    for number, note in enumerate(notes):
        mark = f" {glyphs.note} "
        for at, piece in enumerate(wrap(glyphs.plain(clean(note)), max(8, width - 4)) or [""]):
            lines.append(StackLine(((mark if at == 0 else "   ", "note-mark"), (piece, "note-text")), number))
    return tuple(lines)
