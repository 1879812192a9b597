"""The filter language: what a user types after ``/``, as a value, and the records that pass it.

    word      any frame of the stack has it in its function or file name     -word   none has it
    fn: file: lib: kind:    the same for functions, files, modules, or the record's kind
    re:       a regular expression over function and file names
    state:    new, gone, grown, shrunk or same, where two reports are compared
    >1M <4K   larger, smaller than
Terms are parted by spaces, ``"`` holds one with spaces together, all must hold. A term in lower case matches any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from memtui.leaks.model import BATCH, Cancelled, LeakTable, never
from memtui_parsers.report_diff import Change
from memtui_parsers.values import Frame

TEXT_LIMIT = 400

_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_SIZE = re.compile(r"([<>])=?(\d{1,15}(?:\.\d{0,6})?)\s*([kmgt]?)(?:i?b)?$", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Field(str, Enum):
    ANY = ""
    FUNCTION = "fn"
    FILE = "file"
    LIBRARY = "lib"
    KIND = "kind"
    PATTERN = "re"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a filter: ``field`` has ``text`` in it, or with ``exclude`` has not. ``any_case``: smart case found it lower."""

    field: Field
    text: str
    exclude: bool = False

    @property
    def any_case(self) -> bool:
        return self.text == self.text.lower()


@dataclass(frozen=True, slots=True)
class SizeTerm:
    """Records of more (or with ``below`` less) than ``size_bytes``."""

    size_bytes: float
    below: bool = False
    exclude: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    terms: tuple[Term | SizeTerm, ...] = ()


ON_FRAMES = frozenset({Field.ANY, Field.FUNCTION, Field.FILE, Field.LIBRARY, Field.PATTERN})


class PatternError(ValueError):
    """A term that cannot be answered: a pattern that is none, or takes too long, or nothing is compared; the message says which."""


# The pattern, whether case matters, the strings, cancelled(): for each string whether the pattern is in it.
PatternMatcher = Callable[[str, bool, Sequence[str], Callable[[], bool]], Sequence[bool]]


def parse_filter(text: str) -> Filter:
    """Any text is a filter; a term that is not finished yet (``>``, ``fn:``, ``-``) counts for nothing."""
    terms: list[Term | SizeTerm] = []
    for token in _TOKEN.findall(text[:TEXT_LIMIT]):
        exclude = token.startswith("-")
        word = token[1:] if exclude else token
        size = _SIZE.match(word)
        if size:
            scale = 1024 ** _POWERS[size[3].lower()]
            terms.append(SizeTerm(float(size[2]) * scale, below=size[1] == "<", exclude=exclude))
            continue
        prefix, colon, rest = word.partition(":")
        named = next((field for field in Field if colon and field.value == prefix.lower() and field.value), Field.ANY)
        # std::string is a name, not a field called std.
        wanted = (word if named is Field.ANY else rest).replace('"', "")
        if wanted and word not in (">", "<"):
            terms.append(Term(named, wanted, exclude))
    return Filter(tuple(terms))


def passing(
    table: LeakTable, query: Filter, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> list[int]:
    """Indexes of the records that pass, largest first. Raises Cancelled, and PatternError."""
    kept: Sequence[int] = table.by_size
    for term in query.terms:
        if isinstance(term, SizeTerm):
            test = _size_test(table, term)
        elif term.field is Field.KIND:
            test = _kind_test(table, term)
        elif term.field is Field.STATE:
            test = _state_test(table, term)
        else:
            test = _frame_test(table, term, match_pattern, cancelled)
        passed: list[int] = []
        for start in range(0, len(kept), BATCH):
            if cancelled():
                raise Cancelled
            passed.extend(index for index in kept[start : start + BATCH] if test(index) is not term.exclude)
        kept = passed
    return list(kept)


def _size_test(table: LeakTable, term: SizeTerm) -> Callable[[int], bool]:
    leaks, bound = table.report.leaks, term.size_bytes
    if term.below:
        return lambda index: leaks[index].size_bytes < bound
    return lambda index: leaks[index].size_bytes > bound


def _kind_test(table: LeakTable, term: Term) -> Callable[[int], bool]:
    leaks, wanted = table.report.leaks, term.text.lower()
    return lambda index: wanted in leaks[index].kind.value


def _state_test(table: LeakTable, term: Term) -> Callable[[int], bool]:
    if table.difference is None:
        raise PatternError("state: needs a report to compare with: d")
    deltas, wanted = table.difference.deltas, term.text.lower()
    named = frozenset(change for change in Change if change.value.startswith(wanted))
    return lambda index: deltas[index].change in named


def _frame_test(
    table: LeakTable, term: Term, match_pattern: PatternMatcher, cancelled: Callable[[], bool]
) -> Callable[[int], bool]:
    """A record costs one look at its stack's ids."""
    hits = frame_hits(table, term, match_pattern, cancelled)
    leaks = table.report.leaks
    return lambda index: not hits.isdisjoint(map(id, leaks[index].stack))


def frame_hits(
    table: LeakTable, term: Term, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> set[int]:
    """The ids of the frames that a term on frames is in. Each distinct string is matched once, then each distinct frame.

    Raises Cancelled, and PatternError.
    """
    texts = _FRAME_TEXTS[term.field]
    distinct = {text for frame in table.frames.values() for text in texts(frame) if text}
    if term.field is Field.PATTERN:
        strings = list(distinct)
        answers = match_pattern(term.text, not term.any_case, strings, cancelled)
        found = {string for string, hit in zip(strings, answers, strict=True) if hit}
    elif term.any_case:
        found = {string for string in distinct if term.text in string.lower()}
    else:
        found = {string for string in distinct if term.text in string}
    return {identity for identity, frame in table.frames.items() if not found.isdisjoint(texts(frame))}


def _function(frame: Frame) -> tuple[str, ...]:
    return (frame.function or frame.linkage_name or "",)


def _file(frame: Frame) -> tuple[str, ...]:
    return (frame.file or "",)


def _library(frame: Frame) -> tuple[str, ...]:
    return (frame.module.path if frame.module is not None else "",)


def _any(frame: Frame) -> tuple[str, ...]:
    return _function(frame) + (_file(frame) if frame.file else _library(frame))


_FRAME_TEXTS: dict[Field, Callable[[Frame], tuple[str, ...]]] = {
    Field.ANY: _any,
    Field.PATTERN: _any,
    Field.FUNCTION: _function,
    Field.FILE: _file,
    Field.LIBRARY: _library,
}
