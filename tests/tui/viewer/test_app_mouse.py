"""The mouse on the slider, the tabs, the rows, the verdicts and the footer."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.geometry import Offset
from textual.widget import Widget

from memtui.viewer.app import MemtuiApp
from memtui.viewer.dialogs.check_picker import CheckPicker
from memtui.viewer.dialogs.dialog import Choice
from memtui.viewer.dialogs.help import Help
from memtui.viewer.dialogs.rate_input import RateInput
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.leaks.record_list import LeakList
from memtui.viewer.pane_stack import PaneStack
from memtui.viewer.panes.events import EventsPane
from memtui.viewer.widgets.controls import Controls
from memtui.viewer.widgets.footer import KeyFooter
from memtui.viewer.widgets.line import Line
from memtui.viewer.widgets.rate_slider import RateSlider
from memtui.viewer.widgets.tab_bar import TabBar
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import storyboard

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return storyboard(tmp_path_factory.mktemp("recorded"))


def column_of(widget: Widget, words: str, row: int = 0) -> int:
    """Where ``words`` begin on a row of the widget as it is drawn."""
    return widget.render_line(row).text.index(words)


@pytest.mark.parametrize("size", SIZES)
async def test_a_click_on_the_slider_proposes_halves_and_its_ends_are_0_and_10(
    recorded: Path, size: tuple[int, int]
) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=size) as pilot:
        slider = app.query_one(RateSlider)
        await eventually(pilot, lambda: app.focused is not None, "the first focus")
        last = slider.content_size.width - 1
        await pilot.click(slider, offset=Offset(0, 0))
        assert app.target.pending.rate == 0.0
        await pilot.click(slider, offset=Offset(last, 0))
        assert app.target.pending.rate == 10.0
        await pilot.click(slider, offset=Offset(round(last * 0.3), 0))
        assert app.target.pending.rate == pytest.approx(3.0, abs=0.5)
        assert app.target.pending.shown_rate * 2 == int(app.target.pending.shown_rate * 2)
        assert slider.render_line(0).text.count("●") == slider.render_line(0).text.count("○") == 1


async def test_the_slider_is_dragged_and_let_go(recorded: Path) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        slider = app.query_one(RateSlider)
        await pilot.mouse_down(slider, offset=Offset(5, 0))
        await pilot.hover(slider, offset=Offset(12, 0))
        dragged = app.target.pending.shown_rate
        assert dragged > 3.0
        await pilot.mouse_up(slider, offset=Offset(12, 0))
        await pilot.hover(slider, offset=Offset(2, 0))
        assert app.target.pending.shown_rate == dragged


async def test_wheel_and_keys_move_the_focused_slider(recorded: Path) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        slider = app.query_one(RateSlider)
        await eventually(pilot, lambda: app.focused is not None, "the first focus")
        slider.focus()
        slider.post_message(wheel(slider, up=True))
        await pilot.pause()
        assert app.target.pending.rate == pytest.approx(7.6)
        slider.post_message(wheel(slider, up=False))
        await pilot.pause()
        assert not app.target.pending.changed
        for key, rate in (("left", 7.0), ("right", 7.5), ("ctrl+left", 7.4), ("ctrl+right", 7.5), ("end", 10.0)):
            await pilot.press(key)
            assert app.target.pending.shown_rate == pytest.approx(rate), key
        await pilot.press("home")
        assert app.target.pending.rate == 0.0


def wheel(widget: Widget, *, up: bool) -> events.MouseEvent:
    kind = events.MouseScrollUp if up else events.MouseScrollDown
    return kind(widget, 1, 0, 0, 0, 0, False, False, False)


async def test_a_slider_above_ten_rests_at_its_end_and_shows_the_figure(recorded: Path) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        app.target.set_pending(app.target.pending.with_rate(12.5))
        await pilot.pause()
        text = app.query_one(RateSlider).render_line(0).text
        assert text.rstrip().endswith("12.5 ○")
        await pilot.press("minus")
        assert app.target.pending.rate == 10.0


@pytest.mark.parametrize("size", SIZES)
async def test_tabs_are_clicked(recorded: Path, size: tuple[int, int]) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=size) as pilot:
        bar = app.query_one(TabBar)
        await eventually(pilot, lambda: "Runs" in bar.render_line(0).text, "the tabs")
        for name in ("Output", "Events", "Runs", "Leaks"):
            await pilot.click(bar, offset=Offset(column_of(bar, name) + 1, 0))
            assert app.query_one(PaneStack).active == name.lower()


async def test_rows_are_clicked(recorded: Path) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        await eventually(pilot, lambda: any(pane.arrangement for pane in app.query(LeakPane)), "leaks")
        leaks = app.query_one(LeakList)
        await pilot.click(leaks, offset=Offset(20, 4))
        assert leaks.position == 2
        await pilot.press("4")
        pane = app.query_one(EventsPane)
        await pilot.click(pane, offset=Offset(20, 2))
        assert pane.cursor == 1
        await pilot.click(pane, offset=Offset(20, 0))
        assert pane.cursor == 1, "the heading is no row"


@pytest.mark.parametrize("size", SIZES)
async def test_the_words_of_the_controls_are_clicked(recorded: Path, size: tuple[int, int]) -> None:
    notebook = Notebook()
    app = viewer(recorded, notebook)
    async with app.run_test(size=size) as pilot:
        above, below = app.query(f"{Controls.__name__} > {Line.__name__}").results(Line)
        wide = size[0] >= 100
        await pilot.click(above, offset=Offset(3, 0))
        assert isinstance(app.screen, CheckPicker)
        await pilot.press("escape")
        rate = Offset(3, 4) if wide else Offset(column_of(above, "rate"), 0)
        await pilot.click(above, offset=rate)
        assert isinstance(app.screen, RateInput)
        await pilot.press("escape", "plus")
        await pilot.pause()
        hint = Offset(6, 6) if wide else Offset(column_of(below, "relaunch"), 0)
        await pilot.click(below, offset=hint)
        assert notebook.sent[-1][0] == "relaunch"


async def test_footer_and_verdicts_do_what_their_keys_do(recorded: Path) -> None:
    app = viewer(recorded, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        footer = app.query_one(KeyFooter)
        await pilot.click(footer, offset=Offset(column_of(footer, "rate"), 0))
        assert app.target.pending.rate == 8.0
        await pilot.click(footer, offset=Offset(column_of(footer, "help"), 0))
        assert isinstance(app.screen, Help)
        await pilot.press("escape")
        await pilot.click(footer, offset=Offset(column_of(footer, "quit"), 0))
        assert isinstance(app.screen, Choice)
        await pilot.click(app.screen.query("Text").last(), offset=Offset(4, 2))
        assert len(app.screen_stack) == 1
        await eventually(pilot, lambda: len(app.verdicts) == 2, "verdicts")
        await pilot.press("4")
        await pilot.click("#verdicts", offset=Offset(5, 1))
        assert app.query_one(PaneStack).active == "leaks"


async def test_modes_are_clicked_twice_to_be_chosen_and_beside_the_box_closes_it(recorded: Path) -> None:
    app: MemtuiApp = viewer(recorded, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("m")
        await pilot.click("#modes", offset=Offset(8, 2))
        picker = app.screen
        assert isinstance(picker, CheckPicker)
        assert picker.mode.name == "normal"
        await pilot.click("#modes", offset=Offset(8, 2))
        assert app.target.pending.mode == "normal"
        await pilot.press("m")
        await pilot.click(offset=Offset(1, 1))
        assert len(app.screen_stack) == 1


async def test_a_mode_in_the_second_column_is_clicked(recorded: Path) -> None:
    app: MemtuiApp = viewer(recorded, Notebook())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await pilot.click("#modes", offset=Offset(24 + 8, 1))
        picker = app.screen
        assert isinstance(picker, CheckPicker) and picker.mode.name == "memcheck"
