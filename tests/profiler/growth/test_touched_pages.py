"""Which sampled pages still count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from memtui_profiler.growth.touched_pages import FEWEST_GIVEN_BACK, TouchedPages

PAGE = 4096
HUGE = 2 << 20


class Memory:
    """Pages that are there but for those in ``gone``. ``looks``: (when, which) somebody asked."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.looks: list[tuple[float, tuple[int, ...]]] = []

    def at(self, now_s: float) -> Callable[[Sequence[int]], list[bool]]:
        def present(pages: Sequence[int]) -> list[bool]:
            assert list(pages) == sorted(pages)
            self.looks.append((now_s, tuple(pages)))
            return [page not in self.gone for page in pages]

        return present

    def look(self, touched: TouchedPages, now_s: float) -> None:
        touched.look(now_s, self.at(now_s))


def weights(touched: TouchedPages) -> dict[int, tuple[tuple[int, ...], float]]:
    return {address: (page.stack, page.weight) for address, page in touched.items()}


def test_the_newest_toucher_of_a_page_counts() -> None:
    touched = TouchedPages()
    touched.touch(5 * PAGE + 17, (1,), 2.0, PAGE, 0.3)
    touched.touch(5 * PAGE + 900, (2,), 3.0, PAGE, 0.4)
    touched.touch(3 * HUGE + 7 * PAGE, (3,), 1.0, HUGE, 0.5)
    assert weights(touched) == {5 * PAGE: ((2,), 3.0), 3 * HUGE: ((3,), 1.0)}


def test_a_page_is_looked_for_ever_less_often() -> None:
    touched, memory = TouchedPages(), Memory()
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.0)
    for tenths in range(10_000):
        memory.look(touched, tenths / 10)
    times = [now_s for now_s, _ in memory.looks]
    assert 0.1 <= times[0] <= 0.4 and times[1] < 0.8
    assert all(1.6 < later / earlier < 2.4 for earlier, later in pairwise(time for time in times if time > 2.5))
    assert 12 < len(times) < 30


def test_a_page_once_gone_does_not_come_back() -> None:
    touched, memory = TouchedPages(), Memory()
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.0)
    touched.touch(2 * PAGE, (2,), 1.0, PAGE, 0.0)
    memory.gone.add(2 * PAGE)
    memory.look(touched, 0.5)
    memory.gone.clear()
    memory.look(touched, 5.0)
    assert list(weights(touched)) == [PAGE]


def test_a_page_that_went_and_was_touched_again_is_new() -> None:
    touched, memory = TouchedPages(), Memory()
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.2)
    memory.gone.add(PAGE)
    memory.look(touched, 1.0)
    assert len(touched) == 0
    memory.gone.clear()
    touched.touch(PAGE, (2,), 1.0, PAGE, 1.5)
    memory.look(touched, 2.0)
    assert weights(touched) == {PAGE: ((2,), 1.0)}


def passing(touched: TouchedPages) -> set[int]:
    return {address for address, page in touched.items() if page.passing}


def test_who_gives_its_pages_back_is_not_believed_for_what_it_has_just_touched() -> None:
    touched, memory = TouchedPages(), Memory()
    for number in range(FEWEST_GIVEN_BACK):
        touched.touch(number * PAGE, (1,), 1.0, PAGE, 0.0)
        touched.touch((100 + number) * PAGE, (2,), 1.0, PAGE, 0.0)
    memory.gone = {number * PAGE for number in range(FEWEST_GIVEN_BACK)}
    for tenths in range(5, 40):
        memory.look(touched, tenths / 10)
    touched.touch(200 * PAGE, (1,), 1.0, PAGE, 4.0)
    touched.touch(201 * PAGE, (2,), 1.0, PAGE, 4.0)
    assert passing(touched) == {200 * PAGE}
    for tenths in range(40, 100):
        memory.look(touched, tenths / 10)
    assert passing(touched) == set() and len(touched) == FEWEST_GIVEN_BACK + 2, "it has stayed"


def test_pages_that_are_touched_anew_were_given_back() -> None:
    touched = TouchedPages()
    for tenths in range(FEWEST_GIVEN_BACK + 1):
        touched.touch(PAGE, (1,), 1.0, PAGE, tenths / 10)
    assert passing(touched) == {PAGE}


def test_memory_is_bounded_and_the_sum_stays() -> None:
    touched = TouchedPages(most=100)
    for number in range(10_000):
        touched.touch(number * PAGE, (number % 7, number), 1.0, PAGE, number / 100)
    assert len(touched) <= 101
    sum_of_weights = sum(page.weight for _, page in touched.items())
    assert 5_000 < sum_of_weights < 20_000
    assert len(touched._histories) <= 201 and len(touched._due) <= 300


def test_what_is_not_answered_is_kept() -> None:
    """The pages of a process that has just ended were there when it ended."""

    def ended(pages: Sequence[int]) -> list[bool]:
        raise ProcessLookupError

    touched = TouchedPages()
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.0)
    with pytest.raises(ProcessLookupError):
        touched.look(1.0, ended)
    assert list(weights(touched)) == [PAGE]
