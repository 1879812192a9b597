"""The filter language: the text that a user types after ``/`` as a value, and the records that pass it.

    word      any frame of the stack has it in its function or file name     -word   none has it
    fn: file: lib: kind:    the same for functions, files, modules, or the record's kind
    re:       a regular expression over function and file names
    state:    new, gone, grown, shrunk or same, where two reports are compared
    >1M <4K   larger, smaller than
Spaces separate terms, ``"`` holds one with spaces together, and all must hold. A term in lower case matches any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from memtui.reports.table import BATCH, Cancelled, LeakTable, never
from memtui_parsers.report.difference import Change
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
    """One word of a filter: ``field`` contains ``text``, or with ``exclude`` does not."""

    field: Field
    text: str
    exclude: bool = False

    @property
    def any_case(self) -> bool:
        """Whether it matches upper case too, as a text in lower case does."""
        return self.text == self.text.lower()


@dataclass(frozen=True, slots=True)
class SizeTerm:
    """Records of more than ``size_bytes``, or with ``below`` of less; with ``exclude`` all others."""

    size_bytes: float
    below: bool = False
    exclude: bool = False


# Terms that must all hold; without any, every record passes.
Filter = tuple[Term | SizeTerm, ...]

ON_FRAMES = frozenset({Field.ANY, Field.FUNCTION, Field.FILE, Field.LIBRARY, Field.PATTERN})


class PatternError(ValueError):
    """A term that cannot be answered; the message says why: no valid pattern, a pattern that takes too long, nothing compared."""


# Takes the pattern, whether case matters, the strings, and cancelled(); returns for each string whether the pattern is in it.
PatternMatcher = Callable[[str, bool, Sequence[str], Callable[[], bool]], Sequence[bool]]


def parse_filter(text: str) -> Filter:
    """Return the filter that a text is; any text is one, and a term that is not finished yet (``>``, ``fn:``, ``-``) is ignored."""
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
    return tuple(terms)


def passing(
    table: LeakTable, query: Filter, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> list[int]:
    """Return the indexes of the records that pass, largest first. Raises Cancelled, and PatternError."""
    kept: Sequence[int] = table.by_size
    for term in query:
        test = _test_of(table, term, match_pattern, cancelled)
        passed: list[int] = []
        for start in range(0, len(kept), BATCH):
            if cancelled():
                raise Cancelled
            passed.extend(index for index in kept[start : start + BATCH] if test(index) is not term.exclude)
        kept = passed
    return list(kept)


def _test_of(
    table: LeakTable, term: Term | SizeTerm, match_pattern: PatternMatcher, cancelled: Callable[[], bool]
) -> Callable[[int], bool]:
    """Return the test whether a record, by its index, is what a term says. Raises Cancelled, and PatternError."""
    leaks = table.report.leaks
    if isinstance(term, SizeTerm):
        bound = term.size_bytes
        if term.below:
            return lambda index: leaks[index].size_bytes < bound
        return lambda index: leaks[index].size_bytes > bound
    wanted = term.text.lower()
    if term.field is Field.KIND:
        return lambda index: wanted in leaks[index].kind.value
    if term.field is Field.STATE:
        if table.difference is None:
            raise PatternError("state: needs a report to compare with: d")
        deltas = table.difference.deltas
        named = frozenset(change for change in Change if change.value.startswith(wanted))
        return lambda index: deltas[index].change in named
    hits = frame_hits(table, term, match_pattern, cancelled)
    return lambda index: not hits.isdisjoint(map(id, leaks[index].stack))


def frame_hits(
    table: LeakTable, term: Term, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> set[int]:
    """Return the id()s of the frames that contain a term. Raises Cancelled, and PatternError.

    Each distinct string is matched once, then each distinct frame.
    """
    texts = _FRAME_TEXTS[term.field]
    distinct = {text for frame in table.frames.values() for text in texts(frame) if text}
    matching = matching_strings(distinct, term, match_pattern, cancelled)
    return {identity for identity, frame in table.frames.items() if not matching.isdisjoint(texts(frame))}


def matching_strings(
    strings: Iterable[str], term: Term, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> set[str]:
    """Return those of ``strings`` that have the term in them. Raises Cancelled, and PatternError."""
    if term.field is Field.PATTERN:
        distinct = list(strings)
        answers = match_pattern(term.text, not term.any_case, distinct, cancelled)
        return {string for string, hit in zip(distinct, answers, strict=True) if hit}
    if term.any_case:
        return {string for string in strings if term.text in string.lower()}
    return {string for string in strings if term.text in string}


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
