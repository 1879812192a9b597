"""A checker's other errors: which pass a filter, and their rows as pieces of text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from memtui.leaks.columns import Piece, padded
from memtui.leaks.filter import Field, Filter, PatternError, PatternMatcher, SizeTerm, Term
from memtui.leaks.look import Look
from memtui.leaks.model import never
from memtui.leaks.names import function_name, is_library_frame, module_name, place, program_index, shorten
from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame

_TIMES, _GAP = 6, 2
_LOCATION_FROM = 60
# Frames of one stack that a filter looks at: more than checkers record.
_LOOKED_AT = 256


class ErrorRows(NamedTuple):
    """``indexes`` of those of ``errors`` that pass; ``trouble``: why the filter could not be answered."""

    errors: Sequence[CheckerError]
    indexes: tuple[int, ...]
    trouble: str = ""

    def error(self, position: int) -> CheckerError:
        return self.errors[self.indexes[position]]


def errors_passing(
    errors: Sequence[CheckerError],
    query: Filter,
    match_pattern: PatternMatcher,
    cancelled: Callable[[], bool] = never,
) -> ErrorRows:
    """Sizes mean nothing of an error; ``kind:`` is the checker's word for it. Raises Cancelled."""
    indexes = list(range(len(errors)))
    try:
        for term in query.terms:
            if isinstance(term, SizeTerm) or term.field is Field.STATE:
                continue
            texts = [_texts(errors[index], term) for index in indexes]
            hits = _hits(texts, term, match_pattern, cancelled)
            indexes = [index for index, hit in zip(indexes, hits, strict=True) if hit is not term.exclude]
    except PatternError as trouble:
        return ErrorRows(errors, (), str(trouble))
    return ErrorRows(errors, tuple(indexes))


def _hits(
    texts: list[list[str]], term: Term, match_pattern: PatternMatcher, cancelled: Callable[[], bool]
) -> list[bool]:
    if term.field is Field.PATTERN:
        strings = list({text for some in texts for text in some})
        found = {
            string
            for string, hit in zip(
                strings, match_pattern(term.text, not term.any_case, strings, cancelled), strict=True
            )
            if hit
        }
        return [not found.isdisjoint(some) for some in texts]
    if term.any_case:
        return [any(term.text in text.lower() for text in some) for some in texts]
    return [any(term.text in text for text in some) for some in texts]


def _texts(error: CheckerError, term: Term) -> list[str]:
    if term.field is Field.KIND:
        return [error.kind]
    stacks = [error.stack, *(detail.stack for detail in error.details)]
    frames = [frame for stack in stacks for frame in stack[:_LOOKED_AT]]
    if term.field is Field.LIBRARY:
        return [frame.module.path for frame in frames if frame.module is not None]
    functions = [frame.function or frame.linkage_name or "" for frame in frames]
    files = [frame.file or "" for frame in frames]
    if term.field is Field.FUNCTION:
        return functions
    if term.field is Field.FILE:
        return files
    return [error.kind, error.what, *functions, *files]


def own_frame(error: CheckerError) -> Frame | None:
    """The program's first frame of an error."""
    program = program_index(error.stack[:_LOOKED_AT], map(is_library_frame, error.stack[:_LOOKED_AT]))
    return None if program is None else error.stack[program]


def error_words(error: CheckerError) -> str:
    """What the checker says of it, else its word for it."""
    return clean(error.what or error.kind)


def error_header(width: int) -> list[Piece]:
    words = f" {'TIMES'.rjust(_TIMES)}{' ' * _GAP}ERROR"
    if width >= _LOCATION_FROM:
        words = words.ljust(width - 1 - len("LOCATION")) + "LOCATION"
    return [(words[:width].ljust(width), "header")]


def error_row(rows: ErrorRows, position: int, width: int, look: Look, *, cursor: bool) -> list[Piece]:
    """One row, exactly ``width`` cells: how often, what, in which function, where."""
    error = rows.error(position)
    frame = own_frame(error)
    where = ""
    if frame is not None and width >= _LOCATION_FROM:
        where = look.cut(look.text(place(frame) if frame.file else module_name(frame)), 24)
    room = max(0, width - 2 - _TIMES - _GAP - (cell_len(where) + _GAP if where else 0))
    what = look.cut(look.text(error_words(error)), room)
    left = room - cell_len(what) - _GAP
    name = ""
    if frame is not None and left > 8:
        name = look.cut(look.text(shorten(function_name(frame), left)), left)
    pieces: list[Piece] = [
        (look.cursor if cursor else " ", "mark"),
        (look.count(error.count).rjust(_TIMES), "objects"),
        (" " * _GAP, ""),
        (what, "fault"),
        (f"{' ' * _GAP}{name}" if name else "", "function"),
    ]
    used = sum(cell_len(text) for text, _ in pieces) + cell_len(where) + 1
    pieces.append((" " * max(0, width - used), ""))
    pieces += [(where, "location"), (" ", "")]
    over = sum(cell_len(text) for text, _ in pieces) - width
    return [(padded(look, "".join(text for text, _ in pieces), width), "fault")] if over > 0 else pieces


def count_words(errors: Sequence[CheckerError]) -> str:
    """``3 errors: Invalid read of size 4 …``, for the row above the leaks."""
    noun = "error" if len(errors) == 1 else "errors"
    return f"{len(errors)} other {noun}: {error_words(errors[0])}"
