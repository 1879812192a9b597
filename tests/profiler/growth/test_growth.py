"""From pages to bytes by stack, with made-up pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.procfs.maps import parse_mapping
from memtui_parsers.values import Mapping
from memtui_profiler.growth.growth import (
    Growth,
    GrowthRow,
    between,
    growth_of,
    growth_when_last_seen,
    joined,
)
from memtui_profiler.growth.ranges import Range, RangeIndex, minus, size_of
from memtui_profiler.growth.touched_pages import TouchedPage

PAGE = 4096
LEAK, OTHER = (0x401000, 0x402000), (0x403000, 0x402000)
HEAP = parse_mapping(b"10000000-20000000 rw-p 00000000 00:00 0 [heap]")
ARENA = parse_mapping(b"70000000-78000000 rw-p 00000000 00:00 0")
PROGRAM = parse_mapping(b"00400000-00500000 r-xp 00000000 08:01 7 /usr/bin/server")
LIBC = parse_mapping(b"7f000000-7f200000 r-xp 00000000 08:01 8 /usr/lib/libc.so.6")
MEMFD = parse_mapping(b"80000000-81000000 rw-s 00000000 00:01 9 /memfd:shared (deleted)")
FILE = parse_mapping(b"90000000-91000000 rw-s 00000000 08:01 9 /data/table")
ALL = (PROGRAM, HEAP, ARENA, MEMFD, FILE)


def pages(start: int, count: int, shared: bool = False) -> Range:
    return start, start + count * PAGE, shared


def touched(*entries: tuple[int, tuple[int, ...], float]) -> list[tuple[int, TouchedPage]]:
    return [(address, TouchedPage(stack, weight, PAGE)) for address, stack, weight in entries]


def rows_of(growth: Growth) -> dict[tuple[int, ...], tuple[int, int, int]]:
    return {row.stack: (round(row.bytes), round(row.seen_bytes), row.samples) for row in growth.rows}


def test_what_was_there_at_the_start_is_no_growth() -> None:
    before, now = [pages(HEAP.start, 10)], [pages(HEAP.start, 14)]
    seen = touched((HEAP.start + 2 * PAGE, OTHER, 4), (HEAP.start + 12 * PAGE, LEAK, 4))
    growth = growth_of(before, now, ALL, seen)
    assert (growth.grown_bytes, growth.given_back_bytes, growth.nobodys_bytes) == (4 * PAGE, 0, 0)
    assert rows_of(growth) == {LEAK: (4 * PAGE, 4 * PAGE, 1)}


def test_a_mapping_is_given_no_more_than_it_grew_by() -> None:
    now = [pages(HEAP.start, 10)]
    growth = growth_of([], now, ALL, touched((HEAP.start, LEAK, 30), (HEAP.start + PAGE, OTHER, 10)))
    assert rows_of(growth) == {
        LEAK: (round(7.5 * PAGE), round(7.5 * PAGE), 1),
        OTHER: (round(2.5 * PAGE), round(2.5 * PAGE), 1),
    }
    assert growth.seen_bytes == 10 * PAGE


def test_what_nobody_was_seen_to_touch_counts_for_the_rest_of_its_mapping_or_for_nobody() -> None:
    now = [pages(HEAP.start, 10), pages(ARENA.start, 6)]
    growth = growth_of([], now, ALL, touched((HEAP.start, LEAK, 4)))
    assert growth.grown_bytes == 16 * PAGE
    assert rows_of(growth) == {LEAK: (10 * PAGE, 4 * PAGE, 1)}
    assert growth.nobodys_bytes == 6 * PAGE


def test_what_comes_and_goes_is_in_no_row() -> None:
    seen = touched((HEAP.start, LEAK, 2), (HEAP.start + PAGE, OTHER, 6), (ARENA.start, OTHER, 5))
    for _, page in seen[1:]:
        page.passing = True
    growth = growth_of([], [pages(HEAP.start, 8), pages(ARENA.start, 100)], ALL, seen)
    assert rows_of(growth) == {LEAK: (2 * PAGE, 2 * PAGE, 1)}
    assert (growth.passing_bytes, growth.kept_bytes, growth.nobodys_bytes) == (106 * PAGE, 2 * PAGE, 0)
    assert growth_when_last_seen(seen).kept_bytes == 2 * PAGE


def test_files_are_apart_and_shared_memory_is_not() -> None:
    now = [pages(MEMFD.start, 3, shared=True), pages(FILE.start, 5, shared=True)]
    seen = touched((MEMFD.start, LEAK, 3), (FILE.start, OTHER, 5))
    growth = growth_of([pages(FILE.start + 100 * PAGE, 2, shared=True)], now, ALL, seen)
    assert (growth.grown_bytes, growth.file_bytes, growth.given_back_bytes) == (3 * PAGE, 5 * PAGE, 0)
    assert set(rows_of(growth)) == {LEAK}


def test_a_huge_page_counts_as_such_wherever_in_it_it_was_touched() -> None:
    huge = 2 << 20
    seen = [(ARENA.start, TouchedPage(LEAK, 2, huge))]
    growth = growth_of([], [(ARENA.start, ARENA.start + 2 * huge, False)], ALL, seen)
    assert rows_of(growth) == {LEAK: (2 * huge, 2 * huge, 1)}


def test_memory_that_was_unmapped_meanwhile_has_a_region_of_its_own() -> None:
    growth = growth_of([], [(0x55000000, 0x55001000, False)], ALL, touched((0x55000000, LEAK, 1)))
    assert rows_of(growth) == {LEAK: (PAGE, PAGE, 1)}


def test_where_nothing_is_known_of_the_pages_samples_count() -> None:
    far = 1 << 44
    growth = growth_of([], [], ALL, touched((far + PAGE, LEAK, 7)), unknown=[(far, far + (1 << 40))])
    assert (growth.grown_bytes, rows_of(growth)) == (7 * PAGE, {LEAK: (7 * PAGE, 7 * PAGE, 1)})


def test_of_a_process_that_has_ended_samples_are_left() -> None:
    growth = growth_when_last_seen(
        touched((HEAP.start, LEAK, 3), (ARENA.start, LEAK, 1), (ARENA.start + PAGE, OTHER, 2))
    )
    assert growth.grown_bytes == 6 * PAGE
    assert rows_of(growth) == {LEAK: (4 * PAGE, 4 * PAGE, 2), OTHER: (2 * PAGE, 2 * PAGE, 1)}
    assert growth_when_last_seen([]).rows == ()


def test_two_moments_are_compared() -> None:
    def grown(**sizes: int) -> Growth:
        rows = tuple(GrowthRow((ord(name),), size, size, 1) for name, size in sizes.items())
        return Growth(sum(sizes.values()), 0, 0, 0, 0, rows)

    change = between(grown(a=10, b=7, c=5), grown(a=30, b=7, d=2))
    assert change == [((ord("a"),), 20), ((ord("d"),), 2), ((ord("c"),), -5)]


def test_rows_of_one_call_into_a_library_are_one() -> None:
    memset, other = LIBC.start + 0x100, LIBC.start + 0x140
    rows = [
        GrowthRow((memset, 0x401000), 10, 10, 1),
        GrowthRow((other, 0x401000), 30, 20, 2),
        GrowthRow((memset, 0x402000), 5, 5, 1),
    ]
    assert joined(rows, [PROGRAM, LIBC]) == [
        GrowthRow((other, 0x401000), 40, 30, 3),
        GrowthRow((memset, 0x402000), 5, 5, 1),
    ]


def test_rows_of_several_lines_of_a_program_stay_apart() -> None:
    rows = [GrowthRow((0x401010, 0x402000), 10, 10, 1), GrowthRow((0x401020, 0x402000), 30, 20, 2)]
    assert joined(rows, [PROGRAM, LIBC]) == rows[::-1]
    alone = [GrowthRow((0x401010,), 1, 1, 1)]
    assert joined(alone, [PROGRAM]) == alone == joined(alone, [])


SETS = st.frozensets(st.integers(0, 60))


def ranges(numbers: frozenset[int]) -> list[Range]:
    """One range for each run."""
    found: list[Range] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = found[-1][0], number + 1, False
        else:
            found.append((number, number + 1, False))
    return found


@given(SETS, SETS)
def test_ranges_are_subtracted_as_sets_are(left: frozenset[int], right: frozenset[int]) -> None:
    difference = minus(ranges(left), ranges(right))
    assert {n for start, end, _ in difference for n in range(start, end)} == left - right
    assert size_of(difference) == len(left - right)
    assert difference == sorted(difference)


@given(SETS, st.integers(0, 60), st.integers(1, 9))
def test_a_range_is_found_by_a_page(numbers: frozenset[int], start: int, size: int) -> None:
    found = RangeIndex(ranges(numbers)).overlapping(start, start + size)
    assert (found is not None) == bool(numbers & set(range(start, start + size)))


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from([LEAK, OTHER]), st.floats(0.5, 50)), max_size=30), SETS)
def test_no_more_is_given_out_than_there_is(
    entries: list[tuple[int, tuple[int, ...], float]], was: frozenset[int]
) -> None:
    mappings: tuple[Mapping, ...] = (HEAP, ARENA)
    now = [pages(HEAP.start, 50), pages(ARENA.start, 20)]
    before = [(HEAP.start + start * PAGE, HEAP.start + end * PAGE, False) for start, end, _ in ranges(was)]
    seen = touched(*((HEAP.start + page * PAGE, stack, weight) for page, stack, weight in entries))
    growth = growth_of(before, now, mappings, seen)
    assert growth.grown_bytes == size_of(minus(now, before))
    given_out = sum(row.bytes for row in growth.rows) + growth.nobodys_bytes
    assert abs(given_out - growth.grown_bytes) < 1
    assert growth.seen_bytes <= growth.grown_bytes + 1
