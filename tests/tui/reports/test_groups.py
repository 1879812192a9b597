"""Flat and cumulative figures by function, file, library and namespace, and the functions in focus or hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.reports.arrangement import Arrangement, Query, Row, arrange
from memtui.reports.filter import parse_filter
from memtui.reports.groups import groups_of
from memtui.reports.pattern import match_pattern
from memtui.reports.scope import Chip, ChipKind, Scope, records_in
from memtui.reports.table import Cancelled, Grouping, LeakTable, Order, build_table
from memtui_parsers.report.function_names import namespace_of
from memtui_parsers.values import LeakReport, ReportStatus
from tests.fixtures.leak_reports import RUNTIME, frame, record, sample_report

A, B, C = (frame(name, f"/src/{name[0]}.cpp", 3, at=0x10 * n) for n, name in enumerate(("a::f()", "a::g()", "b::h()")))
TABLE: LeakTable = build_table(sample_report())


def report_of(*leaks: tuple[int, int, tuple[int, ...]]) -> LeakReport:
    """(bytes, objects, stack as indexes into A, B, C and the runtime), largest first."""
    frames = (A, B, C, *RUNTIME)
    records = [
        record(f"{n}", size, objects, *(frames[at] for at in stack)) for n, (size, objects, stack) in enumerate(leaks)
    ]
    records.sort(key=lambda one: -one.size_bytes)
    total = sum(one.size_bytes for one in records)
    return LeakReport("heapcheck", "draconian", ReportStatus.COMPLETE, total_bytes=total, leaks=tuple(records))


def rows_by(grouping: Grouping, report: LeakReport, scope: Scope = Scope()) -> dict[str, Row]:  # noqa: B008
    rows = arrange(build_table(report), Query(scope, grouping=grouping), match_pattern)
    return {rows.row(position).function: rows.row(position) for position in range(len(rows))}


def test_a_function_is_counted_once_for_a_stack_that_it_recurs_on() -> None:
    rows = rows_by(Grouping.FUNCTION, report_of((100, 2, (0, 1, 0, 1, 0)), (10, 1, (1, 2))))
    figures = {name: (row.size_bytes, row.cumulative_bytes, row.objects, row.stacks) for name, row in rows.items()}
    assert figures == {"a::f()": (100, 100, 2, 1), "a::g()": (10, 110, 1, 2), "b::h()": (0, 10, 0, 1)}


def test_the_runtimes_frames_allocate_nothing_themselves() -> None:
    rows = rows_by(Grouping.FUNCTION, report_of((7, 1, (4, 0, 5))))
    assert (rows["a::f()"].size_bytes, rows["a::f()"].aside) == (7, False)
    assert [(row.size_bytes, row.cumulative_bytes) for row in rows.values() if row.aside] == [(0, 7), (0, 7)]


def test_namespaces_are_groups() -> None:
    rows = rows_by(Grouping.NAMESPACE, report_of((100, 2, (0, 2)), (10, 1, (2, 1)), (1, 1, ())))
    figures = {name: (row.size_bytes, row.cumulative_bytes) for name, row in rows.items()}
    assert figures == {"a": (100, 110), "b": (10, 110), "(global)": (1, 1)}


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("relay::codec::Frame::decode<relay::codec::Hello>(char const*, unsigned long)", "relay::codec"),
        ("void std::vector<Peer, std::allocator<Peer> >::_M_realloc_insert<Peer const&>(Peer const&)", "std"),
        ("main", ""),
        ("(anonymous namespace)::open(int)", "(anonymous namespace)"),
        ("a::(anonymous namespace)::Foo::bar()", "a::(anonymous namespace)"),
        ("relay::session::session(int)", "relay"),
        ("relay::session::~session()", "relay"),
        ("relay::run()::{lambda()#1}::operator()() const", "relay"),
        ("bool relay::operator==<int>(relay::X const&)", "relay"),
        ("alloc::vec::Vec<T>::push", "alloc::vec"),
        ("<alloc::vec::Vec<T> as core::Foo>::bar", "alloc::vec"),
        ("std::chrono::operator<<(x)", "std::chrono"),
        ("std::pair<a, b> x::y(z)", "x"),
    ],
)
def test_the_namespace_of_a_name(name: str, namespace: str) -> None:
    assert namespace_of(name) == namespace


@given(st.text(alphabet="ab:<>(){}~ operator_0", max_size=60))
def test_any_text_has_a_namespace(name: str) -> None:
    assert "\0" not in namespace_of(name)


stacks = st.lists(st.integers(0, 6), max_size=8).map(tuple)
leak_lists = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9), stacks), max_size=12)


@given(leak_lists, st.sampled_from([g for g in Grouping if g is not Grouping.STACK]), st.sampled_from(list(Order)))
def test_flat_adds_up_and_cumulative_is_never_less(
    leaks: list[tuple[int, int, tuple[int, ...]]], grouping: Grouping, order: Order
) -> None:
    report = report_of(*leaks)
    rows = arrange(build_table(report), Query(grouping=grouping, order=order), match_pattern)
    shown = [rows.row(position) for position in range(len(rows))]
    assert sum(row.size_bytes for row in shown) == sum(size for size, _, _ in leaks)
    assert sum(row.objects for row in shown) == sum(objects for _, objects, _ in leaks)
    assert all(row.size_bytes <= row.cumulative_bytes <= report.total_bytes for row in shown)
    assert all(1 <= row.stacks <= len(leaks) for row in shown)


def scoped(*chips: Chip, text: str = "") -> list[int]:
    return records_in(TABLE, Scope(parse_filter(text), chips=chips), match_pattern)


def test_focus_and_hide_by_function() -> None:
    worker, rpc = "worker(Queue&)", "handle_rpc(int)"
    assert scoped(Chip(ChipKind.FOCUS, rpc)) == [0, 1, 3]
    assert scoped(Chip(ChipKind.HIDE, rpc)) == [2, 4]
    assert scoped(Chip(ChipKind.FOCUS, worker), Chip(ChipKind.HIDE, rpc)) == [2]
    assert scoped(Chip(ChipKind.FOCUS, rpc), text="hello") == [1]
    assert scoped(Chip(ChipKind.FOCUS, "no such function")) == []
    assert scoped(Chip(ChipKind.HIDE, "no such function")) == [0, 1, 2, 3, 4]


def test_a_group_entered_shows_all_that_goes_through_it() -> None:
    inside = records_in(TABLE, Scope(within=(Grouping.FUNCTION, "handle_rpc(int)")), match_pattern)
    assert inside == [0, 1, 3]
    unknown = records_in(TABLE, Scope(within=(Grouping.FILE, "")), match_pattern)
    assert unknown == [4]


def test_a_groups_location_is_its_own_frames() -> None:
    rows: Arrangement = arrange(TABLE, Query(grouping=Grouping.FUNCTION, order=Order.CUMULATIVE), match_pattern)
    places = {rows.row(n).function: rows.row(n).location for n in range(len(rows))}
    assert places["handle_rpc(int)"] == "server.cpp:131" and places["open_session(Conn&)"] == "server.cpp:88"
    assert [rows.row(n).cumulative_bytes for n in range(len(rows))] == sorted(
        (rows.row(n).cumulative_bytes for n in range(len(rows))), reverse=True
    )


def test_grouping_stops_when_cancelled() -> None:
    with pytest.raises(Cancelled):
        groups_of(TABLE, TABLE.by_size, Grouping.FILE, lambda: True)
