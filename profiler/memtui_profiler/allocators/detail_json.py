"""AllocatorDetail as the short JSON that a session keeps of it: rows of numbers, and names for arenas."""

from __future__ import annotations

import json
from typing import TypeVar

from memtui_parsers.allocators.stats import AllocatorDetail, Arena, SizeClass, SpanList
from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError

MAX_ROWS = 20_000
_NAME_CHARS = 64
_MOST = (1 << 63) - 1

T = TypeVar("T")


def to_json(detail: AllocatorDetail) -> str:
    """Return ``{"classes": [[size, free objects]], "spans": [[pages, spans, free, returned]], "arenas": [...]}``.

    An arena is ``[name, system bytes, free bytes]``.
    """
    return json.dumps(
        {
            "classes": [[c.size_bytes, c.free_objects] for c in detail.size_classes],
            "spans": [[s.pages, s.spans, s.free_bytes, s.returned_bytes] for s in detail.spans],
            "arenas": [[a.name, a.system_bytes, a.free_bytes] for a in detail.arenas],
        },
        separators=(",", ":"),
    )


def from_json(text: str) -> AllocatorDetail:
    """Raises ParseError for what to_json() does not write: a session may come from anywhere."""
    try:
        tables = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError("allocator detail is no JSON", excerpt=text) from error
    if not isinstance(tables, dict):
        raise ParseError("allocator detail is no object", excerpt=text)
    return AllocatorDetail(
        size_classes=tuple(SizeClass(*_numbers(row, 2)) for row in _rows(tables, "classes")),
        spans=tuple(SpanList(*_numbers(row, 4)) for row in _rows(tables, "spans")),
        arenas=tuple(_arena(row) for row in _rows(tables, "arenas")),
    )


def _rows(tables: dict[str, object], name: str) -> list[object]:
    rows = tables.get(name, [])
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        raise ParseError(f"{name} of allocator detail are no rows")
    return rows


def _arena(row: object) -> Arena:
    if not isinstance(row, list) or not row or not isinstance(row[0], str):
        raise ParseError("an arena of allocator detail has no name")
    return Arena(clean(row[0], _NAME_CHARS), *_numbers(row[1:], 2))


def _numbers(row: object, count: int) -> list[int]:
    if not isinstance(row, list) or len(row) != count:
        raise ParseError(f"a row of allocator detail has not {count} numbers")
    for number in row:
        if type(number) is not int or not 0 <= number <= _MOST:
            raise ParseError("a number of allocator detail is none that memory has", excerpt=repr(number)[:80])
    return row
