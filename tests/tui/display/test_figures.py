"""Sizes, counts and clocks keep their width whatever their value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.display.figures import brief, clock, count, percent, rate, signed, tight
from memtui_profiler.words import size_words


@pytest.mark.parametrize(
    ("size_bytes", "narrow", "wide"),
    [
        (0, "0B", "0 B"),
        (999, "999B", "999 B"),
        (1000, "1.0K", "1.0 KiB"),
        (1024, "1.0K", "1.0 KiB"),
        (102_400, "100K", "100.0 KiB"),
        (43_201_331, "41.2M", "41.2 MiB"),
        (1_048_575, "1.0M", "1.0 MiB"),
        (int(14.2 * 2**30), "14.2G", "14.2 GiB"),
    ],
)
def test_sizes_as_the_screen_writes_them(size_bytes: int, narrow: str, wide: str) -> None:
    assert (tight(size_bytes), size_words(size_bytes)) == (narrow, wide)


@given(st.integers(0, 2**63))
def test_no_size_is_wider_than_its_column(size_bytes: int) -> None:
    assert len(tight(size_bytes)) <= 5
    assert len(size_words(size_bytes)) <= 9
    assert len(brief(size_bytes)) <= 8
    assert len(signed(-size_bytes)) <= 6


def test_a_size_in_a_sentence_has_no_decimal_that_nobody_reads() -> None:
    assert [brief(size) for size in (380 << 20, 12.4 * 2**30, 96.94 * 2**20, 999, 1023 << 20, 0)] == [
        "380 MiB",
        "12.4 GiB",
        "96.9 MiB",
        "999 B",
        "1.0 GiB",
        "0 B",
    ]


def test_changes_carry_their_sign() -> None:
    assert [signed(size) for size in (1.2 * 2**20, -380 * 2**20, 0)] == ["+1.2M", "-380M", "="]


def test_counts_are_grouped() -> None:
    assert count(10_547) == "10\N{THIN SPACE}547"
    assert count(10_547, " ") == "10 547"
    assert count(999) == "999"


def test_clock_goes_on_past_a_day_and_never_below_zero() -> None:
    assert [clock(192.9), clock(360_000), clock(-5)] == ["00:03:12", "100:00:00", "00:00:00"]


def test_rates_carry_their_sign() -> None:
    assert [rate(1.2 * 2**20), rate(-380 * 2**20), rate(0), rate(0.2)] == ["+1.2M/s", "-380M/s", "0B/s", "0B/s"]


def test_a_share_is_never_rounded_to_nothing_or_to_all() -> None:
    assert [percent(share) for share in (0, 1e-9, 0.0005, 0.9641, 0.9999, 1)] == [
        "0.0 %",
        "<0.1 %",
        "0.1 %",
        "96.4 %",
        ">99.9 %",
        "100.0 %",
    ]
