from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_profiler.diagnosis.trend import growth_rate, recent_trend

MIB = 1 << 20


def series(of: Callable[[float], float], seconds: float, hz: float = 2.0) -> tuple[list[float], list[int]]:
    times = [n / hz for n in range(int(seconds * hz) + 1)]
    return times, [int(of(t)) for t in times]


def noise(seed: int, mib: float) -> Callable[[], float]:
    dice = random.Random(seed)
    return lambda: dice.gauss(0, mib * MIB)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("slope", [0.4, 3.0])
def test_a_leak_under_noise_is_found_with_its_rate(seed: int, slope: float) -> None:
    wobble = noise(seed, 4)
    trend = recent_trend(*series(lambda t: 400 * MIB + slope * MIB * t + wobble(), 120))
    assert trend is not None and trend.sure
    assert trend.slope == pytest.approx(slope * MIB, rel=0.25)


@pytest.mark.parametrize("seed", range(60))
def test_noise_alone_is_never_growth(seed: int) -> None:
    wobble = noise(seed, 8)
    trend = recent_trend(*series(lambda _: 400 * MIB + wobble(), 300))
    assert trend is not None and not trend.sure


def test_a_slow_leak_shows_in_a_longer_window() -> None:
    wobble = noise(1, 1)
    trend = recent_trend(*series(lambda t: 400 * MIB + 0.02 * MIB * t + wobble(), 590, hz=1))
    assert trend is not None and trend.sure and trend.span_s > 500


@pytest.mark.parametrize("level_s", [20, 60, 200])
def test_the_climb_of_a_start_is_no_growth_once_it_is_level(level_s: int) -> None:
    wobble = noise(3, 1)
    trend = recent_trend(*series(lambda t: min(t / 5, 1.0) * 300 * MIB + wobble(), 5 + level_s))
    assert trend is not None and not trend.sure


@pytest.mark.parametrize("since_s", [25, 40, 80, 200])
def test_growth_that_ended_is_not_called_growth(since_s: int) -> None:
    wobble = noise(4, 5)
    trend = recent_trend(*series(lambda t: min(t, 110) * 100 * MIB + wobble(), 110 + since_s))
    assert trend is not None and not trend.sure


@pytest.mark.parametrize("seconds", [120, 150, 300, 600])
def test_a_leak_under_bursts_is_found(seconds: int) -> None:
    def bursts(t: float) -> float:
        return (400 + 5.3 * t + 560 * max(0.0, math.sin(t / 9)) ** 4) * MIB

    trend = recent_trend(*series(bursts, seconds, hz=1))
    assert trend is not None and trend.sure
    assert trend.slope == pytest.approx(5.3 * MIB, rel=0.15)


def test_bursts_that_come_and_go_are_no_growth() -> None:
    trend = recent_trend(*series(lambda t: (300 + 100 * math.sin(t / 2)) * MIB, 300))
    assert trend is not None and not trend.sure


def test_a_fall_is_negative() -> None:
    trend = recent_trend(*series(lambda t: (900 - 2 * t) * MIB, 60))
    assert trend is not None and trend.sure and trend.slope == pytest.approx(-2 * MIB)


@pytest.mark.parametrize("seconds", [0, 3, 14])
def test_too_little_is_no_trend(seconds: float) -> None:
    assert recent_trend(*series(lambda t: t * MIB, seconds)) is None


def test_few_samples_are_no_trend() -> None:
    assert recent_trend([0.0, 100.0, 200.0], [1, 2, 3]) is None
    assert recent_trend([], []) is None


def test_the_figure_in_the_header() -> None:
    assert growth_rate(*series(lambda t: 7 * MIB * t, 60)) == pytest.approx(7 * MIB, rel=0.01)
    assert growth_rate(*series(lambda t: 7 * MIB * t, 2)) is None
    assert growth_rate([], []) is None
    # One spike moves no median.
    times, sizes = series(lambda _: 100 * MIB, 60)
    sizes[-5] *= 9
    assert growth_rate(times, sizes) == 0


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 2**50)), max_size=80).map(
        lambda p: sorted(p, key=lambda x: x[0])
    )
)
def test_no_series_breaks_it(points: list[tuple[float, int]]) -> None:
    times, sizes = [t for t, _ in points], [v for _, v in points]
    trend = recent_trend(times, sizes)
    assert trend is None or (math.isfinite(trend.slope) and math.isfinite(trend.score))
    rate = growth_rate(times, sizes)
    assert rate is None or math.isfinite(rate)


def test_six_hundred_points_cost_little() -> None:
    times, sizes = series(lambda t: 400 * MIB + (t % 7) * MIB, 600, hz=1)
    began = time.process_time()
    for _ in range(20):
        recent_trend(times, sizes)
    assert (time.process_time() - began) / 20 < 0.01
