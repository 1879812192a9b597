from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.allocators.stats import AllocatorDetail, Arena, SizeClass, SpanList
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators.detail_json import MAX_ROWS, from_json, to_json

DETAIL = AllocatorDetail((SizeClass(8, 500), SizeClass(32, 1)), (SpanList(0, 1, 2, 3),), (Arena("main", 10, 5),))
SIZE = st.integers(0, (1 << 63) - 1)
DETAILS = st.builds(
    AllocatorDetail,
    st.lists(st.builds(SizeClass, SIZE, SIZE), max_size=5).map(tuple),
    st.lists(st.builds(SpanList, SIZE, SIZE, SIZE, SIZE), max_size=5).map(tuple),
    st.lists(st.builds(Arena, st.from_regex(r"[a-z0-9 ]{0,64}", fullmatch=True), SIZE, SIZE), max_size=5).map(tuple),
)


def test_it_is_short() -> None:
    assert to_json(DETAIL) == '{"classes":[[8,500],[32,1]],"spans":[[0,1,2,3]],"arenas":[["main",10,5]]}'


@given(DETAILS)
def test_there_and_back(detail: AllocatorDetail) -> None:
    assert from_json(to_json(detail)) == detail


def test_a_table_that_is_not_there_is_empty() -> None:
    assert from_json('{"classes": [[8, 1]], "of a later version": 1}') == AllocatorDetail((SizeClass(8, 1),))


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "[]", "1", '"x"', "null", '{"classes": 1}', '{"classes": [1]}', '{"classes": [[1]]}', '{"spans": [[1, 2, 3]]}',
        '{"classes": [[1, "2"]]}', '{"classes": [[1, -2]]}', '{"classes": [[1, 2.5]]}', '{"classes": [[1, true]]}',
        '{"classes": [[1, 9223372036854775808]]}', '{"classes": [[1, NaN]]}', '{"arenas": [[1, 2, 3]]}', '{"arenas": [[]]}',
        '{"arenas": [["main", 2]]}', "[" * 100_000, json.dumps({"classes": [[1, 1]] * (MAX_ROWS + 1)}),
    ],
    ids=range(21),
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        from_json(text)


def test_a_name_from_elsewhere_is_made_safe() -> None:
    assert from_json('{"arenas": [["\\u001b[31mred\\u0007", 2, 1]]}').arenas == (Arena("red", 2, 1),)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    try:
        from_json(text)
    except ParseError:
        return
