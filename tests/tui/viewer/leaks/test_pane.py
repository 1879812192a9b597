"""The leak browser under a person's hands: keys, mouse, both sizes, every state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from memtui.display.keymap import Place
from memtui.reports import pane_state as states
from memtui.reports.pane_state import LeakPaneState
from memtui.reports.table import Grouping, Order
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.leaks.record_list import LeakList
from memtui.viewer.leaks.stack_view import StackView
from memtui_parsers.values import LeakReport, ReportStatus
from tests.fixtures.leak_app import LeakApp
from tests.fixtures.leak_reports import frame, large_report, record, sample_report

NARROW = (80, 14)
WIDE = (120, 20)


async def until(condition: Callable[[], bool], what: str, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.005)


async def settled(app: LeakApp, pilot: Pilot[None]) -> None:
    """Everything asked for has been worked out and drawn."""
    await pilot.pause()
    await until(lambda: not app.pane.busy, "the workers are done")
    await pilot.pause()


async def press(app: LeakApp, pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(app, pilot)


def app_of(report: LeakReport | None = None, *, ascii: bool = False) -> LeakApp:
    return LeakApp(LeakPaneState(sample_report() if report is None else report, 1, run=2), ascii=ascii)


def lines(widget: LeakList | StackView) -> list[str]:
    drawn = [widget.render_line(y).text for y in range(widget.size.height)]
    return [line.replace("\N{THIN SPACE}", " ").rstrip() for line in drawn]


def leak_list(app: LeakApp) -> LeakList:
    return app.query_one(LeakList)


def stack(app: LeakApp) -> StackView:
    return app.query_one(StackView)


def said(app: LeakApp, name: str) -> str:
    return str(app.query_one(name, Static).content).replace("\N{THIN SPACE}", " ")


def current(app: LeakApp) -> int:
    """The record under the cursor; -1 for the notes."""
    arrangement, position = app.pane.arrangement, leak_list(app).position
    assert arrangement is not None
    return arrangement.row(position).record if position >= 0 else -1


async def test_80_columns_list_with_two_lines_below() -> None:
    app = app_of()
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        drawn = lines(leak_list(app))
        assert drawn[0].split() == ["BYTES▾", "OBJECTS", "SHARE", "FUNCTION", "LOCATION"]
        assert drawn[1].startswith("  ◆ 1 note: Thread stacks were not found")
        assert drawn[2].startswith("▶ 41.2 MiB   10 547  ██████▊  open_session(Conn&) ")
        assert drawn[2].endswith("server.cpp:88")
        assert drawn[5].split()[3:] == ["▏", "strdup", "←", "parse_peer", "peer.cpp:19"]
        below = said(app, "#leak-summary").split("\n")
        assert below[0] == "at exit · draconian · run 2 · 42.7 MiB in 11 130 objects · 1 note"
        assert below[1].split("  ")[:2] == ["server.cpp:88", "auto *s = new Session(c);"]
        assert below[1].endswith("◀ handle_rpc ◀ worker")
        assert not stack(app).display


async def test_120_columns_list_and_stack_side_by_side() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        assert leak_list(app).size.width == 72 and stack(app).display
        assert lines(leak_list(app))[0].split() == ["BYTES▾", "OBJECTS", "AVG", "SHARE", "FUNCTION", "LOCATION"]
        assert "open_session(Conn&) " in lines(leak_list(app))[2]
        assert lines(stack(app))[:5] == [
            " open_session(Conn&)  server.cpp:88",
            "   86 │ if (!c.hello())",
            "   87 │   return nullptr;",
            "▶  88 │ auto *s = new Session(c);  41.2 MiB",
            "   89 │ registry.add(s->id);",
        ]


async def test_the_scroll_bar_hides_nothing_of_a_stack() -> None:
    deep = [frame(f"frame_{n:02}{'x' * 200}", f"/srv/f{n}.cpp", n, at=n) for n in range(1, 20)]
    app = app_of(replace(sample_report(), leaks=(record("1" * 16, 1000, 1, *deep),)))
    async with app.run_test(size=(120, 20)) as pilot:
        await settled(app, pilot)
        view = stack(app)
        assert view.show_vertical_scrollbar
        assert max(map(len, lines(view))) == view.scrollable_content_region.width


async def test_the_layout_follows_a_resize_and_keeps_the_cursor() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "j")
        await pilot.resize_terminal(*NARROW)
        await settled(app, pilot)
        assert not stack(app).display and current(app) == 2
        await pilot.resize_terminal(40, 5)
        await settled(app, pilot)
        assert "212.0 KiB" in "\n".join(lines(leak_list(app)))
        await pilot.resize_terminal(*WIDE)
        await settled(app, pilot)
        assert stack(app).display and current(app) == 2


async def test_the_cursors_keys() -> None:
    app = app_of(large_report(300))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        page = leak_list(app).size.height - 1
        for keys, position in (
            (("j",), 1),
            (("down",), 2),
            (("k",), 1),
            (("up", "up", "up"), 0),
            (("pagedown",), page),
            (("pageup",), 0),
            (("G",), 299),
            (("j",), 299),
            (("g",), 0),
            (("end",), 299),
            (("home",), 0),
            (("n", "n"), 2),
            (("p",), 1),
        ):
            await press(app, pilot, *keys)
            assert leak_list(app).position == position, keys
            assert any(line.startswith("▶") for line in lines(leak_list(app))), keys


async def test_the_notes_are_the_first_row_and_explain_themselves() -> None:
    app = app_of(sample_report(("First note.", "Second note.")))
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        assert current(app) == 0
        await press(app, pilot, "k")
        assert current(app) == -1
        assert lines(stack(app))[:2] == [" ◆ First note.", " ◆ Second note."]
        await press(app, pilot, "n")
        assert current(app) == 0


async def test_a_truncated_report_says_so_in_its_first_note() -> None:
    app = app_of(replace(sample_report(), status=ReportStatus.TRUNCATED))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        assert lines(leak_list(app))[1].startswith("  ◆ 2 notes: The report was cut short")


async def test_enter_opens_the_stack_and_esc_closes_it_at_80_columns() -> None:
    app = app_of()
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "enter")
        assert stack(app).display and stack(app).has_focus and not leak_list(app).display
        assert lines(stack(app))[0] == "1 of 5 · 41.2 MiB in 10 547 objects · 96.4 % · not-freed"
        await press(app, pilot, "n")
        assert lines(stack(app))[0].startswith("2 of 5 · 1.3 MiB in 412 objects")
        await press(app, pilot, "p")
        assert lines(stack(app))[0].startswith("1 of 5")
        await press(app, pilot, "escape")
        assert leak_list(app).has_focus and not stack(app).display and current(app) == 0
        assert not app.pane.back()


async def test_the_frame_cursor_moves_the_source() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "enter", "j")
        assert "▶ 131 │ open_session(c);" in lines(stack(app))
        await press(app, pilot, "G", "enter")
        assert " clone3  libc.so.6" in lines(stack(app))
        await press(app, pilot, "enter", "g")
        assert lines(stack(app))[3] == "▶  88 │ auto *s = new Session(c);  41.2 MiB"
        assert " … 4 runtime frames" in lines(stack(app))
        await press(app, pilot, "escape")
        assert leak_list(app).has_focus


async def test_sorting_and_grouping_keep_the_leak() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "j", "j")
        assert current(app) == 3
        for order in Order:
            if order not in (Order.CHANGE, Order.CUMULATIVE):
                await press(app, pilot, "o")
            assert current(app) == 3
        for _ in Grouping:
            await press(app, pilot, "b")
            arrangement = app.pane.arrangement
            assert arrangement is not None
            assert leak_list(app).position == arrangement.position_of(3)
        assert current(app) == 3
        assert "by stack · bytes▾" in app.captions
        assert "by function · bytes▾" in app.captions and "by stack · average▾" in app.captions


async def test_a_group_is_entered_and_left() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "b", "b", "b")
        assert app.captions[-1] == "by library · bytes▾"
        assert lines(leak_list(app))[2].split()[-3:] == ["rpc_server", "4", "stacks"]
        assert lines(stack(app))[0] == "the largest of 4 stacks in rpc_server"
        await press(app, pilot, "enter")
        assert app.captions[-1] == "in rpc_server · bytes▾"
        assert app.pane.arrangement is not None and len(app.pane.arrangement) == 4
        await press(app, pilot, "escape")
        assert app.captions[-1] == "by library · bytes▾"


async def test_symbols_that_arrive_keep_the_group_that_was_entered() -> None:
    named = sample_report()
    leaks = (named.leaks[0], replace(named.leaks[0], leak_id="twin", size_bytes=5), *named.leaks[1:])
    named = replace(named, leaks=leaks)
    bare = replace(
        named, leaks=tuple(replace(k, stack=tuple(replace(f, function=None) for f in k.stack)) for k in leaks)
    )
    app = app_of(bare)
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "b", "enter")
        assert app.captions[-1] == "in server.cpp:88 · bytes▾"
        app.pane.show(LeakPaneState(named, 1, run=2))
        await settled(app, pilot)
        assert app.captions[-1] == "in open_session(Conn&) · bytes▾"
        assert app.pane.arrangement is not None and len(app.pane.arrangement) == 2


async def test_a_filter_outlives_a_pane_without_a_report_and_stays_in_sight() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "slash", *"ssl", "enter")
        app.pane.show(LeakPaneState(empty=states.waiting("draconian")))
        await settled(app, pilot)
        assert not app.query_one(Input).region and app.captions[-1] == ""
        app.pane.show(LeakPaneState(sample_report(), 2, run=3))
        await settled(app, pilot)
        assert app.query_one(Input).region and said(app, "#find-count") == "1 of 5 records, <1 % of bytes"


async def test_a_filter_narrows_list_and_totals_and_keeps_the_leak() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "j", "j", "slash", *"strdup")
        assert said(app, "#find-count") == "1 of 5 records, <1 % of bytes"
        assert current(app) == 3
        await press(app, pilot, "enter")
        assert leak_list(app).has_focus and app.pane.arrangement is not None and len(app.pane.arrangement) == 1
        await press(app, pilot, "escape")
        assert len(app.pane.arrangement) == 5 and current(app) == 3
        assert not app.pane.has_class("-finding")


async def test_a_filter_that_hides_the_leak_gives_it_back() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "slash", *"ssl")
        assert current(app) == 4
        await press(app, pilot, "escape")
        assert current(app) == 1


async def test_a_skipped_function_gives_its_caller_the_name_until_it_is_taken_back() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        assert app.pane.arrangement is not None and app.pane.arrangement.row(0).function == "open_session(Conn&)"
        await press(app, pilot, "K")
        await settled(app, pilot)
        assert app.pane.arrangement.row(0).function == "handle_rpc(int)"
        assert app.captions[-1].startswith("skip open_session") and len(app.pane.arrangement) == 5
        # Another report of the same view.
        app.pane.show(LeakPaneState(sample_report(), 2, run=3))
        await settled(app, pilot)
        assert app.pane.arrangement.row(0).function == "handle_rpc(int)"
        await press(app, pilot, "escape")
        await settled(app, pilot)
        assert app.pane.arrangement.row(0).function == "open_session(Conn&)" and current(app) == 0


async def test_nothing_passing_and_a_bad_pattern_are_said() -> None:
    app = app_of(sample_report(()))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "slash", *"zzz")
        assert lines(leak_list(app))[1] == "   No record passes the filter: esc clears it."
        app.query_one(Input).value = "re:("
        await settled(app, pilot)
        assert said(app, "#find-count").startswith("no pattern: ")
        await press(app, pilot, "escape")
        assert app.pane.arrangement is not None and len(app.pane.arrangement) == 5


async def test_the_mouse_selects_scrolls_sorts_and_opens() -> None:
    app = app_of(large_report(200))
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await pilot.click(LeakList, offset=(10, 4))
        await settled(app, pilot)
        assert leak_list(app).position == 3
        app.pane.query_one(LeakList).scroll_down(animate=False)
        await settled(app, pilot)
        top = leak_list(app).scroll_offset.y
        assert top > 0 and leak_list(app).position == 3
        await pilot.click(LeakList, offset=(10, 5))
        await settled(app, pilot)
        assert leak_list(app).position == 4 + top
        await pilot.click(LeakList, offset=(16, 0))
        await settled(app, pilot)
        assert app.pane.arrangement is not None and app.pane.arrangement.query.order is Order.OBJECTS
        await pilot.click(StackView, offset=(5, 3))
        await settled(app, pilot)
        assert stack(app).has_focus


async def test_a_double_click_opens_the_stack() -> None:
    app = app_of()
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await pilot.click(LeakList, offset=(10, 3), times=2)
        await settled(app, pilot)
        assert stack(app).has_focus and lines(stack(app))[0].startswith("2 of 5")


async def test_symbols_that_arrive_change_names_but_not_the_cursor() -> None:
    named = sample_report()
    bare = replace(
        named,
        leaks=tuple(
            replace(
                leak,
                leak_id=f"bare{number}",
                stack=tuple(replace(f, function=None, file=None, line=None) for f in leak.stack),
            )
            for number, leak in enumerate(named.leaks)
        ),
    )
    app = app_of(bare)
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "j", "j")
        assert current(app) == 3 and "_server+0x1800" in lines(leak_list(app))[5]
        app.pane.show(LeakPaneState(named, 1, run=2))
        await settled(app, pilot)
        assert current(app) == 3 and "peer.cpp:19" in lines(leak_list(app))[5]


async def test_a_new_report_keeps_the_leak_by_its_id_or_starts_at_the_top() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "j", "j", "j")
        report = sample_report()
        app.pane.show(LeakPaneState(replace(report, leaks=report.leaks[2:]), 2, run=3))
        await settled(app, pilot)
        assert current(app) == 1 and "strdup" in lines(stack(app))[0]
        app.pane.show(LeakPaneState(replace(report, leaks=report.leaks[:2]), 3, run=4))
        await settled(app, pilot)
        assert current(app) == 0


async def test_showing_the_same_state_again_costs_nothing() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        before = app.pane.arrangement
        app.pane.show(LeakPaneState(app.pane.arrangement.table.report if app.pane.arrangement else None, 1, run=2))
        assert not app.pane.busy and app.pane.arrangement is before


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (LeakPaneState(), ("The leak check is off.", "m chooses")),
        (LeakPaneState(empty=states.waiting("normal")), ("Checking: normal.", "c asks for one now, t asks it to stop")),
        (LeakPaneState(empty=states.waiting("local")), ("Checking: local.", "t asks it to stop; m chooses")),
        (LeakPaneState(empty=states.READING), ("Reading the report",)),
        (LeakPaneState(empty=states.killed("SIGKILL")), ("Killed by SIGKILL", "r to relaunch")),
        (LeakPaneState(empty=states.cannot_work("Static program.", "Link it.")), ("Static program.", "Link it.")),
        (
            LeakPaneState(replace(sample_report(), mode="normal", leaks=(), notes=())),
            ("Checked (normal): no leaks found.", "draconian"),
        ),
        (
            LeakPaneState(replace(sample_report(), leaks=(), notes=("No leaks found, but 3 objects are reachable.",))),
            ("Checked (draconian)", "3 objects are reachable"),
        ),
        (
            LeakPaneState(replace(sample_report(), leaks=(), notes=("Ptraced.",), status=ReportStatus.NOT_RUN)),
            ("No leak check is possible here.", "Ptraced.", "m shows"),
        ),
    ],
)
async def test_every_empty_state_says_what_to_do(state: LeakPaneState, words: tuple[str, ...]) -> None:
    app = LeakApp(state)
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        assert (app.query_one("#leak-empty").display and not leak_list(app).display) or app.pane.has_class("-empty")
        text = said(app, "#leak-empty")
        for word in words:
            assert word in text
        # No key of the browser may fall over an empty pane.
        await press(app, pilot, "o", "b", "n", "p", "slash", "escape")
        app.pane.action_open()
        await settled(app, pilot)
        app.pane.show(LeakPaneState(sample_report(), 1))
        await settled(app, pilot)
        assert not app.pane.has_class("-empty") and current(app) == 0


async def test_a_report_can_go_away_again() -> None:
    app = app_of()
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "enter")
        app.pane.show(LeakPaneState(empty=states.waiting("draconian")))
        await settled(app, pilot)
        assert app.pane.has_class("-empty") and not app.pane.has_class("-opened")


async def test_ascii_screens_are_ascii() -> None:
    app = app_of(ascii=True)
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "b", "b", "b", "b")
        assert all(line.isascii() for line in lines(leak_list(app)) + lines(stack(app)))
        assert said(app, "#leak-summary").isascii()
        await pilot.resize_terminal(*NARROW)
        await settled(app, pilot)
        assert said(app, "#leak-summary").isascii()
        assert app.captions[-1].isascii()


async def test_symbols_are_never_markup() -> None:
    name = "[bold]foo[/bold][abi:cxx11]\x1b[31m"
    frames = tuple(replace(f, function=name, file="/[red]/x[y].cpp") for f in sample_report().leaks[0].stack)
    app = app_of(replace(sample_report(("[b]note",)), leaks=(record("1", 5, 1, *frames),)))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        text = "\n".join(lines(leak_list(app)))
        assert "[bold]foo[/bold][abi:cxx11]" in text and "x[y].cpp:88" in text and "[b]note" in text
        assert "x[y].cpp:88" in said(app, "#leak-summary")
        await press(app, pilot, "enter")
        assert "[bold]foo[/bold][abi:cxx11]" in "\n".join(lines(stack(app)))


def test_the_footer_may_ask_a_pane_that_is_not_up() -> None:
    assert LeakPane(id="leaks").place is Place.LIST


async def test_a_group_that_is_entered_after_a_stack_was_open_keeps_the_focus_in_the_list() -> None:
    alike = [record(f"{number:016x}", 100 - number, 1, frame("serve", "server.cpp", number + 1)) for number in range(2)]
    single = record("f" * 16, 10, 1, frame("parse", "parse.cpp", 7))
    app = app_of(replace(sample_report(), leaks=(*alike, single), total_bytes=209, total_objects=3))
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "b")
        arrangement = app.pane.arrangement
        assert arrangement is not None and [arrangement.row(n).stacks for n in range(2)] == [2, 1]
        leak_list(app).focus()
        await press(app, pilot, "G", "enter")
        assert stack(app).has_focus
        leak_list(app).focus()
        await press(app, pilot, "up", "enter")
        assert app.captions[-1].startswith("in serve")
        assert leak_list(app).has_focus
