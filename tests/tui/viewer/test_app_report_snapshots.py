"""The leaks of a session with several reports, and the picker, compared with drawings that were looked at.

Update with ``pytest tests/tui/viewer/test_app_report_snapshots.py --snapshot-update``, and look at every picture that changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import textual
from textual.pilot import Pilot

from memtui.viewer.app import MemtuiApp
from memtui.viewer.dialogs.report_picker import ReportPicker
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.widgets.tab_bar import TabBar
from tests.fixtures import several_reports
from tests.fixtures.screens import Notebook, eventually, leaks_settled, viewer
from tests.tui.viewer.test_app_snapshots import DRAWN_WITH, SIZES, Compare

pytestmark = pytest.mark.skipif(
    textual.__version__ != DRAWN_WITH, reason=f"drawn with Textual {DRAWN_WITH}: other versions draw otherwise"
)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return several_reports.three_checks(Path("recorded"))


def after(*keys: str, caption: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Press the keys once the leaks are there, and wait until the tab bar says ``caption``."""

    async def run(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, MemtuiApp)

        await eventually(pilot, lambda: leaks_settled(app), "the first screen")
        await eventually(pilot, lambda: "open_session" in str(app.verdicts), "the verdict")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await eventually(
            pilot,
            lambda: leaks_settled(app) and caption in app.main.query_one(TabBar).render().plain,
            "what was asked for",
        )
        await pilot.pause()

    return run


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_two_reports_compared(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    app = viewer(recorded, Notebook())
    assert snap_compare(app, terminal_size=size, run_before=after("d", "enter", "1", caption="change"))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_the_report_picker(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    async def opened(pilot: Pilot[Any]) -> None:
        await after("d", "enter", "1", caption="change")(pilot)
        await pilot.press("d", "j", "j")
        await eventually(pilot, lambda: isinstance(pilot.app.screen, ReportPicker), "the picker")

    assert snap_compare(viewer(recorded, Notebook()), terminal_size=size, run_before=opened)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_the_timeline_of_a_hundred_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snap_compare: Compare, size: tuple[int, int]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)

    async def opened(pilot: Pilot[Any]) -> None:
        await after("d", "j", "j", "space", "j", "j", caption="growth")(pilot)
        await eventually(pilot, lambda: isinstance(pilot.app.screen, ReportPicker), "the picker")

    app = viewer(several_reports.many_snapshots(Path("recorded")), Notebook())
    assert snap_compare(app, terminal_size=size, run_before=opened)


def test_an_older_report_and_two_newer_ones(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(recorded, Notebook())
    assert snap_compare(app, terminal_size=(80, 24), run_before=after("1", "d", "j", "o", caption="2 newer"))


def test_a_comparison_in_an_ascii_locale(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(recorded, ascii=True)
    assert snap_compare(app, terminal_size=(80, 24), run_before=after("d", "enter", caption="change"))


def test_a_comparison_without_colour(recorded: Path, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = viewer(recorded)
    assert snap_compare(app, terminal_size=(80, 24), run_before=after("d", "enter", caption="change"))


def test_a_stack_that_is_gone_opened_whole(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(recorded)
    keys = ("d", "enter", "1", "G", "enter")

    async def opened(pilot: Pilot[Any]) -> None:
        await after(*keys[:2], caption="change")(pilot)
        for key in keys[2:]:
            await pilot.press(key)
        await eventually(pilot, lambda: pilot.app.query_one(LeakPane).has_class("-opened"), "the stack")
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=opened)
