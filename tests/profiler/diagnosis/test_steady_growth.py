"""Growth that goes on and on is told from series that fill up, swing, come back or stay level."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui_profiler.diagnosis.steady_growth import MIN_GROWTH_S, lasting_growth

MIB = 1 << 20


def series(of: Callable[[float], float], seconds: float, hz: float = 1.0) -> tuple[list[float], list[int]]:
    """A series in bytes of a function that gives MiB."""
    times = [n / hz for n in range(int(seconds * hz) + 1)]
    return times, [int(of(t) * MIB) for t in times]


def found_at(times: list[float], sizes: list[int]) -> list[float]:
    """The whole seconds at which the series up to then grew as a leak does."""
    found = []
    for known in range(1, len(times) + 1):
        if times[known - 1] % 1 == 0:
            growth = lasting_growth(times[:known], sizes[:known])
            if growth is not None and growth.steady:
                found.append(times[known - 1])
    return found


def noise(seed: int, mib: float) -> Callable[[], float]:
    dice = random.Random(seed)
    return lambda: dice.gauss(0, mib)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rate", "wobble", "by_s"), [(0.4, 1.0, 70), (0.4, 4.0, 90), (5.0, 8.0, 70), (0.05, 1.0, 120)])
def test_a_leak_is_found_and_stays_found(seed: int, rate: float, wobble: float, by_s: float) -> None:
    shake = noise(seed, wobble)
    times, sizes = series(lambda t: 100 + rate * t + shake(), 240)
    found = found_at(times, sizes)
    assert found and MIN_GROWTH_S <= found[0] <= by_s
    late = [at for at in times if at >= by_s + 40]
    assert set(late) <= set(found)
    growth = lasting_growth(times, sizes)
    assert growth is not None
    assert growth.trend.slope == pytest.approx(rate * MIB, rel=0.3)
    assert growth.lasts_s >= 59
    assert growth.grown_bytes == pytest.approx(growth.trend.slope * growth.lasts_s, rel=0.01)


@pytest.mark.parametrize(("period", "by_s"), [(3, 70), (6, 75), (20, 110), (60, 250)])
def test_a_leak_in_bursts_is_found(period: int, by_s: float) -> None:
    times, sizes = series(lambda t: 100 + 0.7 * (t // period * period) + (50 if t % period < 2 else 0), by_s + 60)
    found = found_at(times, sizes)
    assert found and found[0] <= by_s
    assert {at for at in times if at >= found[0]} == set(found)


@pytest.mark.parametrize(("warm_up_s", "by_s"), [(10, 110), (40, 310)])
def test_a_leak_after_a_warm_up_is_found_once_that_has_paled(warm_up_s: int, by_s: float) -> None:
    found = found_at(*series(lambda t: 50 + 5 * min(t, warm_up_s) + 0.4 * t, by_s + 30))
    assert found and found[0] <= by_s


def test_a_leak_under_old_bursts_is_found_when_they_are_over() -> None:
    """Between the bursts memory came back to where it had been: the floor counts, not the peaks."""
    times, sizes = series(lambda t: 30 + (900 if t < 80 and t % 20 < 12 else 0) + 0.4 * max(0, t - 80), 240)
    found = found_at(times, sizes)
    assert found and found[0] >= 80 + 55
    assert set(found) >= {at for at in times if at >= 165}


@pytest.mark.parametrize("tau_s", [10, 20, 40, 60])
def test_a_cache_that_fills_is_no_leak(tau_s: float) -> None:
    shake = noise(2, 0.3)
    assert not found_at(*series(lambda t: 20 + 200 * (1 - math.exp(-t / tau_s)) + shake(), 300))


@pytest.mark.parametrize("full_s", [20, 45, 50])
def test_what_fills_in_a_straight_line_and_stops_is_no_leak(full_s: float) -> None:
    assert not found_at(*series(lambda t: 20 + 2 * min(t, full_s), 200))


@pytest.mark.parametrize("period", [5, 30, 60])
def test_a_sawtooth_of_a_collector_is_no_leak(period: int) -> None:
    shake = noise(3, 1)
    assert not found_at(*series(lambda t: 200 + 100 * (t % period) / period + shake(), 400))


@pytest.mark.parametrize("period", [120, 300])
def test_a_long_tooth_is_a_leak_at_most_until_it_first_came_back(period: int) -> None:
    found = found_at(*series(lambda t: 200 + 100 * (t % period) / period, 3.5 * period))
    assert all(at < period + 5 for at in found)


@pytest.mark.parametrize("period", [7, 20, 120])
def test_waves_are_no_leak(period: float) -> None:
    assert not found_at(*series(lambda t: 300 + 100 * math.sin(2 * math.pi * t / period), 400))


@pytest.mark.parametrize("seed", range(12))
def test_a_crowd_of_requests_is_no_leak(seed: int) -> None:
    """Blocks that come and go at random, as a server's do: what is in use wanders within bounds."""
    dice, live, sizes = random.Random(seed), [0.0] * 0, []
    for _ in range(400):
        for _ in range(8):
            if not live or (len(live) < 40 and dice.randrange(40) >= len(live)):
                live.append(dice.uniform(1, 12))
            else:
                live.pop(dice.randrange(len(live)))
        sizes.append(int((60 + sum(live)) * MIB))
    assert not found_at([float(n) for n in range(400)], sizes)


