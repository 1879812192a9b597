"""Asking the running process from the screen: the Heap tab, the keys l x c s, what is said meanwhile and after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.geometry import Offset
from textual.pilot import Pilot

from memtui.control.buttons import buttons
from memtui.viewer.app import OUTCOME_S, MemtuiApp
from memtui.viewer.dialogs.dialog import Choice, Reading
from memtui.viewer.graph.canvas import Ink
from memtui.viewer.graph.widget import MemoryGraph
from memtui.viewer.heap.pane import HeapPane
from memtui.viewer.pane_stack import PaneStack
from memtui.viewer.widgets.controls import Controls
from memtui.viewer.widgets.footer import KeyFooter
from memtui.viewer.widgets.line import Line
from memtui.viewer.widgets.rate_slider import RateSlider
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.control import Reply
from memtui_profiler.session.rows import GuestRow, RegionRow, Row
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.heap_story import CHECK_S, STORY_END_S, allocator_sample, heap_story
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import STARTED, event


class Clock:
    """The session's present, moved by the test."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def __call__(self) -> float:
        return STARTED + self.at_s


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return heap_story(tmp_path_factory.mktemp("recorded"))


@asynccontextmanager
async def opened(
    folder: Path,
    notebook: Notebook | None = None,
    *,
    clock: Clock | None = None,
    size: tuple[int, int] = (120, 40),
    ascii: bool = False,
) -> AsyncIterator[tuple[MemtuiApp, Pilot[str]]]:
    app = viewer(folder, notebook, clock=clock or Clock(STORY_END_S), ascii=ascii)
    async with app.run_test(size=size) as pilot:
        await eventually(pilot, lambda: app.focused is not None and app.state.diagnoses, "the first screen")
        yield app, pilot


def with_rows(folder: Path, *rows: Row) -> None:
    writer = SessionWriter(folder)
    for row in rows:
        writer.add(row)
    writer.commit()
    writer.close()


def lines_of(pane: HeapPane) -> list[str]:
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


def words_of(app: MemtuiApp) -> list[str]:
    return [line.word for line in app.verdicts]


@pytest.mark.parametrize("size", [(80, 24), (100, 24), (100, 30), (120, 40)])
async def test_the_heap_tab_fits_the_screen(recorded: Path, size: tuple[int, int]) -> None:
    async with opened(recorded, Notebook(), size=size) as (app, pilot):
        await pilot.press("2")
        pane = app.query_one(HeapPane)
        await eventually(pilot, lambda: any("outside the heap" in line for line in lines_of(pane)[4:]), "the table")
        assert app.focused is pane
        assert any("page heap free" in line and "x returns it" in line for line in lines_of(pane))
        assert all("SHARE" not in line or "SINCE s" in line for line in lines_of(pane))
        caption = app.query_one(PaneStack).caption
        assert ("tcmalloc · rate 7.5 live" in caption) is (size != (120, 40)), "said once, not twice"


async def test_the_pane_is_scrolled_to_what_does_not_fit(recorded: Path) -> None:
    async with opened(recorded, Notebook(), size=(80, 24)) as (app, pilot):
        await pilot.press("2", "G")
        pane = app.query_one(HeapPane)
        await eventually(pilot, lambda: any("answered in" in line for line in lines_of(pane)), "the last line")
        await pilot.press("g")
        await eventually(pilot, lambda: "in use" in lines_of(pane)[0], "the first line")


async def test_what_the_process_says_next_is_shown(tmp_path: Path) -> None:
    folder, clock = heap_story(tmp_path), Clock(STORY_END_S)
    async with opened(folder, Notebook(), clock=clock, size=(80, 24)) as (app, pilot):
        await pilot.press("2")
        pane = app.query_one(HeapPane)
        await eventually(pilot, lambda: any("380 MiB" in line for line in lines_of(pane)), "the figures")
        newest = allocator_sample(STORY_END_S + 1, rate=7.5)
        clock.at_s += 1
        with_rows(folder, newest._replace(in_use_bytes=333 << 20))
        await eventually(pilot, lambda: any("333 MiB" in line for line in lines_of(pane)), "the new figures")
        clock.at_s += 9
        await eventually(pilot, lambda: "9 s old" in pane.caption, "its age")
        with_rows(folder, GuestRow(STORY_END_S + 9, 1, "busy", "tcmalloc"))
        await eventually(pilot, lambda: "busy, 9 s old" in pane.caption, "why it is old")


