"""Which sampled pages still count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memtui_profiler.growth.touched_pages import TouchedPages

PAGE = 4096
HUGE = 2 << 20


def asked(gone: set[int], looks: list[tuple[int, ...]]) -> Callable[[Sequence[int]], list[bool]]:
    def present(pages: Sequence[int]) -> list[bool]:
        looks.append(tuple(pages))
        return [page not in gone for page in pages]

    return present


def weights(touched: TouchedPages) -> dict[int, tuple[tuple[int, ...], float]]:
    return {address: (page.stack, page.weight) for address, page in touched.items()}


def test_the_newest_toucher_of_a_page_counts() -> None:
    touched = TouchedPages()
    touched.touch(5 * PAGE + 17, (1,), 2.0, PAGE, 0.3)
    touched.touch(5 * PAGE + 900, (2,), 3.0, PAGE, 0.4)
    touched.touch(3 * HUGE + 7 * PAGE, (3,), 1.0, HUGE, 0.5)
    assert weights(touched) == {5 * PAGE: ((2,), 3.0), 3 * HUGE: ((3,), 1.0)}


def test_a_page_is_looked_for_ever_less_often_and_once_gone_does_not_come_back() -> None:
    touched, looks, gone = TouchedPages(), list[tuple[int, ...]](), set[int]()
    present = asked(gone, looks)
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.2)
    touched.touch(2 * PAGE, (2,), 1.0, PAGE, 0.9)
    seconds = []
    for tenths in range(340):
        if tenths == 25:
            gone.add(2 * PAGE)
        if tenths == 35:
            gone.clear()
        before = len([look for look in looks if look])
        touched.look(tenths / 10, present)
        if len([look for look in looks if look]) > before:
            seconds.append(tenths / 10)
    assert seconds == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert [look for look in looks if look][:3] == [(PAGE, 2 * PAGE), (PAGE, 2 * PAGE), (PAGE, 2 * PAGE)]
    assert len(touched) == 2, "it was back before anybody looked"
    gone.add(2 * PAGE)
    touched.look(64, present)
    assert list(weights(touched)) == [PAGE]


def test_a_page_that_went_and_was_touched_again_is_new() -> None:
    touched, looks = TouchedPages(), list[tuple[int, ...]]()
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.2)
    touched.look(1.0, asked({PAGE}, looks))
    assert len(touched) == 0
    touched.touch(PAGE, (2,), 1.0, PAGE, 1.5)
    touched.look(2.0, asked(set(), looks))
    assert weights(touched) == {PAGE: ((2,), 1.0)}


def test_a_late_look_makes_up_for_those_that_were_missed() -> None:
    touched, looks = TouchedPages(), list[tuple[int, ...]]()
    touched.touch(PAGE, (1,), 1.0, PAGE, 0.0)
    touched.look(9.5, asked(set(), looks))
    assert [look for look in looks if look] == [(PAGE,)] * 4


def test_memory_is_bounded_and_the_sum_stays() -> None:
    touched = TouchedPages(most=100)
    for number in range(10_000):
        touched.touch(number * PAGE, (number % 7, number), 1.0, PAGE, number / 100)
    assert len(touched) <= 101
    sum_of_weights = sum(page.weight for _, page in touched.items())
    assert 5_000 < sum_of_weights < 20_000
    assert len(touched._stacks) <= 201 and sum(map(len, touched._due.values())) <= 400
