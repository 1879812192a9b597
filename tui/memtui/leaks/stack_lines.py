"""The stack of one leak as lines of text: frames, folded runtime, source around the frame in hand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memtui.leaks.columns import Piece, padded
from memtui.leaks.look import Look
from memtui.leaks.names import function_name, module_name, place, shorten
from memtui.leaks.sections import Section
from memtui.leaks.source import Sources
from memtui.leaks.syntax import language_of, spans
from memtui_parsers.clean_text import clean
from memtui_parsers.values import Frame

# Fewer library frames than this in a row are shown as they are: a fold would save nothing.
_FOLD_FROM = 2
_TEXT_LINES = 4
INLINED = " inlined"


@dataclass(frozen=True, slots=True)
class StackLine:
    """One line, and the stop of the cursor it belongs to (an index into ``stops``; -1 for a heading)."""

    pieces: tuple[Piece, ...]
    stop: int = -1


class Stop(NamedTuple):
    """Where the cursor can stand: one frame, or with ``folded`` above 1 a fold of that many library frames from ``frame`` on."""

    frame: int
    folded: int = 1
    section: int = 0


def stops_of(sections: Sequence[Section], *, unfolded: bool) -> tuple[Stop, ...]:
    """The stacks' frames, leaf first, runs of library frames folded unless ``unfolded``."""
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
    """The stop of the program's own first frame."""
    own = (n for n, stop in enumerate(stops) if stop.section == 0 and stop.frame == sections[0].program)
    return next(own, 0)


def stack_lines(
    sections: Sequence[Section],
    stops: Sequence[Stop],
    chosen: int,
    sources: Sources,
    look: Look,
    width: int,
    *,
    heading: Sequence[str] = (),
) -> tuple[StackLine, ...]:
    """All lines, each at most ``width`` cells; ``heading`` first. The chosen frame is written whole, with its source."""
    lines = [StackLine(((padded(look, look.text(words), width), "heading"),)) for words in heading]
    if heading:
        lines.append(StackLine((("", ""),)))
    at = 0
    for number, section in enumerate(sections):
        if section.title:
            lines += [
                StackLine(((words, "title"),)) for words in _wrapped(look.text(clean(section.title)), width, look)
            ]
        if not section.stack:
            words = "" if section.title else "The checker recorded no stack for these."
            lines.append(StackLine(((look.cut(words, width), "runtime"),)))
        while at < len(stops) and stops[at].section == number:
            lines += _stop_lines(section, stops[at], at, at == chosen, sources, look, width)
            at += 1
        if section.left:
            words = f" {look.ellipsis} {look.count(section.left)} more frames"
            lines.append(StackLine(((look.cut(words, width), "runtime"),)))
    return tuple(lines)


def _stop_lines(
    section: Section, stop: Stop, number: int, chosen: bool, sources: Sources, look: Look, width: int
) -> list[StackLine]:
    frame = section.stack[stop.frame]
    if stop.folded > 1:
        words = f"{look.fold} {stop.folded} runtime frames"
        return [StackLine(((" ", ""), (look.cut(words, width - 1), "runtime")), number)]
    in_library = section.library[stop.frame]
    if not chosen:
        return [StackLine(_frame_pieces(frame, in_library, look, width), number)]
    size = section.size if stop.frame == section.program else ""
    return _chosen(frame, number, in_library, size, sources, look, width)