@pytest.mark.parametrize("state", ["waiting", "refused"])
async def test_enter_asks_a_process_of_one_thread(tmp_path: Path, state: str) -> None:
    notebook = Notebook()
    folder = heap_story(tmp_path, guest=GuestRow(0.8, 1, state, "", "cannot ask", "it is traced", "end the tracer"))
    async with opened(folder, notebook) as (app, pilot):
        await pilot.press("2", "enter")
        await eventually(pilot, lambda: notebook.sent[-1] == ("ask", {}), "the question")
        assert "WAIT" in words_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert notebook.sent.count(("ask", {})) == 1, "asked once"
        notebook.replies.append(Reply(len(notebook.sent), True))
        with_rows(folder, event(STORY_END_S, 1, EventKind.GUEST, "a thread of memtui's, 77, now answers", tid=77))
        with_rows(folder, GuestRow(STORY_END_S, 1, "ready", "tcmalloc"), allocator_sample(STORY_END_S))
        await eventually(pilot, lambda: app.verdicts[0].word == "ASKED", "the outcome")
        pane = app.query_one(HeapPane)
        await eventually(pilot, lambda: any("page heap free" in line for line in lines_of(pane)), "the figures")
        await pilot.press("enter")
        assert notebook.sent.count(("ask", {})) == 1, "there is nothing to ask for any more"


async def test_enter_asks_nothing_where_asking_is_off(tmp_path: Path) -> None:
    notebook = Notebook()
    async with opened(heap_story(tmp_path, guest=GuestRow(0.8, 1, "off", "")), notebook) as (_, pilot):
        await pilot.press("2", "enter")
        await pilot.pause()
        assert notebook.sent == [("watch", {})]


async def test_l_sets_the_rate_shown_and_the_slider_says_live(tmp_path: Path) -> None:
    notebook, clock = Notebook(), Clock(100.0)
    folder = heap_story(tmp_path, end_s=100.0)
    async with opened(folder, notebook, clock=clock) as (app, pilot):
        slider = app.query_one(RateSlider)
        assert (app.target.pending.current_rate, slider.pending) == (1.0, False)
        await pilot.press("R", *"7.25", "enter")
        assert slider.pending
        await pilot.press("l")
        assert notebook.sent[1:] == [("rate", {"release_rate": 7.25})]
        assert app.verdicts[0].sentence == "setting the release rate…"
        notebook.replies.append(Reply(len(notebook.sent), True, {"release_rate": 7.25}))
        text = "release rate 1 -> 7.25 live, acts after at most 8.0 GiB more of frees"
        with_rows(folder, event(100.0, 1, EventKind.RATE_SET, text, release_rate=7.25, old_release_rate=1.0))
        await eventually(pilot, lambda: app.verdicts[0].word == "RATE", "the outcome")
        assert app.verdicts[0].sentence == text
        assert not app.target.pending.changed and not slider.pending
        assert slider.value == slider.applied == 7.25
        above, below = app.query(f"{Controls.__name__} > {Line.__name__}").results(Line)
        assert "7.25 live" in above.content.plain
        assert "apply" not in below.content.plain
        clock.at_s += OUTCOME_S
        await eventually(pilot, lambda: "RATE" not in words_of(app), "the diagnosis has its place again")


async def test_a_rate_that_another_sets_is_shown_as_read(tmp_path: Path) -> None:
    async with opened(heap_story(tmp_path, outside_rate=3.0), Notebook()) as (app, pilot):
        above, below = app.query(f"{Controls.__name__} > {Line.__name__}").results(Line)
        assert "3.0 outside" in above.content.plain
        assert "changed from outside" in below.content.plain
        await pilot.press("plus")
        assert app.target.pending.rate == 3.5
        await pilot.press("r")
        assert app.target.pending.wanted_rate == 3.5


