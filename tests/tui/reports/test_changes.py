"""The leak browser while it compares two reports: what has come and gone, in every order, grouping, filter and width."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from memtui.display.glyphs import ASCII, UNICODE, Glyphs
from memtui.reports.answer import NOTES
from memtui.reports.arrangement import Arrangement, Query, arrange
from memtui.reports.changes import change_words, signed, was_words
from memtui.reports.filter import parse_filter
from memtui.reports.pane_state import LeakPaneState
from memtui.reports.pattern import match_pattern
from memtui.reports.scope import Scope
from memtui.reports.table import Grouping, LeakTable, Order, build_table
from memtui.viewer.leaks.record_list import order_at, record_columns, record_header, record_row
from memtui_parsers.report.difference import Change, LeakDelta
from memtui_parsers.values import LeakKind, LeakReport
from tests.fixtures.leak_app import LeakApp
from tests.fixtures.leak_reports import large_report, record, sample_report
from tests.tui.viewer.leaks.test_pane import current, leak_list, lines, press, said, settled, stack

NARROW = (80, 14)
WIDE = (120, 20)
SINCE, WAS_AT = "since 10:00:05 (run 2, live)", "at 10:00:05"
NEW = sample_report(())
SESSION, HELLO, VECTOR, STRDUP, TLS = NEW.leaks


def older() -> LeakReport:
    """The sessions were fewer, the vector larger, one more leaked then, and nobody had called strdup."""
    lost = record("9f2c000000000009", 90_000, 30, *VECTOR.stack[1:])
    leaks = (
        replace(SESSION, size_bytes=SESSION.size_bytes - 1_000_000, objects=SESSION.objects - 200),
        replace(HELLO, size_bytes=HELLO.size_bytes - 1_000_000),
        replace(VECTOR, size_bytes=400_000, objects=60),
        lost,
        TLS,
    )
    total = sum(leak.size_bytes for leak in leaks), sum(leak.objects for leak in leaks)
    return replace(NEW, leaks=leaks, total_bytes=total[0], total_objects=total[1])


TABLE: LeakTable = build_table(NEW, against=older())
GONE = 5


def arranged(query: Query, table: LeakTable = TABLE) -> Arrangement:
    return arrange(table, query, match_pattern)


def order_of(rows: Arrangement) -> list[int]:
    return [rows.row(position).record for position in range(len(rows))]


def drawn(rows: Arrangement, width: int, look: Glyphs = UNICODE, *, beside_stack: bool = False) -> list[str]:
    layout = record_columns(rows, width, beside_stack=beside_stack)
    header = record_header(rows, layout, look)
    body = [record_row(rows, position, layout, look, cursor=False) for position in range(len(rows))]
    return ["".join(text for text, _ in pieces).replace("\N{THIN SPACE}", " ") for pieces in (header, *body)]


def test_what_has_grown_most_is_first_and_what_is_gone_last() -> None:
    rows = arranged(Query(order=Order.CHANGE))
    assert order_of(rows) == [0, 1, 3, 4, 2, GONE]
    assert [rows.row(position).change for position in range(6)] == [
        Change.GROWN,
        Change.GROWN,
        Change.NEW,
        Change.SAME,
        Change.SHRUNK,
        Change.GONE,
    ]
    assert (rows.delta_bytes, rows.delta_objects) == (
        NEW.total_bytes - older().total_bytes,
        NEW.total_objects - older().total_objects,
    )


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("grouping", list(Grouping))
def test_every_arrangement_holds_every_change_once(order: Order, grouping: Grouping) -> None:
    new = large_report(3000)
    old = replace(
        new,
        leaks=tuple(
            replace(leak, size_bytes=leak.size_bytes * 2 // 3, objects=leak.objects + 1) for leak in new.leaks[40:]
        ),
    )
    table = build_table(new, against=old)
    rows = arranged(Query(order=order, grouping=grouping), table)
    shown = [rows.row(position) for position in range(len(rows))]
    assert table.difference is not None
    assert sum(row.delta_bytes for row in shown) == rows.delta_bytes == table.difference.delta_bytes
    assert sum(row.size_bytes for row in shown) == new.total_bytes
    if order is Order.CHANGE:
        there = [row.delta_bytes for row in shown if row.change is not Change.GONE]
        assert there == sorted(there, reverse=True)
        assert not any(row.change is Change.GONE for row in shown[: len(there)])


def test_a_group_is_gone_where_all_of_it_is() -> None:
    alone = record("9f2c00000000000a", 500, 5, TLS.stack[0])
    old = replace(older(), leaks=(*older().leaks, alone))
    rows = arranged(Query(order=Order.CHANGE, grouping=Grouping.FILE), build_table(NEW, against=old))
    names = {rows.row(position).function: rows.row(position) for position in range(len(rows))}
    assert names["peer.cpp"].change is Change.NEW
    # The vector's own frame and the one that is gone lie in one file: the group has shrunk by both.
    assert names["relay.cpp"].change is Change.SHRUNK
    assert names["relay.cpp"].delta_bytes == VECTOR.size_bytes - 400_000 - 90_000
    assert names["server.cpp"].delta_bytes == 1_000_000


@pytest.mark.parametrize(
    ("words", "records"),
    [
        ("state:new", [3]),
        ("state:gone", [GONE]),
        ("state:grown", [0, 1]),
        ("state:shrunk fn:vector", [2]),
        ("-state:same", [0, 1, 2, 3, GONE]),
        ("state:g", [0, 1, GONE]),
        ("state:nothing", []),
        ("state:", [0, 1, 2, 3, 4, GONE]),
        ("State:NEW", [3]),
    ],
)
def test_the_filter_knows_the_states(words: str, records: list[int]) -> None:
    rows = arranged(Query(Scope(parse_filter(words))))
    assert sorted(order_of(rows)) == records
    assert TABLE.difference is not None
    assert rows.delta_bytes == sum(TABLE.difference.deltas[index].delta_bytes for index in records)


def test_a_state_without_a_comparison_is_said() -> None:
    rows = arranged(Query(Scope(parse_filter("state:new"))), build_table(NEW))
    assert len(rows) == 0 and rows.error == "state: needs a report to compare with: d"


def test_at_80_columns_the_change_takes_the_place_of_the_share() -> None:
    rows = arranged(Query(order=Order.CHANGE))
    shown = drawn(rows, 78)
    assert shown[0].split() == ["BYTES", "OBJECTS", "±▾", "FUNCTION", "LOCATION"]
    assert shown[1].split()[:7] == ["41.2", "MiB", "10", "547", "+976.6", "KiB", "open_session(Conn&)"]
    assert shown[3].split()[:5] == ["16.4", "KiB", "117", "new", "strdup"]
    assert shown[4].split()[3] == "="
    assert shown[5].split()[3:5] == ["-178.6", "KiB"]
    assert shown[6].split()[:5] == ["gone", "0", "-87.9", "KiB", "Relay::add_peer"]
    assert "SHARE" in drawn(arranged(Query(), build_table(NEW)), 78)[0]


@pytest.mark.parametrize("width", [10, 24, 40, 60, 72, 78, 96, 118, 200])
@pytest.mark.parametrize("beside_stack", [False, True])
@pytest.mark.parametrize("look", [UNICODE, ASCII])
def test_a_row_is_as_wide_as_the_list_whatever_has_changed(width: int, beside_stack: bool, look: Glyphs) -> None:
    huge = replace(NEW, leaks=(replace(SESSION, size_bytes=1023 << 20),))
    for table in (TABLE, build_table(huge, against=replace(NEW, leaks=())), build_table(NEW, against=huge)):
        for line in drawn(arranged(Query(order=Order.CHANGE), table), width, look, beside_stack=beside_stack)[1:]:
            assert len(line) == width or width < 12
            assert not look.ascii or line.isascii()


def test_a_wide_list_keeps_share_average_and_change_together() -> None:
    header = drawn(arranged(Query(order=Order.CHANGE)), 150)[0].split()
    assert header == ["BYTES", "OBJECTS", "AVERAGE", "SHARE", "±▾", "KIND", "FUNCTION", "LOCATION"]
    layout = record_columns(arranged(Query()), 150)
    assert order_at(layout, next(start for name, start, _ in layout.spans() if name == "delta")) is Order.CHANGE


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        ((1_363_149, 412), "+1.3 MiB in 412 objects"),
        ((-1_363_149, -1), "-1.3 MiB in 1 object"),
        ((1_363_149, -12), "+1.3 MiB and -12 objects"),
        ((4096, 0), "+4.0 KiB in as many objects"),
        ((0, 3), "as many bytes and +3 objects"),
        ((0, 0), "no change"),
        ((1, 10_547), "+1 B in 10 547 objects"),
    ],
)
def test_changes_in_words(delta: tuple[int, int], words: str) -> None:
    assert change_words(*delta, ASCII) == words


def test_what_a_leak_was() -> None:
    def words(change: Change) -> str:
        return was_words(LeakDelta(SESSION, 1_258_291, 400, 5, 1, change), WAS_AT, ASCII)

    assert words(Change.GROWN) == words(Change.SHRUNK) == "was 1.2 MiB in 400 objects at 10:00:05"
    assert words(Change.GONE) == "gone: was 1.2 MiB in 400 objects at 10:00:05"
    assert words(Change.NEW) == "new: not there at 10:00:05"
    assert words(Change.SAME) == "as it was at 10:00:05"
    assert [signed(n) for n in (0, -1, 1 << 60)] == ["+0 B", "-1 B", "+1.0 EiB"]


# Under a person's hands


def comparing(report: LeakReport = NEW, against: LeakReport | None = None, *, aside: str = "") -> LeakPaneState:
    was = older() if against is None else against
    return LeakPaneState(report, 3, 2, "live at 10:05:12", against=was, since=SINCE, was_at=WAS_AT, aside=aside)


def alone(report: LeakReport = NEW, report_id: int = 3) -> LeakPaneState:
    return LeakPaneState(report, report_id, 2, "live at 10:05:12")


async def compare(app: LeakApp, pilot: Pilot[None], state: LeakPaneState) -> None:
    app.pane.show(state)
    await settled(app, pilot)


async def test_a_comparison_begins_with_growth_and_its_end_brings_the_order_back() -> None:
    app = LeakApp(alone())
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "o")
        assert app.captions[-1] == "by stack · objects▾"
        await compare(app, pilot, comparing())
        assert app.captions[-1] == "by stack · change▾"
        assert lines(leak_list(app))[1].startswith("▶ 41.2 MiB   10 547  +976.6 KiB  open_session(Conn&)")
        assert said(app, "#leak-summary").split("\n")[0].startswith(f"+1.7 MiB in 280 objects {SINCE} · 42.7 MiB in ")
        await compare(app, pilot, alone())
        assert app.captions[-1] == "by stack · objects▾"
        assert "since" not in said(app, "#leak-summary")
        await compare(app, pilot, comparing())
        await press(app, pilot, "o")
        assert app.captions[-1] == "by stack · bytes▾"
        await compare(app, pilot, alone())
        assert app.captions[-1] == "by stack · bytes▾", "an order chosen meanwhile stays"


async def test_the_cursor_stays_on_its_leak_through_comparisons_and_other_reports() -> None:
    app = LeakApp(alone())
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "j", "j")
        assert current(app) == 3
        await compare(app, pilot, comparing())
        assert current(app) == 3 and leak_list(app).position == 2
        await press(app, pilot, "b", "b", "b", "b", "b", "o", "o")
        assert current(app) == 3
        await compare(app, pilot, alone(older(), 1))
        assert leak_list(app).position == 0, "the older report does not have it"
        await compare(app, pilot, alone())
        assert current(app) == 3, "the leak in hand is found again where it is"
        await compare(app, pilot, comparing())
        await press(app, pilot, "G")
        assert current(app) == GONE
        await compare(app, pilot, alone(older(), 1))
        assert current(app) == 3, "what is gone is there in the older report"


async def test_the_stack_says_what_it_was() -> None:
    app = LeakApp(comparing())
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        assert lines(stack(app))[0] == "was 40.2 MiB in 10 347 objects at 10:00:05"
        await press(app, pilot, "n", "n")
        assert lines(stack(app))[0] == "new: not there at 10:00:05"
        await press(app, pilot, "G")
        assert lines(stack(app))[0] == "gone: was 87.9 KiB in 30 objects at 10:00:05"
        assert not any("0 B" in line for line in lines(stack(app)))
        await pilot.resize_terminal(*NARROW)
        await press(app, pilot, "enter")
        assert lines(stack(app))[:2] == ["6 of 6 · not-freed", "gone: was 87.9 KiB in 30 objects at 10:00:05"]
        await press(app, pilot, "p")
        assert lines(stack(app))[1] == "-178.6 KiB in 7 objects: was 390.6 KiB in 60 objects at 10:00:05"


async def test_the_filter_counts_changes() -> None:
    app = LeakApp(comparing())
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "slash", *"state:grown")
        assert said(app, "#find-count") == "2 of 6 records, +1.9 MiB in 200 objects"
        await compare(app, pilot, alone())
        assert said(app, "#find-count") == "state: needs a report to compare with: d"
        await press(app, pilot, "escape")
        assert app.pane.arrangement is not None and len(app.pane.arrangement) == 5


async def test_what_makes_it_less_than_it_looks_is_the_first_note() -> None:
    in_use = replace(older(), leaks=tuple(replace(leak, kind=LeakKind.IN_USE) for leak in older().leaks))
    app = LeakApp(comparing(sample_report(), in_use))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        assert lines(leak_list(app))[1].startswith("  ◆ 2 notes: compared across kinds: in-use before, not-freed now")
        assert said(app, "#leak-summary").split("\n")[0].endswith("…")
        await press(app, pilot, "k")
        assert current(app) == NOTES


async def test_a_report_without_leaks_shows_what_is_gone() -> None:
    clean = replace(NEW, leaks=(), total_bytes=0, total_objects=0)
    app = LeakApp(comparing(clean))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        assert app.pane.arrangement is not None and len(app.pane.arrangement) == 5
        assert lines(leak_list(app))[1].split()[:3] == ["▶", "gone", "0"]
        await compare(app, pilot, alone(clean))
        assert app.pane.has_class("-empty")
        await compare(app, pilot, comparing(clean, clean))
        assert app.pane.has_class("-empty")


async def test_names_that_arrive_for_either_report_keep_the_comparison() -> None:
    bare = replace(
        older(),
        leaks=tuple(
            replace(
                leak,
                leak_id=f"bare{n}",
                stack=tuple(replace(f, function=None, file=None, line=None) for f in leak.stack),
            )
            for n, leak in enumerate(older().leaks)
        ),
    )
    app = LeakApp(comparing(NEW, bare))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j")
        assert app.pane.arrangement is not None and len(app.pane.arrangement) == 6
        before = lines(leak_list(app))[1:6]
        await compare(app, pilot, comparing())
        assert lines(leak_list(app))[1:6] == before and current(app) == 1


async def test_the_caption_begins_with_what_there_is_to_know_of_other_reports() -> None:
    app = LeakApp(replace(alone(), aside="2 newer"))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        assert app.captions[-1] == "2 newer · by stack · bytes▾"
        await compare(app, pilot, replace(alone(), aside="3 newer"))
        assert app.captions[-1] == "3 newer · by stack · bytes▾"


async def test_ascii_comparisons_are_ascii() -> None:
    app = LeakApp(replace(comparing(), aside="reading 10:00:05 …"), ascii=True)
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        assert lines(leak_list(app))[0].split()[2] == "+-v"
        await press(app, pilot, "G")
        assert all(line.isascii() for line in lines(leak_list(app)) + lines(stack(app)))
        assert said(app, "#leak-summary").isascii() and app.captions[-1].isascii()
