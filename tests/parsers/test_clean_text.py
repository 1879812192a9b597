from __future__ import annotations

import itertools
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.clean_text import LineCleaner, clean, clean_lines


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain text", "plain text"),
        ("a\tb", "a b"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b]unterminated\nnext", " next"),
        ("\x1b(Bcharset", "charset"),
        ("\x9b31mC1", "C1"),
        ("\x1b\x1b[31mnested", "nested"),
        ("ab\x08\x08cd\x00\x7f", "abcd"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u200bb\ufeffc\U000e0041d", "abcd"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("_M_create[abi:cxx11] [clone .isra.0]", "_M_create[abi:cxx11] [clone .isra.0]"),
        ("größe 記憶 🚀", "größe 記憶 🚀"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
    ],
)
def test_what_a_terminal_would_act_on_is_removed(raw: str | bytes, expected: str) -> None:
    assert clean(raw) == expected


def test_a_long_text_is_cut_and_says_so() -> None:
    assert clean("x" * 100, 10) == "x" * 9 + "…"
    assert clean("x" * 10, 10) == "x" * 10


def test_a_text_whose_bulk_is_control_characters_is_still_bounded() -> None:
    assert len(clean("\x1b[m" * 10_000_000 + "end", 100)) <= 100


def test_long_ascii_is_fast() -> None:
    text = "x" * 4000
    began = time.process_time()
    for _ in range(10_000):
        clean(text)
    assert time.process_time() - began < 1.0


@given(st.text(st.characters(), max_size=200) | st.binary(max_size=200), st.integers(1, 50))
def test_nothing_unsafe_survives(raw: str | bytes, limit: int) -> None:
    cleaned = clean(raw, limit)
    assert len(cleaned) <= limit
    assert not any(unicodedata.category(c) in {"Cc", "Cs"} for c in cleaned)
    assert not set(cleaned) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")
    cleaned.encode()


@given(st.text(max_size=100))
def test_cleaning_twice_changes_nothing_more(raw: str) -> None:
    assert clean(clean(raw)) == clean(raw)


def test_every_line_end_ends_a_line() -> None:
    assert clean_lines(b"one\ntwo\r\nthree\rfour\r\r\nfive\n\nlast") == [
        "one",
        "two",
        "three",
        "four",
        "",
        "five",
        "",
        "last",
    ]


def test_a_line_end_split_between_chunks_counts_once() -> None:
    cleaner = LineCleaner()
    assert cleaner.feed(b"a\r") == ["a"]
    assert cleaner.feed(b"\n") == []
    assert cleaner.feed(b"\n") == [""]


def test_an_overlong_line_is_cut_with_a_marker_and_the_next_is_whole() -> None:
    assert clean_lines(b"x" * 5000 + b"\nnext", limit=10) == ["x" * 10 + "…", "next"]


LINES = st.binary(max_size=60) | st.lists(
    st.sampled_from([b"ab", b"\r", b"\n", b"\x1b[3", b"1m", b"\xc3", b"\xa9"])
).map(b"".join)


@given(LINES, st.lists(st.integers(0, 60)), st.integers(1, 12))
def test_any_chunking_gives_the_same_lines(data: bytes, cuts: list[int], limit: int) -> None:
    cleaner = LineCleaner(limit)
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    lines = [
        line for start, end in itertools.pairwise(edges) for line in cleaner.feed(data[start:end])
    ] + cleaner.finish()
    assert lines == clean_lines(data, limit)
