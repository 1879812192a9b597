"""Sorting, grouping, shares, and how the cursor's leak is found again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.reports.arrangement import Arrangement, Query, arrange
from memtui.reports.filter import parse_filter
from memtui.reports.pattern import match_pattern
from memtui.reports.scope import Scope
from memtui.reports.table import Cancelled, Grouping, LeakTable, Order, build_table, same_record, sorted_indexes
from memtui_parsers.values import LeakKind
from tests.fixtures.leak_reports import large_report, sample_report

TABLE: LeakTable = build_table(sample_report())
MANY: LeakTable = build_table(large_report(3000))
TABLE_300: LeakTable = build_table(large_report(300))
# The orders there are while nothing is compared.
OF_ONE = [order for order in Order if order not in (Order.CHANGE, Order.CUMULATIVE)]


def arranged(query: Query, table: LeakTable = TABLE) -> Arrangement:
    return arrange(table, query, match_pattern)


@pytest.mark.parametrize(
    ("order", "records"),
    [
        (Order.BYTES, [0, 1, 2, 3, 4]),
        (Order.OBJECTS, [0, 1, 3, 2, 4]),
        (Order.AVERAGE, [0, 2, 4, 1, 3]),
        (Order.FUNCTION, [4, 0, 1, 3, 2]),
        (Order.LOCATION, [1, 4, 3, 2, 0]),
    ],
)
def test_orders(order: Order, records: list[int]) -> None:
    rows = arranged(Query(order=order))
    assert [rows.row(position).record for position in range(len(rows))] == records


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("grouping", list(Grouping))
def test_every_arrangement_holds_every_byte_and_object_once(order: Order, grouping: Grouping) -> None:
    rows = arranged(Query(order=order, grouping=grouping), MANY)
    shown = [rows.row(position) for position in range(len(rows))]
    assert sum(row.size_bytes for row in shown) == MANY.total_bytes == rows.size_bytes
    assert sum(row.objects for row in shown) == MANY.total_objects == rows.objects
    assert len(MANY.names) == len(rows.records) <= sum(row.stacks for row in shown)
    assert all(row.cumulative_bytes >= row.size_bytes for row in shown)
    key = {
        Order.BYTES: lambda row: -row.size_bytes,
        Order.OBJECTS: lambda row: -row.objects,
        Order.AVERAGE: lambda row: -row.average_bytes,
    }.get(order)
    if key is not None:
        assert [key(row) for row in shown] == sorted(key(row) for row in shown)
    elif order is Order.FUNCTION and grouping is not Grouping.FILE:
        assert [row.function.lower() for row in shown] == sorted(row.function.lower() for row in shown)


def test_groups_are_led_by_their_largest_record() -> None:
    rows = arranged(Query(grouping=Grouping.LIBRARY))
    assert [(row.function, row.stacks, row.record) for row in (rows.row(0), rows.row(1))] == [
        ("rpc_server", 4, 0),
        ("libssl.so.3", 1, 4),
    ]
    files = arranged(Query(grouping=Grouping.FILE))
    rows_of_files = [files.row(position) for position in range(len(files))]
    assert [(row.function, row.stacks) for row in rows_of_files if row.size_bytes] == [
        ("server.cpp", 3),
        ("codec.h", 1),
        ("relay.cpp", 1),
        ("peer.cpp", 1),
        ("(no source file known)", 1),
    ]
    assert [row.function for row in rows_of_files if not row.size_bytes] == ["pool.cpp", "invoke.h", "vector.tcc"]


def test_a_group_can_be_entered() -> None:
    inside = arranged(Query(Scope(within=(Grouping.LIBRARY, "rpc_server"))))
    assert len(inside) == 4
    assert inside.size_bytes == TABLE.total_bytes - 4096


def test_a_filter_narrows_totals_too() -> None:
    rows = arranged(Query(Scope(parse_filter("fn:hello"))))
    assert (len(rows.records), rows.size_bytes, rows.objects) == (1, 1_363_148, 412)
    assert rows.share(rows.size_bytes) == pytest.approx(1_363_148 / TABLE.total_bytes)


@pytest.mark.parametrize("grouping", list(Grouping))
@pytest.mark.parametrize("order", list(Order))
def test_the_cursors_record_is_found_in_every_arrangement(order: Order, grouping: Grouping) -> None:
    rows = arranged(Query(order=order, grouping=grouping), MANY)
    for record in (0, 17, 2999):
        position = rows.position_of(record)
        assert position is not None
        if grouping is Grouping.STACK:
            assert rows.row(position).record == record
        else:
            assert rows.group_name(position) == MANY.group_of(record, grouping)
    assert rows.position_of(3000) is None


def test_a_record_that_is_filtered_out_has_no_position() -> None:
    assert arranged(Query(Scope(parse_filter("fn:hello")))).position_of(0) is None


def test_a_bad_pattern_is_an_answer_not_a_crash() -> None:
    rows = arranged(Query(Scope(parse_filter("re:("))))
    assert len(rows) == 0 and rows.error.startswith("no pattern: ")


def test_totals_are_the_checkers_unless_the_records_hold_more() -> None:
    larger = build_table(replace(sample_report(), total_bytes=100_000_000, total_objects=20_000))
    assert (larger.total_bytes, larger.total_objects) == (100_000_000, 20_000)
    smaller = build_table(replace(sample_report(), total_bytes=1, total_objects=0))
    assert smaller.total_bytes == TABLE.total_bytes


def test_an_empty_report_has_shares_of_nothing() -> None:
    rows = arranged(Query(), build_table(replace(sample_report(), leaks=(), total_bytes=0, total_objects=0)))
    assert len(rows) == 0 and rows.share(5) == 0.0


def test_the_same_record_in_a_report_read_anew() -> None:
    report = sample_report()
    named = replace(report, leaks=tuple(replace(leak, leak_id=f"{n:016x}") for n, leak in enumerate(report.leaks)))
    first, fourth = TABLE.record(0), TABLE.record(3)
    assert same_record(fourth, build_table(named), 3) == 3
    moved = replace(report, leaks=report.leaks[::-1])
    assert same_record(first, build_table(moved), 0) == same_record(first, build_table(moved), -1) == 4
    gone = replace(report, leaks=report.leaks[1:2])
    assert same_record(first, build_table(gone), 0) is None
    other_kind = replace(report, leaks=(replace(report.leaks[0], kind=LeakKind.DIRECT),))
    assert same_record(first, build_table(other_kind), 0) is None


def test_building_and_arranging_stop_when_cancelled() -> None:
    with pytest.raises(Cancelled):
        build_table(sample_report(), lambda: True)
    with pytest.raises(Cancelled):
        arrange(TABLE, Query(order=Order.FUNCTION), match_pattern, lambda: True)


@given(st.lists(st.integers(0, 50), max_size=200))
def test_sorting_in_batches_is_sorting(sizes: list[int]) -> None:
    expected = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    assert sorted_indexes(range(len(sizes)), sizes.__getitem__, lambda: False) == expected


def test_orders_and_groupings_go_round() -> None:
    query = Query()
    orders, groupings = [], []
    for _ in OF_ONE:
        orders.append(query.order)
        query = query.next_order()
    for _ in Grouping:
        groupings.append(query.grouping)
        query = query.next_grouping()
    assert (orders, groupings, query) == (OF_ONE, list(Grouping), Query())
    assert Query(order=OF_ONE[-1]).next_order(comparing=True).order is Order.CHANGE
    assert Query(order=Order.CHANGE).next_order(comparing=True) == Query()
    assert Query(grouping=Grouping.FILE).next_order().order is Order.CUMULATIVE


@pytest.mark.parametrize("text", ["", "method_1", "re:("])
@pytest.mark.parametrize("after", [Query(order=Order.OBJECTS), Query(Scope(), Order.OBJECTS, Grouping.FUNCTION)])
def test_what_is_known_already_is_taken_over(text: str, after: Query) -> None:
    # On a busy machine the process that matches may take longer to start than a user would wait.
    patient = partial(match_pattern, deadline_s=60.0)
    table = build_table(large_report(300))
    after = after.with_filter(parse_filter(text))
    for before in (Query(), Query(grouping=Grouping.FUNCTION), Query(grouping=Grouping.FILE)):
        for narrowed in (before, before.with_filter(parse_filter(text))):
            known = arrange(table, narrowed, patient)
            again, afresh = arrange(table, after, patient, before=known), arrange(TABLE_300, after, patient)
            assert (again.indexes, again.groups, len(again.records), again.size_bytes, again.error) == (
                afresh.indexes, afresh.groups, len(afresh.records), afresh.size_bytes, afresh.error
            )  # fmt: skip


def test_the_groups_of_all_records_are_worked_out_once() -> None:
    first = arranged(Query(grouping=Grouping.FILE), MANY)
    assert arranged(Query(grouping=Grouping.FILE, order=Order.OBJECTS), MANY).groups is first.groups
    narrowed = Query(grouping=Grouping.FILE).with_filter(parse_filter("method_1"))
    assert arranged(narrowed, MANY).groups is not first.groups