def _frame_pieces(frame: Frame, in_library: bool, look: Look, width: int) -> tuple[Piece, ...]:
    """One line: the function as short as it must be, then where it is."""
    where = look.text(place(frame) if frame.file or not frame.function else module_name(frame))
    where = look.cut(where, max(0, width // 2))
    room = max(0, width - 3 - len(where))
    part = "runtime" if in_library else "program"
    if not (frame.function or frame.linkage_name):
        return ((" ", ""), (where, part))
    mark = INLINED if frame.inlined and room > 2 * len(INLINED) else ""
    room -= len(mark)
    name = look.cut(look.text(shorten(function_name(frame), room)), room)
    return ((" ", ""), (name, part), (mark, "inlined"), ("  ", ""), (where, "location"))


def _chosen(
    frame: Frame, number: int, in_library: bool, size: str, sources: Sources, look: Look, width: int
) -> list[StackLine]:
    part = "runtime" if in_library else "program"
    where = look.text(place(frame))
    name = look.text(function_name(frame)) if frame.function or frame.linkage_name else where
    lines: list[StackLine] = []
    mark = INLINED if frame.inlined else ""
    if name is not where and len(name) + len(mark) + len(where) + 3 <= width:
        lines.append(StackLine(((" ", ""), (name, part), (mark, "inlined"), ("  ", ""), (where, "location")), number))
    else:
        lines += [StackLine(((" ", ""), (piece, part)), number) for piece in _wrapped(name, width - 1, look)]
        if name is not where:
            where = look.cut(where, width - 3 - len(mark))
            lines.append(StackLine((("   ", ""), (where, "location"), (mark, "inlined")), number))
    return lines + _source(frame, number, size, sources, look, width)


def _source(frame: Frame, number: int, size: str, sources: Sources, look: Look, width: int) -> list[StackLine]:
    if not frame.file or not frame.line:
        return []
    excerpt = sources.around(frame.file, frame.line)
    if not excerpt.lines:
        words = _wrapped(look.text(excerpt.missing), width - 3, look)
        return [StackLine((("   ", ""), (piece, "missing")), number) for piece in words]
    digits = max(4, len(str(excerpt.lines[-1][0])) + 1)
    indent = min((len(text) - len(text.lstrip()) for _, text in excerpt.lines if text.strip()), default=0)
    language = language_of(frame.file)
    lines = []
    for line, text in excerpt.lines:
        here = line == frame.line
        code = look.text(text[indent:].rstrip())
        gutter = (look.cursor if here else " ") + str(line).rjust(digits)
        tail = f"  {size}" if here and size else ""
        code = look.cut(code, max(0, width - len(gutter) - 3 - len(tail)))
        pieces: tuple[Piece, ...] = (
            (gutter, "source-mark" if here else "source-number"),
            (f" {look.rule} ", "source-mark" if here else "rule"),
            *_coloured(code, language, here=here),
            (tail, "size"),
        )
        lines.append(StackLine(pieces, number))
    return lines


def _coloured(code: str, language: str, *, here: bool) -> list[Piece]:
    """A source line's words in their colours, bold where the leak is."""
    ground = "source-line" if here else "source"
    return [(text, f"{part}{'-line' if here else ''}" if part else ground) for text, part in spans(code, language)]


def _wrapped(words: str, width: int, look: Look) -> list[str]:
    """Words over as many lines as they take, up to four; broken after a space, a comma, a ``/`` or ``::`` where one is near."""
    width = max(width, 8)
    rest = look.cut(words, width * _TEXT_LINES)
    lines: list[str] = []
    while len(rest) > width and len(lines) < _TEXT_LINES - 1:
        breaks = (rest.rfind(mark, width // 2, width - len(mark) + 1) + len(mark) for mark in (" ", ",", "/", "::"))
        end = max((at for at in breaks if at > width // 2), default=width)
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*lines, look.cut(rest, width)]


def note_lines(notes: Sequence[str], look: Look, width: int) -> tuple[StackLine, ...]:
    """The report's notes in full, each wrapped, each a stop of the cursor."""
    from textwrap import wrap

    lines: list[StackLine] = []
    for number, note in enumerate(notes):
        mark = f" {look.note} "
        for at, piece in enumerate(wrap(look.text(clean(note)), max(8, width - 4)) or [""]):
            lines.append(StackLine(((mark if at == 0 else "   ", "note-mark"), (piece, "note-text")), number))
    return tuple(lines)
