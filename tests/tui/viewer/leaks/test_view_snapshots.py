"""Each view of the leak browser as a drawing that was looked at, at both sizes, and in ASCII and light once each.

Update with ``pytest tests/tui/viewer/leaks/test_view_snapshots.py --snapshot-update``, and look at every picture that changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import textual
from textual.pilot import Pilot

from memtui.reports.answer import View
from memtui.reports.pane_state import LeakPaneState
from memtui_parsers.values import LeakReport
from tests.fixtures.leak_app import LeakApp
from tests.fixtures.leak_reports import sample_report
from tests.tui.reports.test_answer import in_view, report_with_errors
from tests.tui.viewer.leaks.test_pane import settled
from tests.tui.viewer.test_app_snapshots import DRAWN_WITH, Compare

pytestmark = pytest.mark.skipif(
    textual.__version__ != DRAWN_WITH, reason=f"drawn with Textual {DRAWN_WITH}: other versions draw otherwise"
)
# What the pane has of a terminal of 80x24 and of 120x40.
SIZES = [(80, 12), (120, 20)]


@pytest.fixture(autouse=True)
def _in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def drawn(view: View, *keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    async def run(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, LeakApp)
        await settled(app, pilot)
        await in_view(app, pilot, view)
        for key in keys:
            await pilot.press(key)
            await settled(app, pilot)

    return run


def app_of(report: LeakReport, *, ascii: bool = False, light: bool = False) -> LeakApp:
    return LeakApp(LeakPaneState(report, 1, run=2), ascii=ascii, light=light)


@pytest.mark.parametrize("size", SIZES, ids=["80x12", "120x20"])
@pytest.mark.parametrize(
    ("view", "keys"),
    [
        (View.LIST, ("b",)),
        (View.CALLERS, ("enter",)),
        (View.CALLEES, ("asterisk",)),
        (View.ICICLE, ("up",)),
    ],
    ids=["by-function", "callers", "callees", "icicle"],
)
def test_a_view(snap_compare: Compare, view: View, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    assert snap_compare(app_of(sample_report()), terminal_size=size, run_before=drawn(view, *keys))


@pytest.mark.parametrize("size", SIZES, ids=["80x12", "120x20"])
@pytest.mark.parametrize("view", [View.LIST, View.ERRORS])
def test_a_report_of_memcheck(snap_compare: Compare, view: View, size: tuple[int, int]) -> None:
    assert snap_compare(app_of(report_with_errors()), terminal_size=size, run_before=drawn(view))


def test_a_search_in_the_icicle(snap_compare: Compare) -> None:
    keys = ("slash", *"decode", "enter")
    assert snap_compare(app_of(sample_report()), terminal_size=SIZES[1], run_before=drawn(View.ICICLE, *keys))


@pytest.mark.parametrize("view", [View.CALLERS, View.ICICLE])
def test_a_view_in_ascii(snap_compare: Compare, view: View) -> None:
    app = app_of(sample_report(), ascii=True)
    assert snap_compare(app, terminal_size=SIZES[0], run_before=drawn(view, "enter"))


@pytest.mark.parametrize("view", [View.CALLERS, View.ICICLE])
def test_a_view_on_a_light_terminal(snap_compare: Compare, view: View) -> None:
    app = app_of(sample_report(), light=True)
    assert snap_compare(app, terminal_size=SIZES[1], run_before=drawn(view, "up"))


def test_the_icicle_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(app_of(sample_report()), terminal_size=SIZES[0], run_before=drawn(View.ICICLE, "up"))
