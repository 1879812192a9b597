from collections.abc import Collection
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memtui_profiler.run.escalation import CHECK_GRACE_S, GRACE_S, Progress, Step, advance, kill_now


def climb(times: list[float], busy: Collection[float] = ()) -> list[tuple[float, Step]]:
    progress, taken = Progress(0.0), []
    for now in times:
        progress, step = advance(progress, now, exit_check_busy=now in busy)
        if step is not None:
            taken.append((now, step))
    return taken


def half_seconds(end: float) -> list[float]:
    return [n / 2 for n in range(int(end * 2) + 1)]


def test_a_target_that_ignores_everything_is_killed_after_two_graces() -> None:
    assert climb(half_seconds(30)) == [(0.0, Step.TERM), (GRACE_S, Step.TERM_GROUP), (2 * GRACE_S, Step.KILL)]


def test_an_exit_check_at_work_is_not_killed() -> None:
    times = half_seconds(60)
    assert climb(times, busy={t for t in times if t < 40})[1] == (41.5, Step.TERM_GROUP)


def test_a_check_that_never_ends_is_killed_in_the_end() -> None:
    times = half_seconds(200)
    taken = climb(times, busy=set(times))
    assert taken[0] == (0.0, Step.TERM)
    assert taken[1] == (CHECK_GRACE_S, Step.TERM_GROUP)
    assert taken[-1][1] is Step.KILL


def test_asking_again_kills_at_once() -> None:
    progress, _ = advance(Progress(0.0), 0.0)
    progress, step = kill_now(progress, 1.0)
    assert step is Step.KILL
    assert advance(progress, 100.0) == (progress, None)


@given(st.lists(st.floats(0, 1000), min_size=1), st.sets(st.integers(0, 50)))
def test_steps_come_in_order_and_once_each(times: list[float], busy: set[int]) -> None:
    progress, taken = Progress(0.0), []
    for n, now in enumerate(sorted(times)):
        progress, step = advance(progress, now, exit_check_busy=n in busy)
        if step is not None:
            taken.append(step)
    assert taken == [Step.TERM, Step.TERM_GROUP, Step.KILL][: len(taken)]


def test_a_check_before_the_end_has_its_time_and_then_sigterm_follows() -> None:
    progress, step = advance(Progress(0.0, first=Step.CHECK), 0.0)
    assert step is Step.CHECK
    for now_s in (1.0, 2 * GRACE_S, CHECK_GRACE_S - 1):
        progress, step = advance(progress, now_s)
        assert step is None
    assert advance(replace(progress, answered=True), CHECK_GRACE_S - 1)[1] is Step.TERM
    assert advance(progress, CHECK_GRACE_S)[1] is Step.TERM  # it never answered
