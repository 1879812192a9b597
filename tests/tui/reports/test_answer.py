"""The trees, the icicle, and focus and hide, under a person's hands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.app import App
from textual.pilot import Pilot

from memtui.reports.answer import View
from memtui.reports.pane_state import LeakPaneState
from memtui.viewer.leaks import editor
from memtui.viewer.leaks.editor import Notice, SuppressAsked
from memtui.viewer.leaks.error_view import ErrorView
from memtui.viewer.leaks.icicle_lines import Colouring
from memtui.viewer.leaks.icicle_view import IcicleView
from memtui.viewer.leaks.tree_view import TreeView
from memtui.viewer.widgets.inked_view import InkedView
from memtui_parsers.values import CheckerError, ErrorDetail, LeakKind, LeakReport
from tests.fixtures.leak_app import LeakApp
from tests.fixtures.leak_reports import frame, large_report, sample_report
from tests.tui.viewer.leaks.test_pane import (
    NARROW,
    WIDE,
    app_of,
    current,
    leak_list,
    lines,
    press,
    said,
    settled,
    stack,
)


def tree(app: LeakApp) -> TreeView:
    return app.query_one(TreeView)


def boxes(app: LeakApp) -> IcicleView:
    return app.query_one(IcicleView)


def rows(app: LeakApp) -> list[str]:
    view = tree(app)
    return [view.render_line(y).text.replace("\N{THIN SPACE}", " ").rstrip() for y in range(view.size.height)]


def named(app: LeakApp) -> str:
    """The function in hand."""
    return app.pane.selection.function


async def in_view(app: LeakApp, pilot: Pilot[None], view: View) -> None:
    while app.pane.view is not view:
        await press(app, pilot, "v")


async def test_v_goes_through_the_views_and_back() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        seen = []
        for _ in range(4):
            await press(app, pilot, "v")
            seen.append((app.pane.view.value, app.captions[-1]))
        assert seen == [
            ("callers", "callers · bytes▾"),
            ("callees", "callees · bytes▾"),
            ("icicle", "icicle"),
            ("list", "by stack · bytes▾"),
        ]
        assert leak_list(app).has_focus and current(app) == 0


async def test_the_callers_tree_opens_closes_and_follows_with_the_stack() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.CALLERS)
        assert rows(app)[1].startswith("▶ 41.2 MiB") and "▸ open_session(Conn&)" in rows(app)[1]
        assert tree(app).row_count == 5
        await press(app, pilot, "enter")
        assert "▾ open_session(Conn&)" in rows(app)[1] and "handle_rpc(int)" in rows(app)[2]
        assert tree(app).row_count == 8
        await press(app, pilot, "right", "right")
        assert named(app) == "worker(Queue&)"
        assert any(line.startswith(" worker(Queue&)") for line in lines(stack(app)))
        await press(app, pilot, "left", "left")
        assert named(app) == "handle_rpc(int)"
        await press(app, pilot, "left", "left")
        assert named(app) == "open_session(Conn&)" and tree(app).row_count > 5
        await press(app, pilot, "enter")
        assert tree(app).row_count == 5
        await press(app, pilot, "escape")
        assert app.pane.view is View.LIST


async def test_a_report_without_leaks_blames_no_filter_in_any_view() -> None:
    app = app_of(replace(sample_report(), leaks=(), total_bytes=0, total_objects=0, errors=(JUMP,)))
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.CALLERS)
        assert rows(app)[1].strip() == "No leaks were found."
        await in_view(app, pilot, View.ICICLE)
        assert boxes(app).render_line(1).text.strip() == "No leaks were found."


async def test_the_callees_tree_shows_the_hottest_path() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.CALLEES)
        await press(app, pilot, "asterisk")
        assert named(app) == "open_session(Conn&)"
        opened = tree(app).rows
        assert opened is not None and [node.depth for node in opened.rows[:7]] == [1, 2, 3, 4, 5, 6, 7]
        # Sorting and a filter keep what is open and where the cursor is.
        await press(app, pilot, "o")
        assert named(app) == "open_session(Conn&)"
        await press(app, pilot, "slash", *"handle_rpc", "enter")
        assert named(app) == "open_session(Conn&)" and app.pane.arrangement is not None
        assert len(app.pane.arrangement.records) == 3
        assert all("add_peer" not in row for row in rows(app))


async def test_a_leaf_opens_its_stack_at_80_columns() -> None:
    app = app_of()
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.CALLEES)
        await press(app, pilot, "asterisk", "enter")
        assert stack(app).has_focus and not tree(app).display
        assert "▶  88 │ auto *s = new Session(c);  41.2 MiB" in lines(stack(app))
        await press(app, pilot, "escape")
        assert tree(app).has_focus and tree(app).display


async def test_the_icicle_is_walked_zoomed_and_searched() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.ICICLE)
        assert not stack(app).display and boxes(app).size.width == 120
        # It begins at the leak that was in hand.
        assert named(app) == "open_session(Conn&)"
        assert "open_session(Conn&) · 41.2 MiB · 96.4 % of total" in said(app, "#leak-summary")
        await press(app, pilot, "up")
        assert named(app) == "handle_rpc(int)"
        await press(app, pilot, "enter")
        shown = boxes(app).shown
        assert shown is not None and shown.tree.name(shown.zoomed) == "handle_rpc(int)"
        assert "worker(Queue&)" in boxes(app).render_line(0).text
        await press(app, pilot, "down")
        assert named(app) == "open_session(Conn&)"
        await press(app, pilot, "slash", *"decode")
        assert said(app, "#find-count") == "1 function, 1.3 MiB, 3.0 %"
        await press(app, pilot, "enter", "backspace")
        shown = boxes(app).shown
        assert shown is not None and shown.tree.name(shown.zoomed) == "worker(Queue&)"
        while shown is not None and shown.above:
            await press(app, pilot, "escape")
            shown = boxes(app).shown
        await press(app, pilot, "escape")
        assert not app.pane.has_class("-finding") and app.captions[-1] == "icicle"
        await press(app, pilot, "b")
        assert boxes(app).lighting.colouring is Colouring.LIBRARY
        await press(app, pilot, "escape")
        assert app.captions[-1] == "by stack · bytes▾" and current(app) == 0


async def test_the_mouse_selects_a_box_and_zooms() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.ICICLE)
        await pilot.click(IcicleView, offset=(20, 3))
        await settled(app, pilot)
        assert named(app) == "worker(Queue&)"
        await pilot.click(IcicleView, offset=(20, 3))
        await settled(app, pilot)
        shown = boxes(app).shown
        assert shown is not None and shown.tree.name(shown.zoomed) == "worker(Queue&)"
        await pilot.click(IcicleView, offset=(20, 0))
        await settled(app, pilot)
        shown = boxes(app).shown
        assert shown is not None and not shown.above


async def test_the_icicle_follows_a_resize() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, View.ICICLE)
        await pilot.resize_terminal(*NARROW)
        await settled(app, pilot)
        shown = boxes(app).shown
        assert shown is not None and shown.columns == 79 and named(app) == "open_session(Conn&)"


async def test_focus_and_hide_are_taken_back_one_by_one() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "enter", "j", "F")
        assert app.captions[-1] == "only handle_rpc · by stack · bytes▾"
        assert app.pane.arrangement is not None and len(app.pane.arrangement.records) == 3
        assert said(app, "#leak-summary").startswith("3 of 5 records, >99 % of bytes")
        await press(app, pilot, "H")
        assert app.captions[-1] == "only handle_rpc, no open_session · by stack · bytes▾"
        assert len(app.pane.arrangement.records) == 2
        await in_view(app, pilot, View.ICICLE)
        shown = boxes(app).shown
        assert shown is not None and shown.tree.root.size_bytes == 1_363_148 + 16_793
        await press(app, pilot, "escape")
        assert app.captions[-1] == "only handle_rpc · icicle"
        await press(app, pilot, "escape", "escape")
        assert app.captions[-1] == "by stack · bytes▾" and len(app.pane.arrangement.records) == 5


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The (file, line) of each call of the editor."""
    calls: list[tuple[str, int]] = []

    def edit(_: App[None], file: str, line: int) -> str:
        calls.append((file, line))
        return ""

    monkeypatch.setattr(editor, "edit", edit)
    return calls


