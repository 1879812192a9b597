"""A checker's other errors: which of them pass a filter, and what a row says of one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

from memtui.reports.filter import Field, Filter, PatternError, PatternMatcher, SizeTerm, Term, matching_strings
from memtui.reports.names import program_index
from memtui.reports.table import never
from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame

# Frames of one stack that a filter examines: more than checkers record.
_MOST_FRAMES = 256


class ErrorRows(NamedTuple):
    """The errors of a report, and the ``indexes`` of those that pass; ``trouble``: why the filter could not be answered."""

    errors: Sequence[CheckerError]
    indexes: tuple[int, ...]
    trouble: str = ""


def errors_passing(
    errors: Sequence[CheckerError],
    query: Filter,
    match_pattern: PatternMatcher,
    cancelled: Callable[[], bool] = never,
) -> ErrorRows:
    """Return the errors that pass a filter, in which ``kind:`` is the checker's word for one. Raises Cancelled.

    Terms on sizes and on changes are ignored.
    """
    indexes = list(range(len(errors)))
    try:
        for term in query:
            if isinstance(term, SizeTerm) or term.field is Field.STATE:
                continue
            texts = [_texts(errors[index], term) for index in indexes]
            matching = matching_strings(set(chain.from_iterable(texts)), term, match_pattern, cancelled)
            indexes = [
                index for index, some in zip(indexes, texts, strict=True) if matching.isdisjoint(some) is term.exclude
            ]
    except PatternError as trouble:
        return ErrorRows(errors, (), str(trouble))
    return ErrorRows(errors, tuple(indexes))


def _texts(error: CheckerError, term: Term) -> list[str]:
    if term.field is Field.KIND:
        return [error.kind]
    stacks = [error.stack, *(detail.stack for detail in error.details)]
    frames = [frame for stack in stacks for frame in stack[:_MOST_FRAMES]]
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
    """Return the program's first frame on the stack of an error, None where there is no stack."""
    program = program_index(error.stack[:_MOST_FRAMES])
    return None if program is None else error.stack[program]


def error_words(error: CheckerError) -> str:
    """Return what the checker says of an error, else its word for the kind."""
    return clean(error.what or error.kind)


def count_words(errors: Sequence[CheckerError]) -> str:
    """Return ``3 other errors: Invalid read of size 4 …``, for the row above the leaks."""
    noun = "error" if len(errors) == 1 else "errors"
    return f"{len(errors)} other {noun}: {error_words(errors[0])}"
