"""The mode and rate that are wanted but not applied, and the rate as a person types it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.control.pending import SLIDER_MAX, PendingControls, next_half, parse_rate
from memtui.session.follower import SessionFollower
from memtui.session.state import RateRead
from tests.fixtures.sessions import END_S, STARTED, storyboard


@pytest.mark.parametrize(
    ("rate", "direction", "expected"),
    [
        (2.7, 1, 3.0),
        (2.7, -1, 2.5),
        (3.0, 1, 3.5),
        (3.0, -1, 2.5),
        (0.0, -1, 0.0),
        (0.2, -1, 0.0),
        (10.0, 1, 10.0),
        (9.9, 1, 10.0),
        (12.0, 1, 12.0),
        (12.0, -1, 10.0),
    ],
)
def test_a_step_goes_to_the_next_half(rate: float, direction: int, expected: float) -> None:
    assert next_half(rate, direction) == expected


@given(st.floats(0, 10), st.sampled_from([-1, 1]))
def test_a_step_from_anywhere_lands_on_a_half_in_range_and_moves_less_than_one(rate: float, direction: int) -> None:
    stepped = next_half(rate, direction)
    assert 0 <= stepped <= SLIDER_MAX
    assert (stepped * 2) == int(stepped * 2)
    assert abs(stepped - rate) <= 0.5 + 1e-6


@pytest.mark.parametrize(("text", "value"), [("2.5", 2.5), (" 0 ", 0.0), ("10", 10.0), ("1e1", 10.0), (".25", 0.25)])
def test_a_decimal_is_taken_as_typed(text: str, value: float) -> None:
    typed = parse_rate(text)
    assert (typed.value, typed.refusal, typed.warning) == (value, "", "")


@pytest.mark.parametrize("text", ["", "abc", "-1", "nan", "inf", "-inf", "1,5", "1_0", "٣", "0x10", "--"])
def test_what_is_no_rate_is_refused_in_a_sentence(text: str) -> None:
    typed = parse_rate(text)
    assert typed.value is None
    assert typed.refusal.endswith(".")
    assert len(typed.refusal) > 20


def test_above_ten_is_allowed_with_a_warning() -> None:
    typed = parse_rate("12.5")
    assert typed.value == 12.5
    assert "useful range" in typed.warning


@given(st.text(max_size=20))
def test_no_text_breaks_the_reading_of_a_rate(text: str) -> None:
    typed = parse_rate(text)
    assert (typed.value is None) == bool(typed.refusal)
    assert typed.value is None or (typed.value >= 0 and math.isfinite(typed.value))


def test_what_equals_the_applied_is_not_pending() -> None:
    controls = PendingControls("normal", 2.0)
    moved = controls.with_rate(3.0).with_mode("draconian")
    assert moved.changed
    assert moved.what() == "mode, rate"
    assert (moved.shown_mode, moved.shown_rate) == ("draconian", 3.0)
    back = moved.with_rate(2.0).with_mode("normal")
    assert not back.changed
    assert moved.reverted() == controls


def test_without_a_rate_of_memtui_the_default_is_shown_and_nothing_is_set() -> None:
    controls = PendingControls()
    assert controls.shown_rate == 1.0
    assert controls.wanted_rate is None
    assert controls.with_rate(1.5).wanted_rate == 1.5
    assert not controls.with_rate(1.5).with_rate(1.0).changed


def test_the_rate_of_the_process_is_shown_and_what_it_has_is_not_pending() -> None:
    controls = PendingControls("normal", None).with_rate(7.5)
    read = controls.reading(RateRead(1.0))
    assert (read.current_rate, read.rate, read.wanted_rate) == (1.0, 7.5, 7.5)
    live = read.reading(RateRead(7.5, "live"))
    assert not live.changed
    assert (live.current_rate, live.wanted_rate) == (7.5, 7.5), "a relaunch gives the rate that is shown"
    assert live.with_rate(1.0).rate == 1.0
    assert live.reading(RateRead(1.0)).wanted_rate is None, "tcmalloc's default needs no setting"
    assert live.reading(None).current_rate == 1.0
    assert live.reading(live.read) is live


def test_a_new_run_applies_what_was_pending_and_keeps_what_came_after(tmp_path: Path) -> None:
    state = SessionFollower(storyboard(tmp_path)).poll(STARTED + END_S, live=True)
    run = state.runs[-1]
    assert (run.row.mode, run.row.release_rate) == ("draconian", 7.5)
    assert not PendingControls("normal", None, mode="draconian", rate=7.5).applied(run).changed
    later = PendingControls("normal", None, mode="draconian", rate=9.0).applied(run)
    assert (later.mode, later.rate) == (None, 9.0)