async def test_a_relaunch_keeps_the_rate_that_was_set_live(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        assert app.target.pending.current_rate == 7.5
        await pilot.press("r")
        assert notebook.sent[-1] == ("relaunch", {"mode": "normal", "release_rate": 7.5})


async def test_x_releases_and_tells_how_it_went(tmp_path: Path) -> None:
    notebook, clock = Notebook(), Clock(150.0)
    folder = heap_story(tmp_path, end_s=150.0)
    async with opened(folder, notebook, clock=clock) as (app, pilot):
        await pilot.press("x")
        assert notebook.sent[-1] == ("release", {})
        await pilot.press("x")
        assert notebook.sent.count(("release", {})) == 1, "one is enough"
        assert app.verdicts[0].sentence == "releasing free memory…"
        clock.at_s += 3
        await eventually(pilot, lambda: app.verdicts[0].sentence == "releasing free memory, 3 s", "the time it takes")
        done = event(
            152.0,
            1,
            EventKind.RELEASED,
            "released 11.6 GiB in 2.0 s, RSS 12.4 GiB -> 0.8 GiB",
            before_bytes=12 << 30,
            after_bytes=400 << 20,
            seconds=2.0,
        )
        with_rows(folder, done)
        notebook.replies.append(Reply(len(notebook.sent), True))
        await eventually(pilot, lambda: app.verdicts[0].word == "RELEASED", "the outcome")
        assert app.verdicts[0].sentence.startswith("released 11.6 GiB in 2.0 s")
        graph = app.query_one(MemoryGraph)
        drawn = "\n".join("".join(cell.char for cell in row) for row in graph.grid)
        assert "released 11.6 GiB" in drawn
        await pilot.press("x")
        assert app.verdicts[0].word == "WAIT", "the next command takes the place of what was said of the last"
        assert "RELEASED" not in words_of(app)


async def test_a_refusal_stays_until_esc(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (app, pilot):
        await pilot.press("s")
        assert notebook.sent[-1] == ("snapshot", {})
        error = UserError("cannot take a snapshot", "this tcmalloc has no heap profiler", "link libtcmalloc")
        notebook.replies.append(Reply(len(notebook.sent), False, error=error))
        await eventually(pilot, lambda: app.verdicts[0].word == "REFUSED", "the refusal")
        assert "this tcmalloc has no heap profiler" in app.verdicts[0].sentence
        assert "WAIT" not in words_of(app)
        await pilot.press("escape")
        assert "REFUSED" not in words_of(app)


async def test_the_first_check_of_a_session_says_what_it_does_before_it_is_made(tmp_path: Path) -> None:
    notebook = Notebook()
    folder = heap_story(tmp_path, end_s=CHECK_S - 5)
    async with opened(folder, notebook, clock=Clock(CHECK_S - 5), size=(80, 24)) as (app, pilot):
        await pilot.press("c")
        assert notebook.sent == [("watch", {})]
        said = app.verdicts[0]
        assert (said.word, said.key) == ("CHECK", "c")
        shown = app.query_one("#verdicts").render_line(0).text
        assert "epoll_wait may return EINTR" in shown and "c go on" in shown, "whole, on 80 columns"
        await pilot.press("w")
        assert isinstance(app.screen, Reading)
        assert "any debugger" in str(app.screen.query_one("Text").render())
        await pilot.press("escape", "c")
        assert notebook.sent[-1] == ("check", {})
        sentence = "leak check under way: the server's threads are held for moments…"
        assert app.verdicts[0].sentence == sentence
        assert sentence in app.query_one("#verdicts").render_line(0).text
        with_rows(folder, event(CHECK_S, 1, EventKind.LEAK_CHECK, "the heap was checked in 1.6 s while it ran"))
        notebook.replies.append(Reply(len(notebook.sent), True))
        await eventually(pilot, lambda: app.verdicts[0].word == "CHECKED", "the outcome")
        await pilot.press("c")
        assert notebook.sent.count(("check", {})) == 2, "said once a session"


async def test_a_session_that_has_been_checked_needs_no_word_before_the_next(recorded: Path) -> None:
    notebook = Notebook()
    async with opened(recorded, notebook) as (_, pilot):
        await pilot.press("c")
        assert notebook.sent[-1] == ("check", {})


async def test_a_check_that_would_be_refused_is_refused_at_once(tmp_path: Path) -> None:
    notebook = Notebook()
    async with opened(heap_story(tmp_path, mode="off", attached=True), notebook) as (_, pilot):
        await pilot.press("c")
        assert notebook.sent[-1] == ("check", {}), "no word about what a check does comes before the refusal"


@pytest.mark.parametrize("key", ["l", "x", "c", "s"])
async def test_without_a_recorder_or_a_process_nothing_is_asked(tmp_path: Path, key: str) -> None:
    notebook = Notebook()
    async with opened(heap_story(tmp_path, finished=True), notebook) as (app, pilot):
        await pilot.press(key)
        assert app.verdicts[0].word == "ENDED"
        assert notebook.sent == [("watch", {})]
        notebook.connected = False
        await pilot.press("escape", key)
        assert app.verdicts[0].word == "FINISHED"


@pytest.mark.parametrize("size", [(100, 24), (100, 26), (120, 40)])
async def test_the_buttons_of_the_column_are_clicked(tmp_path: Path, size: tuple[int, int]) -> None:
    notebook = Notebook()
    async with opened(heap_story(tmp_path), notebook, size=size) as (app, pilot):
        _, below = app.query(f"{Controls.__name__} > {Line.__name__}").results(Line)
        for word, verb in (("set live", "rate"), ("release", "release"), ("snapshot", "snapshot"), ("check", "check")):
            rows = below.content.plain.splitlines()
            row = max(n for n, line in enumerate(rows) if word in line)
            assert row < below.size.height, "every button is on the screen"
            await pilot.click(below, offset=Offset(rows[row].index(word), row))
            assert notebook.sent[-1][0] == verb
        await pilot.press("plus")
        await pilot.pause()
        rows = below.content.plain.splitlines()
        row = next(n for n, line in enumerate(rows) if "apply rate" in line)
        await pilot.click(below, offset=Offset(rows[row].index("revert"), row))
        assert not app.target.pending.changed
        await pilot.click(below, offset=Offset(0, 0))
        assert len(app.screen_stack) == 1


async def test_an_attached_process_is_neither_stopped_nor_launched(tmp_path: Path) -> None:
    notebook = Notebook()
    async with opened(heap_story(tmp_path, attached=True), notebook) as (app, pilot):
        assert "attached" in app.query_one("#header").render_line(0).text
        assert [button.key for button in buttons(app.state)] == ["l", "x", "s", "c"]
        footer = app.query_one(KeyFooter).render_line(0).text
        assert "relaunch" not in footer and " t stop" not in footer and "release" in footer
        for key in ("r", "t", "m"):
            await pilot.press(key)
            assert app.verdicts[0].word == "ATTACHED"
            assert len(app.screen_stack) == 1
        await pilot.press("plus", "l")
        assert notebook.sent[1:] == [("rate", {"release_rate": 8.0})]
        await pilot.press("q")
        assert isinstance(app.screen, Choice)
        shown = " ".join(str(text.render()) for text in app.screen.query("Text"))
        assert "stop it" not in shown and "leave it running" in shown
        await pilot.press("enter")
        await pilot.pause()
    assert app.return_value == "let go"
    assert notebook.sent[-1:] == [("detach", {})]


async def test_on_exit_stop_does_not_stop_what_was_only_attached(tmp_path: Path) -> None:
    notebook = Notebook()
    folder = heap_story(tmp_path, attached=True)
    app = MemtuiApp(folder, on_exit="stop", clock=Clock(STORY_END_S), connect=lambda _: notebook)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
        assert isinstance(app.screen, Choice)
        assert ("stop", {}) not in notebook.sent


async def test_at_80_columns_the_line_applies_an_attached_rate_live(tmp_path: Path) -> None:
    notebook = Notebook()
    async with opened(heap_story(tmp_path, attached=True), notebook, size=(80, 24)) as (app, pilot):
        above, below = app.query(f"{Controls.__name__} > {Line.__name__}").results(Line)
        assert "m check" not in above.content.plain
        await pilot.press("minus")
        await pilot.pause()
        assert "l  set live to apply" in below.content.plain
        await pilot.click(below, offset=Offset(below.content.plain.index("set live"), 0))
        assert notebook.sent[-1] == ("rate", {"release_rate": 7.0})


@pytest.mark.parametrize(
    ("story", "dim"),
    [
        ({"mode": "off"}, {"c"}),
        ({"allocator": "glibc malloc", "mode": "off"}, {"c", "l"}),
        ({"guest": GuestRow(0.8, 1, "off", "")}, {"x", "c", "s"}),
        ({"guest": GuestRow(0.8, 1, "refused", "", "a", "b", "c")}, {"x", "c", "s"}),
        ({"guest": GuestRow(0.8, 1, "waiting", "")}, set()),
        ({}, set()),
    ],
    ids=["no check mode", "glibc", "--no-guest", "refused", "one thread", "all"],
)
async def test_what_would_only_be_refused_is_dim(tmp_path: Path, story: dict[str, object], dim: set[str]) -> None:
    async with opened(heap_story(tmp_path, **story), Notebook()) as (app, _):  # type: ignore[arg-type]
        assert {button.key for button in buttons(app.state) if not button.able} == dim


async def test_the_graph_shows_the_allocators_bands_and_the_figures_agree(recorded: Path) -> None:
    async with opened(recorded, Notebook(), size=(80, 24)) as (app, pilot):
        await pilot.press("0")
        graph = app.query_one(MemoryGraph)
        grounds = {cell.ground for row in graph.grid for cell in row} | {cell.ink for row in graph.grid for cell in row}
        assert {Ink.IN_USE, Ink.KEPT, Ink.OUTSIDE} <= grounds
        assert {Ink.ANON, Ink.FILE}.isdisjoint(grounds)
        drawn = "\n".join("".join(cell.char for cell in row) for row in graph.grid)
        assert "kept by tcmalloc" in drawn
        figures = app.query_one("#figures").render_line(0).text
        assert "■in use  380M ■kept  121M ■other  214M" in figures and figures.rstrip().endswith("5%/16G")
        graph.focus()
        await pilot.press("comma", "comma", "comma", "comma")
        top = "".join(cell.char for cell in graph.grid[0])
        assert "in use" in top and "kept" in top and "outside" in top


async def test_marks_stand_on_the_axis_one_for_each_deed(recorded: Path) -> None:
    async with opened(recorded, Notebook()) as (app, pilot):
        await pilot.press("0")
        axis = "".join(cell.char for cell in app.query_one(MemoryGraph).grid[-1] if cell.ink is Ink.MARK)
        assert axis == "xlcs", "the report of a live check is marked by the check"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_regions_are_a_key_away_and_enter_looks_again(tmp_path: Path, size: tuple[int, int]) -> None:
    folder, notebook, at_s = heap_story(tmp_path), Notebook(), STORY_END_S - 1
    rows = [RegionRow(at_s, 1, kind, "", 60, 9 << 23, 9 << 20, 0, 0, 0, 0) for kind in ("thread-stacks", "all")]
    with_rows(folder, *rows)
    async with opened(folder, notebook, size=size) as (app, pilot):
        await pilot.press("M")
        pane = app.query_one(HeapPane)
        await eventually(pilot, lambda: any("thread stacks" in line for line in lines_of(pane)), "the regions")
        assert app.query_one(PaneStack).active == "heap" and app.focused is pane
        assert ("regions", {}) in notebook.sent, "the recorder is asked for a new look"
        asked = len(notebook.sent)
        await pilot.press("enter")
        await eventually(pilot, lambda: len(notebook.sent) > asked, "enter asks for another")
        await pilot.press("M")
        await eventually(pilot, lambda: any("outside the heap" in line for line in lines_of(pane)), "the heap again")
        await pilot.press("1", "M")
        await eventually(pilot, lambda: any("thread stacks" in line for line in lines_of(pane)), "the regions at once")
