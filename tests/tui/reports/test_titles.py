"""What leaks are called in real reports: by the program's own function, not by what only passes the allocation on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from memtui.reports.groups import groups_of
from memtui.reports.table import Grouping, build_table, never, table_notes
from memtui.reports.tree import Direction, Tree
from memtui_parsers.report.json_reader import parse_report_json
from memtui_parsers.report.leak_id import leak_ids
from memtui_parsers.values import LeakReport
from tests.fixtures.leak_reports import frame, record, sample_report

REPORTS = Path(__file__).parents[2] / "fixtures" / "reports"


def read(name: str) -> LeakReport:
    with open(REPORTS / name, "rb") as stream:
        return parse_report_json(stream)


# Of rustc 1.9x and memcheck; of a program with libjemalloc.a in it, by jemalloc's own profiler.
@pytest.mark.parametrize(
    ("file", "titles"),
    [
        (
            "rust-leaks.json",
            {
                ("rleak::leak_box", "rleak.rs:8"): 50000,
                ("rleak::main::{{closure}}", "rleak.rs:19"): 4096,
                ("rleak::leak_cycle", "rleak.rs:11"): 3216,
                ("rleak::store::Cache<T>::fill", "rleak.rs:5"): 231 + 192,
                ("rleak::main", "rleak.rs:18"): 9,
            },
        ),
        (
            "jemalloc-static.json",
            {("read_block", "coarse.c:5"): 245463122, ("copy_string", "coarse.c:6"): 63381864},
        ),
    ],
)
def test_a_leak_is_called_by_the_program(file: str, titles: dict[tuple[str, str], int]) -> None:
    table = build_table(read(file))
    sizes: Counter[tuple[str, str]] = Counter()
    for name, size in zip(table.names, table.sizes, strict=True):
        sizes[name.function, name.location] += size
    assert sizes == titles
    # Grouped, the functions that have bytes of their own are the same.
    groups = groups_of(table, table.by_size, Grouping.FUNCTION, never)
    assert {group.name for group in groups if group.members} == {function for function, _ in titles}


def test_the_tree_of_callers_begins_behind_the_allocator() -> None:
    table = build_table(read("rust-leaks.json"))
    tree = Tree(table, table.by_size, Direction.CALLERS)
    roots = {tree.name(node): node for node in tree.grow(tree.root)}
    assert set(roots) == {
        "rleak::leak_box",
        "rleak::main::{{closure}}",
        "rleak::leak_cycle",
        "rleak::store::Cache<T>::fill",
        "rleak::main",
    }
    box = roots["rleak::leak_box"]
    assert tree.location(box) == "rleak.rs:8" and table.stacks[box.records[0]][tree.frame_index(box)].line == 8
    (caller,) = tree.grow(box)
    assert tree.name(caller) == "rleak::main" and tree.location(caller) == "rleak.rs:15"
    # From the other end all frames are there.
    callees = Tree(table, table.by_size, Direction.CALLEES)
    assert sum(node.size_bytes for node in callees.grow(callees.root)) == sum(
        node.size_bytes for node in roots.values()
    )


def test_titles_have_no_part_in_ids() -> None:
    report = read("rust-leaks.json")
    skipped = build_table(report, skips=("rleak::leak_box",)).report
    assert leak_ids([leak.stack for leak in skipped.leaks]) == leak_ids([leak.stack for leak in report.leaks])


def test_what_is_skipped_names_no_leak_but_stays_on_the_stack() -> None:
    report = read("rust-leaks.json")
    table = build_table(report, skips=("rleak::leak_*",))
    assert {name.function for name in table.names} == {
        "rleak::main",
        "rleak::main::{{closure}}",
        "rleak::store::Cache<T>::fill",
    }
    assert table.names[0].location == "rleak.rs:15"
    assert [leak.stack for leak in table.report.leaks] == [leak.stack for leak in report.leaks]
    assert table.is_made_of(report, None, ("rleak::leak_*",)) and not table.is_made_of(report, None)


def test_skipping_all_of_a_stack_still_leaves_a_name() -> None:
    table = build_table(sample_report(), skips=("*",))
    assert all(name.function and name.program is not None for name in table.names)


def test_wrappers_are_passed_over_and_a_library_function_that_was_called_is_named() -> None:
    own = frame("handle(int)", "/s/a.c", 7)
    stacks = (
        (frame("xmalloc"), own),
        (frame("malloc"), frame("operator new(unsigned long)"), own),
        (frame("xstrdup"), own),
        (frame("xmalloc"), frame("std::vector<int>::push_back(int&&)"), own),
        (frame("g_malloc"), frame("_start")),
    )
    table = build_table(sample_report_of(*stacks))
    assert [name.function for name in table.names] == [
        "handle(int)",
        "handle(int)",
        "xstrdup ← handle(int)",
        "vector::push_back ← handle(int)",
        "_start",
    ]


def test_a_function_that_all_goes_through_gives_its_callers_the_name_and_that_is_said() -> None:
    grab = frame("grab", "/s/a.c", 3)
    table = build_table(sample_report_of(*((grab, frame(f"use_{n}", "/s/b.c", n, at=n)) for n in range(1, 9))))
    assert [name.function for name in table.names] == [f"use_{n}" for n in range(1, 9)]
    assert table.wrappers == ("grab",) and table.in_library(grab)
    assert "nearly all bytes go through grab" in table_notes(table)[0]


def sample_report_of(*stacks: tuple) -> LeakReport:  # type: ignore[type-arg]
    from dataclasses import replace

    return replace(sample_report(()), leaks=tuple(record(str(n), 100, 1, *stack) for n, stack in enumerate(stacks)))