async def test_what_is_in_hand_can_be_edited_copied_and_suppressed(edited: list[tuple[str, int]]) -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "e", "y", "S")
        assert edited == [("/srv/relay/src/server.cpp", 88)]
        copied, suppressed = app.asked
        assert isinstance(copied, Notice) and copied.line.word == "COPIED"
        assert copied.line.sentence.startswith("the stack of open_session, ")
        assert app.clipboard.splitlines()[:2] == [
            "41.2 MiB in 10547 objects (not-freed), leak 9f2c000000000001",
            "    open_session(Conn&)  /srv/relay/src/server.cpp:88",
        ]
        assert isinstance(suppressed, SuppressAsked) and suppressed.record.leak_id == "9f2c000000000001"
        await press(app, pilot, "enter", "j", "e")
        assert edited[-1][1] == 131
        await press(app, pilot, "escape", "b", "b", "b", "S", "v", "v", "S")
        assert refusals(app)[-2:] == [True, True]
        await press(app, pilot, "k", "k")


def refusals(app: LeakApp) -> list[bool]:
    """Of each thing the pane told, whether it is a refusal."""
    return [isinstance(event, Notice) and event.line.word == "NOTHING DONE" for event in app.asked]


async def test_keys_over_the_notes_do_no_harm() -> None:
    app = app_of()
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "k", "F", "H", "e", "y", "S")
        assert refusals(app) == [True] * 5


