from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.formats import stack_table
from memtui_parsers.formats.stack_table import BEYOND, StackTable, physical_steps
from memtui_parsers.values import LeakKind, Module


def table_of(*addresses: int) -> StackTable:
    table = StackTable()
    for address in addresses:
        table.frame(address, function=f"f{address}")
    return table


def marks(steps: list[int], addresses: list[int]) -> list[bool]:
    table = table_of(*range(10))
    return [table.frames[n].inlined for n in physical_steps(steps, addresses, table)]


@pytest.mark.parametrize(
    ("steps", "addresses", "inlined"),
    [
        ([0, 1, 2], [1, 2, 3], [False, False, False]),
        ([0, 1, 2], [1, 1, 1], [True, True, False]),
        ([0, 0, 0], [1, 1, 1], [False, False, False]),  # recursion through one call
        ([0, 1, 0, 1], [1, 1, 1, 1], [True, False, True, False]),
        ([0, 0, 1], [1, 1, 1], [True, True, False]),
        ([0, 1, 1], [1, 1, 1], [True, True, False]),
        ([3, 0, 1, 4, 0, 1], [7, 1, 1, 8, 1, 1], [False, True, False, False, True, False]),
        ([], [], []),
    ],
)
def test_the_last_call_at_an_address_is_the_physical_one(
    steps: list[int], addresses: list[int], inlined: list[bool]
) -> None:
    assert marks(steps, addresses) == inlined


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 5))
def test_a_chain_that_repeats_has_a_physical_call_each_time(chain: list[int], times: int) -> None:
    found = marks(chain * times, [7] * len(chain) * times)
    once = marks(chain, [7] * len(chain))
    assert found == once * times and not found[-1]


def test_names_that_are_mangled_are_linkage_names() -> None:
    table = StackTable()
    frames = [table.frames[table.frame(1, function=name)] for name in ("_Z1fi", "_RNvC1a1b", "main", "f(int)", "")]
    assert [(frame.function, frame.linkage_name) for frame in frames] == [
        (None, "_Z1fi"),
        (None, "_RNvC1a1b"),
        ("main", None),
        ("f(int)", None),
        (None, None),
    ]


def test_the_allocators_frames_go_from_the_leafs_end_alone() -> None:
    table = StackTable()
    inside = table.frame(1, module="/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so", function="malloc")
    own = table.frame(2, module="/srv/prog", build_id="ab", function="f")
    table.add(LeakKind.DIRECT, [inside, inside, own, inside, own], 8, 1)
    table.add(LeakKind.DIRECT, [inside], 4, 1)
    stacks = [[frame.function for frame in record.stack] for record in table.records()]
    assert stacks == [["f", "malloc", "f"], []]
    assert table.frames[own].module == Module("/srv/prog", "ab")


def test_totals_stay_true_beyond_every_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_table, "MAX_FRAMES", 4)
    monkeypatch.setattr(stack_table, "MAX_STEPS", 6)
    monkeypatch.setattr(stack_table, "MAX_DEPTH", 3)
    table = table_of(*range(9))
    numbers = [table.frame(n, function="late") for n in range(2)]
    assert numbers == [BEYOND, BEYOND] and len(table.frames) == 4
    table.add(LeakKind.DIRECT, [0, 1, 2, 3], 1, 1)
    table.add(LeakKind.DIRECT, [0, BEYOND], 1, 1)
    table.add(LeakKind.DIRECT, [3, 2, 1], 1, 1)
    table.add(LeakKind.DIRECT, [1, 2], 1, 1)
    assert table.totals() == (4, 4) and sum(record.objects for record in table.records()) == 4
    assert table.notes() == [
        "2 records beyond what memtui holds are counted without their frames",
        "1 stacks deeper than 3 frames are cut there",
    ]


def test_texts_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_table, "MAX_TEXT_CHARS", 1000)
    table = StackTable()
    numbers = [table.frame(n, function=f"{n}" * 300) for n in range(8)]
    assert numbers[0] == 0 and numbers[-1] == BEYOND
    assert table.text("still\x1b[1m clean") == "still clean"


def test_another_check_begins_at_nothing() -> None:
    table = table_of(1, 2)
    table.add(LeakKind.DIRECT, [0, 1], 8, 1)
    table.clear_leaks()
    table.add(LeakKind.INDIRECT, [1], 3, 2)
    assert [(record.size_bytes, record.kind) for record in table.records()] == [(3, LeakKind.INDIRECT)]
