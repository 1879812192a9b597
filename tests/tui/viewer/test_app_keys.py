"""Every key of the viewer, pressed on the real application over a recorded session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from memtui.display.keymap import KEYS
from memtui.viewer.app import MemtuiApp
from memtui.viewer.dialogs.check_picker import CheckPicker
from memtui.viewer.dialogs.dialog import Choice, Reading
from memtui.viewer.dialogs.help import Help
from memtui.viewer.dialogs.rate_input import RateInput
from memtui.viewer.graph.widget import MemoryGraph
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.leaks.record_list import LeakList
from memtui.viewer.pane_stack import PaneStack
from memtui.viewer.panes.events import EventsPane
from memtui.viewer.panes.output import OutputPane
from memtui.viewer.target import Target
from memtui.viewer.widgets.rate_slider import RateSlider
from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.control import Reply
from memtui_profiler.session.rows import Row, RunEnd, RunSettled
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import END_S, SECOND_PID, event, storyboard


def test_every_key_of_the_table_has_its_action() -> None:
    kinds = {"target": (Target, ""), "leaks": (LeakPane, "action_"), "graph": (MemoryGraph, "action_")}
    for key in KEYS:
        name, _, argument = key.action.partition("(")
        owner, prefix = kinds.get(name, (MemtuiApp, "action_"))
        method = prefix + (argument.strip("')").partition("(")[0] if name in kinds else name)
        assert not name or callable(getattr(owner, method, None)), key.action


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return storyboard(tmp_path_factory.mktemp("recorded"))


@asynccontextmanager
async def opened(
    folder: Path, notebook: Notebook | None = None, *, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[MemtuiApp, Pilot[str]]]:
    """The viewer with its leaks listed, ready for a key."""
    app = viewer(folder, notebook)
    async with app.run_test(size=size) as pilot:
        await eventually(pilot, lambda: any(pane.arrangement is not None for pane in app.query(LeakPane)), "leaks")
        yield app, pilot


async def test_plus_then_r_sends_the_next_half_and_nothing_before(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        assert notebook.sent == [("watch", {})]
        await pilot.press("plus")
        assert app.target.pending.rate == 8.0
        assert app.query_one(RateSlider).pending
        await pilot.press("minus", "minus", "minus", "underscore", "equals_sign")
        assert app.target.pending.rate == 6.5
        assert notebook.sent == [("watch", {})]
        await pilot.press("r")
        assert notebook.sent[1:] == [("relaunch", {"mode": "draconian", "release_rate": 6.5})]


async def test_esc_drops_what_is_pending(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("plus", "escape")
        assert not app.target.pending.changed


async def test_the_picker_chooses_by_number_letter_and_arrows(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        await pilot.press("m")
        picker = app.screen
        assert isinstance(picker, CheckPicker)
        assert picker.mode.name == "draconian"
        await pilot.press("3")
        assert picker.mode.name == "normal"
        await pilot.press("a")
        assert picker.mode.name == "as-is"
        await pilot.press("j")
        assert picker.mode.name == "local"
        await pilot.press("g", "k", "up", "escape")
        assert not isinstance(app.screen, CheckPicker)
        assert app.target.pending.mode is None
        await pilot.press("m", "3", "enter")
        assert app.target.pending.mode == "normal"
        await pilot.press("m", "2", "R")
        assert notebook.sent[1:] == [("relaunch", {"mode": "minimal", "release_rate": 7.5})]


async def test_a_rate_is_typed_and_judged(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("R")
        assert isinstance(app.screen, RateInput)
        await pilot.press("minus", "1", "enter")
        assert isinstance(app.screen, RateInput), "a negative rate must not be taken"
        await pilot.press("backspace", "backspace", "1", "2", "full_stop", "5", "enter")
        assert app.target.pending.rate == 12.5


async def test_tabs_by_number(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        for key, name in (("3", "output"), ("4", "events"), ("5", "runs"), ("1", "leaks")):
            await pilot.press(key)
            shown = [child.id for child in app.query_one("#panes").children if child.display]
            assert shown == [name]
            assert app.focused is not None


async def test_lists_go_down_up_to_their_ends(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("4")
        pane = app.query_one(EventsPane)
        assert pane.cursor == pane.row_count - 1
        await pilot.press("k", "up")
        assert pane.cursor == pane.row_count - 3
        await pilot.press("g")
        assert pane.cursor == 0
        await pilot.press("j", "down")
        assert pane.cursor == 2
        await pilot.press("G")
        assert pane.cursor == pane.row_count - 1
        await pilot.press("pageup")
        assert pane.cursor == 0


async def test_the_leaks_keys_reach_the_browser(recorded: Path) -> None:
    async with opened(recorded, Notebook(), size=(80, 24)) as (app, pilot):
        pane = app.query_one(LeakPane)
        await pilot.press("1")
        await pilot.press("o")
        await eventually(pilot, lambda: "objects" in app.query_one(PaneStack).caption, "sorted by objects")
        await pilot.press("b")
        await eventually(pilot, lambda: "by function" in app.query_one(PaneStack).caption, "grouped by function")
        await pilot.press("b", "b", "b", "b")
        await eventually(pilot, lambda: "by stack" in app.query_one(PaneStack).caption, "grouped by stack again")
        position = app.query_one(LeakList).position
        await pilot.press("n")
        assert app.query_one(LeakList).position == position + 1
        await pilot.press("p")
        assert app.query_one(LeakList).position == position
        await pilot.press("enter")
        assert pane.has_class("-opened")
        await pilot.press("escape")
        assert not pane.has_class("-opened")
        await pilot.press("slash")
        assert isinstance(app.focused, Input)
        await pilot.press("m", "r", "1")
        assert app.query_one(Input).value == "mr1", "keys of the application must not act inside an input"
        await pilot.press("escape")
        assert isinstance(app.focused, LeakList)


async def test_the_graph_keys(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        graph = app.query_one(MemoryGraph)
        graph.focus()
        level = graph.view.level
        await pilot.press("left_square_bracket")
        assert graph.view.level == level + 1
        await pilot.press("right_square_bracket")
        assert graph.view.level == level
        await pilot.press("left", "left")
        crossed = graph.view.cross_s
        assert crossed is not None
        await pilot.press("right")
        assert graph.view.cross_s is not None
        assert graph.view.cross_s > crossed
        await pilot.press("comma")
        assert graph.view.cross_s == pytest.approx(163.0, abs=2.0)
        await pilot.press("full_stop", "escape")
        assert graph.view.cross_s is None
        await pilot.press("shift+left")
        assert graph.view.held_s is not None
        await pilot.press("shift+right", "end")
        assert graph.view.held_s is None
        await pilot.press("space")
        assert graph.view.held_s is not None
        assert "PAUSED" in text_of(graph)
        await pilot.press("space")
        assert graph.view.held_s is None
        await pilot.press("0")
        assert graph.view.whole
        await pilot.press("G")
        assert not graph.view.ghost


def text_of(graph: MemoryGraph) -> str:
    return "\n".join("".join(cell.char for cell in row) for row in graph.grid)


async def test_arrows_in_a_list_do_not_move_the_crosshair(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("4", "left", "right")
        assert app.query_one(MemoryGraph).view.cross_s is None


async def test_tab_goes_from_pane_to_pane_and_z_gives_the_focused_one_the_screen(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        graph, panes = app.query_one(MemoryGraph), app.query_one("#panes")
        graph.focus()
        rows = graph.size.height
        await pilot.press("z")
        assert graph.size.height > rows
        assert not panes.display
        await pilot.press("escape")
        assert panes.display
        seen = set()
        for _ in range(4):
            await pilot.press("tab")
            assert app.focused is not None
            seen.add(type(app.focused).__name__)
        assert {"MemoryGraph", "RateSlider", "LeakList"} <= seen
        await pilot.press("4", "z")
        assert not app.query_one("#upper").display
        await pilot.press("z")
        assert app.query_one("#upper").display


async def test_help_lists_every_key_and_why_the_evidence(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        shown = "".join(str(text.render()) for text in app.screen.query("Text"))
        assert all(key.help in shown for key in KEYS if key.help)
        text = app.screen.query_one("#text")
        for down, up in (("j", "k"), ("down", "up"), ("pagedown", "pageup"), ("end", "home"), ("G", "g")):
            await pilot.press(down)
            assert text.scroll_y > 0, down
            await pilot.press(up)
            assert text.scroll_y == 0, up
        await pilot.press("escape", "w")
        assert isinstance(app.screen, Reading)
        assert "Mann-Kendall" in str(app.screen.query_one("Text").render())
        await pilot.press("q")
        assert len(app.screen_stack) == 1, "q closes what is read, it does not ask to quit there"


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+c"])
async def test_quit_asks_while_the_target_runs_and_esc_stays(recorded: Path, key: str) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        await pilot.press(key)
        assert isinstance(app.screen, Choice)
        await pilot.press(key if key != "q" else "ctrl+c")
        assert len(app.screen_stack) == 2, "asked once, not twice"
        await pilot.press("escape")
        assert len(app.screen_stack) == 1
        assert app.is_running
        assert notebook.sent == [("watch", {})]


async def test_leaving_lets_the_target_run(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        await pilot.press("q", "l")
        await pilot.pause()
    assert app.return_value == "left"
    assert notebook.sent[1:] == []
    assert not notebook.connected


async def test_a_session_without_a_recorder_quits_at_once_and_says_why_it_cannot_act(recorded: Path) -> None:
    async with opened(recorded) as (app, pilot):
        for key in ("r", "t", "m", "R", "plus", "minus"):
            await pilot.press(key)
            assert len(app.screen_stack) == 1
            assert app.verdicts[0].word == "FINISHED"
            await pilot.press("escape")
            assert app.verdicts[0].word != "FINISHED"
        assert not app.target.pending.changed
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value == "ended"


async def test_stop_shows_the_ladder_and_pressing_again_offers_to_kill(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    notebook = Notebook()
    async with opened(folder, notebook) as (app, pilot):
        await pilot.press("t")
        assert notebook.sent[-1] == ("stop", {})
        with_rows(folder, event(END_S - 3, 2, EventKind.STOPPING, "", step="term", pid=SECOND_PID))
        await eventually(pilot, lambda: app.verdicts[0].sentence == "stopping pid 4391 · SIGTERM 3 s", "the ladder")
        await pilot.press("t")
        assert isinstance(app.screen, Choice)
        await pilot.press("k")
        assert notebook.sent[-1] == ("kill", {})
        with_rows(
            folder,
            RunEnd(at_s=END_S - 1, run=2, exit_code=None, signal="SIGKILL", oom_killed=0),
            RunSettled(at_s=END_S - 0.5, run=2),
        )
        await eventually(pilot, lambda: any(line.word == "KILLED" for line in app.verdicts), "the end")
        assert app.is_running, "a stop by t leaves the viewer open"
        await pilot.press("t")
        assert app.verdicts[0].word == "ENDED"


async def test_quit_with_stop_waits_for_the_report(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    notebook = Notebook()
    async with opened(folder, notebook) as (app, pilot):
        await pilot.press("q", "s")
        assert notebook.sent[-1] == ("stop", {})
        with_rows(folder, RunEnd(at_s=END_S - 1, run=2, exit_code=1, signal=None, oom_killed=0))
        await eventually(pilot, lambda: "reading its leak report" in app.verdicts[0].sentence, "the report is read")
        assert app.is_running
        with_rows(folder, RunSettled(at_s=END_S - 0.5, run=2))
        await eventually(pilot, lambda: not app.is_running, "the viewer ends")
    assert app.return_value == "ended"


async def test_a_refused_relaunch_keeps_what_is_pending_and_says_why(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        await pilot.press("plus", "r")
        error = UserError("cannot start ./rpc_server", "it is gone", "build it again")
        notebook.replies.append(Reply(len(notebook.sent), False, error=error))
        await eventually(pilot, lambda: app.verdicts[0].word == "REFUSED", "the refusal")
        assert app.verdicts[0].sentence == "cannot start ./rpc_server: it is gone: build it again"
        assert app.target.pending.rate == 8.0
        await pilot.press("escape")
        assert app.verdicts[0].word != "REFUSED"


async def test_a_refusal_and_its_event_name_the_key_that_helps(tmp_path: Path) -> None:
    folder, notebook = storyboard(tmp_path), Notebook()
    error = UserError("cannot stop", "the target has ended", "launch it again", action=Action.LAUNCH)
    with_rows(folder, event(END_S, 2, EventKind.REFUSED, str(error), verb="stop", **error.fields()))
    async with opened(folder, notebook) as (app, pilot):
        await pilot.press("t", "4")
        notebook.replies.append(Reply(len(notebook.sent), False, error=error))
        await eventually(pilot, lambda: app.verdicts[0].word == "REFUSED", "the refusal")
        assert app.verdicts[0].sentence == "cannot stop: the target has ended: launch it again (r)"
        pane = app.query_one(EventsPane)
        await eventually(pilot, lambda: pane.row_count, "the events are shown")
        assert pane.draw_row(pane.row_count - 1, 120, on_cursor=False).plain.endswith(
            "the target has ended: launch it again (r)"
        )


async def test_a_lost_recorder_is_said(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        notebook.connected = False
        await eventually(pilot, lambda: app.verdicts[0].word == "RECORDER GONE", "said")


@pytest.mark.parametrize("size", [(40, 10), (60, 15), (79, 23), (80, 24), (100, 24), (120, 31), (200, 60)])
async def test_no_size_is_refused_and_a_resize_keeps_the_graph(recorded: Path, size: tuple[int, int]) -> None:
    async with opened(recorded, Notebook(), size=(120, 40)) as (app, pilot):
        await pilot.resize_terminal(*size)
        await pilot.pause()
        graph = app.query_one(MemoryGraph)
        assert graph.size.height >= 3
        assert graph.region.right <= size[0]
        assert app.query_one("#panes").size.height >= 1
        assert app.query_one("#footer").display == (size[0] >= 80 and size[1] >= 24)


async def test_the_output_follows_and_lets_go_when_one_scrolls(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("3")
        pane = app.query_one(OutputPane)
        assert pane.following
        await pilot.press("k", "k")
        assert not pane.following
        await pilot.press("G")
        assert pane.following


def with_rows(folder: Path, *rows: Row) -> None:
    writer = SessionWriter(folder)
    for row in rows:
        writer.add(row)
    writer.commit()
    writer.close()


def test_every_key_of_the_table_is_bound_once() -> None:
    bound: dict[str, list[str]] = {}
    for key in KEYS:
        for name in filter(None, key.keys.split(",")):
            bound.setdefault(name, []).append(key.id)
    assert {name: ids for name, ids in bound.items() if len(ids) > 1} == {}
    assert len({key.id for key in KEYS}) == len(KEYS)