@pytest.mark.parametrize("view", [View.CALLERS, View.CALLEES, View.ICICLE])
async def test_symbols_that_arrive_keep_what_is_open(view: View) -> None:
    report = sample_report()
    app = app_of(report)
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await in_view(app, pilot, view)
        if view is not View.ICICLE:
            await press(app, pilot, "asterisk")
        held = named(app)
        app.pane.show(LeakPaneState(replace(report, leaks=tuple(replace(leak) for leak in report.leaks)), 1, run=2))
        await settled(app, pilot)
        assert app.pane.view is view and named(app) == held


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("size", [NARROW, WIDE, (40, 5), (200, 60)])
async def test_every_view_at_every_size(size: tuple[int, int], ascii: bool) -> None:
    app = LeakApp(LeakPaneState(large_report(300), 1), ascii=ascii)
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        for _ in range(4):
            await press(app, pilot, "v", "down", "right", "asterisk", "enter", "down", "escape", "o", "b", "n", "p")
            if ascii:
                front = next(view for view in app.query(InkedView) if view.display and view.has_class("leak-view"))
                drawn = [front.render_line(y).text for y in range(front.size.height)]
                assert all(line.isascii() for line in drawn), drawn


async def test_an_empty_result_says_how_to_go_on_in_each_view() -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "slash", *"zzz", "enter", "v")
        assert "esc clears it" in rows(app)[1]
        await press(app, pilot, "enter", "asterisk", "v", "v")
        assert "esc clears it" in boxes(app).render_line(1).text
        await press(app, pilot, "down", "enter")


READ = CheckerError(
    "InvalidRead",
    "Invalid read of size 4",
    (frame("use(int*)", "/srv/relay/src/server.cpp", 131),),
    (
        ErrorDetail("Address 0x4a4 is 4 bytes inside a block of size 40 free'd", (frame("drop(int*)", "/a.cpp", 3),)),
        ErrorDetail("Block was alloc'd at", (frame("make()", "/srv/relay/src/server.cpp", 88),)),
    ),
    3,
)
JUMP = CheckerError("UninitCondition", "Conditional jump depends on uninitialised value(s)", (frame("main"),))


def report_with_errors() -> LeakReport:
    leaks = list(sample_report().leaks)
    leaks[0] = replace(leaks[0], kind=LeakKind.STILL_REACHABLE)
    leaks[1:] = [replace(leak, kind=LeakKind.DEFINITELY_LOST) for leak in leaks[1:4]] + [
        replace(leaks[4], kind=LeakKind.POSSIBLY_LOST)
    ]
    report = sample_report(())
    return replace(report, checker="memcheck", mode="memcheck", leaks=tuple(leaks), errors=(READ, JUMP))


async def test_other_errors_are_a_row_of_their_own_and_a_view(edited: list[tuple[str, int]]) -> None:
    app = app_of(report_with_errors())
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        assert lines(leak_list(app))[1].startswith("  ◆ 2 other errors: Invalid read of size 4")
        await press(app, pilot, "k", "enter")
        assert app.pane.view is View.ERRORS and app.captions[-1] == "errors"
        drawn = [app.query_one(ErrorView).render_line(y).text for y in range(3)]
        assert drawn[1].split()[:6] == ["▶", "3", "Invalid", "read", "of", "size"] and "server.cpp:131" in drawn[1]
        assert [line.strip() for line in lines(stack(app))[:8]] == [
            "Invalid read of size 4, 3 times",
            "",
            "use(int*)  server.cpp:131",
            "▶ 131 │ open_session(c);",
            "Address 0x4a4 is 4 bytes inside a block of",
            "size 40 free'd",
            "drop(int*)  a.cpp:3",
            "Block was alloc'd at",
        ]
        await press(app, pilot, "enter", "G", "e")
        assert edited[-1][1] == 88
        await press(app, pilot, "y")
        assert "Block was alloc'd at" in app.clipboard
        await press(app, pilot, "escape", "slash", *"jump", "enter")
        assert app.query_one(ErrorView).index == 1 and said(app, "#find-count") == "1 of 2 errors"
        await press(app, pilot, "escape", "escape")
        assert app.captions[-1] == "by stack · bytes▾"


async def test_lost_comes_before_reachable_and_both_are_totalled() -> None:
    app = app_of(report_with_errors())
    async with app.run_test(size=(120, 20)) as pilot:
        await settled(app, pilot)
        drawn = lines(leak_list(app))
        assert "KIND" in drawn[0] and "definite" in drawn[2] and "possible" in drawn[5]
        assert "reachable" in drawn[6] and "open_session" in drawn[6]
        assert "1.5 MiB lost in 583 objects, 41.2 MiB still reachable in 10 547" in said(app, "#leak-summary")
        await press(app, pilot, "slash", *"kind:reach", "enter")
        assert app.pane.arrangement is not None and len(app.pane.arrangement.records) == 1


async def test_errors_alone_are_no_empty_report() -> None:
    app = app_of(replace(report_with_errors(), leaks=(), total_bytes=0, total_objects=0))
    async with app.run_test(size=NARROW) as pilot:
        await settled(app, pilot)
        assert "No leaks were found." in "\n".join(lines(leak_list(app)))
        await press(app, pilot, "enter", "enter")
        assert stack(app).has_focus and app.pane.view is View.ERRORS
        await press(app, pilot, "escape", "v", "v", "v", "v", "escape")