def test_a_leak_that_was_plugged_is_none_any_more() -> None:
    times, sizes = series(lambda t: 100 + 0.5 * min(t, 120), 240)
    found = found_at(times, sizes)
    assert found and max(found) <= 120 + 35


def test_growth_says_whether_it_slows() -> None:
    fills = lasting_growth(*series(lambda t: 20 + 200 * (1 - math.exp(-t / 40)), 60))
    assert fills is not None and fills.slows and not fills.steady
    assert fills.late < fills.early
    leaks = lasting_growth(*series(lambda t: 20 + 2 * t, 60))
    assert leaks is not None and not leaks.slows and leaks.steady
    assert leaks.floors == tuple(sorted(leaks.floors)) and len(leaks.floors) == 4


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    level=st.floats(10, 100_000),
    share=st.floats(0.0001, 0.3),
    seconds=st.integers(20, 420),
    hz=st.sampled_from([0.2, 1.0, 2.0]),
)
def test_noise_around_a_level_is_no_leak(seed: int, level: float, share: float, seconds: int, hz: float) -> None:
    shake = noise(seed, level * share)
    growth = lasting_growth(*series(lambda _: max(0.0, level + shake()), seconds, hz))
    assert growth is None or not growth.steady


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rate=st.floats(0.3, 50),
    scale=st.floats(1.0, 1e5),
    offset_s=st.floats(0, 1e6),
    data=st.data(),
)
def test_more_of_the_same_growth_is_no_less_of_a_leak(
    seed: int, rate: float, scale: float, offset_s: float, data: st.DataObject
) -> None:
    shake = noise(seed, data.draw(st.floats(0, rate * 4)))
    times, sizes = series(lambda t: 100 + rate * t + shake(), 150)
    small = lasting_growth(times, sizes)
    large = lasting_growth(times, [int(size * scale) for size in sizes])
    if small is not None and small.steady:
        assert large is not None and large.steady
        assert large.trend.slope == pytest.approx(scale * small.trend.slope, rel=0.01)
    # At another time of a session's life it is the same.
    shift = float(int(offset_s / 5) * 5)
    later = lasting_growth([t + shift for t in times], sizes)
    assert (later is not None and later.steady) == (small is not None and small.steady)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 2**50)), max_size=80).map(
        lambda points: sorted(points, key=lambda point: point[0])
    )
)
def test_no_series_breaks_it(points: list[tuple[float, int]]) -> None:
    growth = lasting_growth([t for t, _ in points], [v for _, v in points])
    assert growth is None or (math.isfinite(growth.late) and growth.lasts_s > 0 and growth.grown_bytes >= 0)


def test_six_hundred_points_cost_little() -> None:
    """The most expensive case: growth that is neither clear nor clearly absent, so that all windows are looked at."""
    shake = noise(5, 6)
    times, sizes = series(lambda t: 300 + 0.02 * t + 20 * (1 - math.exp(-t / 150)) + shake(), 600)
    worst = 0.0
    for known in range(300, 600, 10):
        began = time.process_time()
        lasting_growth(times[:known], sizes[:known])
        worst = max(worst, time.process_time() - began)
    assert worst < 0.1
