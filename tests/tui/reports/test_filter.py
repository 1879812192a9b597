"""The filter language: what each term keeps, and that no text breaks it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui.reports import pattern
from memtui.reports.filter import Field, PatternError, SizeTerm, Term, parse_filter, passing
from memtui.reports.pattern import PATTERN_LIMIT, match_pattern
from memtui.reports.table import Cancelled, LeakTable, build_table
from tests.fixtures.leak_reports import sample_report

TABLE: LeakTable = build_table(sample_report())


def kept(text: str) -> list[int]:
    return passing(TABLE, parse_filter(text), match_pattern)


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("   ", [0, 1, 2, 3, 4]),
        ("handle_rpc", [0, 1, 3]),
        ("HANDLE_rpc", []),
        ("Relay", [2]),
        ("relay", [0, 1, 2, 3]),  # any case: in /srv/relay/src too
        ("handle_rpc -hello", [0, 3]),
        ("-worker", [4]),
        ("fn:hello", [1]),
        ("fn:Hello", [1]),
        ("fn:hELLO", []),
        ("file:peer", [3]),
        ("lib:ssl", [4]),
        ("lib:libc.so", [0, 1, 2, 3]),
        ("-lib:libc.so", [4]),
        ("kind:freed", [0, 1, 2, 3, 4]),
        ("kind:lost", []),
        ("-kind:not-freed", []),
        (">1M", [0, 1]),
        (">1.5M", [0]),
        ("<16.4k", [3, 4]),
        (">4096", [0, 1, 2, 3]),
        (">=1MiB", [0, 1]),
        (">1M fn:hello", [1]),
        ("strdup", [3]),
        ("std::thread::_M_run", [0, 1, 2, 3]),
        ('fn:"char const"', [1, 3]),
        ("re:^open_.*Conn", [0]),
        ("re:peer.cpp$", [3]),
        ("-re:^worker", [4]),
        ("re:[Hh]ello>", [1]),
        ("re:HANDLE", []),
        ("re:handle", [0, 1, 3]),
    ],
)
def test_terms(text: str, indexes: list[int]) -> None:
    assert kept(text) == indexes


@pytest.mark.parametrize("text", ["-", ">", "<", "fn:", "re:", "-file:", '"', '""', "-fn:"])
def test_a_term_half_typed_hides_nothing(text: str) -> None:
    assert parse_filter(text) == ()


def test_a_name_with_colons_is_no_field() -> None:
    assert parse_filter("std::string") == (Term(Field.ANY, "std::string"),)
    assert parse_filter("FN:x") == (Term(Field.FUNCTION, "x"),)
    assert parse_filter("->2g") == (SizeTerm(2 * 2**30, exclude=True),)
    assert parse_filter("vector<int>") == (Term(Field.ANY, "vector<int>"),)


words = st.text(
    st.characters(exclude_characters=' "\t\n\r', exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), max_size=12
)


def without_regex(pattern: str, case: bool, strings: Sequence[str], cancelled: Callable[[], bool]) -> list[bool]:
    return [pattern in string for string in strings]


@given(st.text(max_size=200))
def test_any_text_is_a_filter_that_keeps_a_subset(text: str) -> None:
    records = passing(TABLE, parse_filter(text), without_regex)
    assert records == [index for index in TABLE.by_size if index in set(records)]


@given(words, words)
def test_terms_narrow_and_their_order_does_not_matter(left: str, right: str) -> None:
    both = passing(TABLE, parse_filter(f"{left} {right}"), without_regex)
    assert both == passing(TABLE, parse_filter(f"{right} {left}"), without_regex)
    assert set(both) == set(passing(TABLE, parse_filter(left), without_regex)) & set(
        passing(TABLE, parse_filter(right), without_regex)
    )


@given(words.filter(lambda word: bool(word) and word not in "-<>" and word[0] != "-"))
def test_a_term_and_its_exclusion_part_the_records(word: str) -> None:
    if not parse_filter(word):
        return
    with_it = passing(TABLE, parse_filter(word), without_regex)
    without = passing(TABLE, parse_filter(f"-{word}"), without_regex)
    assert sorted(with_it + without) == [0, 1, 2, 3, 4]


@settings(max_examples=20, deadline=None)
@given(st.text(st.sampled_from("ab(|)[]*+?{}\\^$.1,"), min_size=1, max_size=12))
def test_any_pattern_answers_or_says_what_is_wrong(pattern: str) -> None:
    try:
        answer = match_pattern(pattern, True, ["abab", "b", ""], deadline_s=10)
    except PatternError as error:
        assert str(error)
    else:
        assert len(answer) == 3


def test_a_catastrophic_pattern_is_given_up() -> None:
    before = time.monotonic()
    with pytest.raises(PatternError, match="too long"):
        match_pattern("(a+)+$", True, ["a" * 60 + "!"], deadline_s=0.3)
    assert time.monotonic() - before < 5


def test_a_catastrophic_pattern_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        match_pattern("(a+)+$", True, ["a" * 60 + "!"], cancelled=lambda: True, deadline_s=60)


def test_many_names_reach_a_process_that_is_slow_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "_CHECK_EVERY_S", 0.001)
    names = [f"name_{n:06}" for n in range(20_000)]  # more than a pipe holds
    assert match_pattern("_000007$", True, names, deadline_s=30) == [name.endswith("_000007") for name in names]


def test_a_pattern_is_bounded_in_length() -> None:
    with pytest.raises(PatternError, match=str(PATTERN_LIMIT)):
        match_pattern("a" * (PATTERN_LIMIT + 1), True, ["a"])


def test_without_a_second_process_the_pattern_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(PatternError, match="do not work here"):
        match_pattern("a", True, ["a"])


def test_filtering_stops_when_cancelled() -> None:
    with pytest.raises(Cancelled):
        passing(TABLE, parse_filter("a"), match_pattern, lambda: True)
