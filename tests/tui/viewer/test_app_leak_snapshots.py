"""The whole screen with each view of the leaks, at both sizes, compared with drawings that were looked at.

Update with ``pytest tests/tui/viewer/test_app_leak_snapshots.py --snapshot-update``, and look at every picture that changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import textual
from textual.pilot import Pilot
from textual.widgets import Input

from memtui.commands.report_session import write_report_session
from memtui.viewer.app import MemtuiApp
from memtui.viewer.dialogs.check_picker import CheckPicker
from memtui.viewer.widgets.tab_bar import TabBar
from tests.fixtures import several_reports
from tests.fixtures.screens import Notebook, eventually, leaks_settled, viewer
from tests.tui.viewer.test_app_snapshots import DRAWN_WITH, SIZES, Compare, still

pytestmark = pytest.mark.skipif(
    textual.__version__ != DRAWN_WITH, reason=f"drawn with Textual {DRAWN_WITH}: other versions draw otherwise"
)
FAULTS = Path(__file__).parents[2] / "fixtures" / "reports" / "memcheck-faults.xml"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)


def pressed(*keys: str, caption: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Press each key once what the one before asked for is there, and wait until the tab bar says ``caption``."""

    async def run(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, MemtuiApp)

        await eventually(pilot, lambda: leaks_settled(app), "the first screen")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            await eventually(pilot, lambda: leaks_settled(app), f"what {key} asked for")
        for field in app.main.query(Input):
            field.cursor_blink = False
        await eventually(pilot, lambda: caption in app.main.query_one(TabBar).render().plain, "what was asked for")
        await still(pilot)

    return run


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize(
    ("keys", "caption"),
    [
        ((), "by stack"),
        (("b",), "by function"),
        (("v", "enter"), "callers"),
        (("v", "v", "asterisk"), "callees"),
        (("v", "v", "v"), "icicle"),
        (("v", "v", "v", "up", "enter"), "icicle"),
        (("enter",), "by stack"),
        (("slash", *"codec"), "by stack"),
    ],
    ids=["by-stack", "by-function", "callers", "callees", "icicle", "icicle-zoomed", "opened", "filter"],
)
def test_a_view(snap_compare: Compare, keys: tuple[str, ...], caption: str, size: tuple[int, int]) -> None:
    app = viewer(several_reports.three_checks(Path("recorded"), finished=True))
    assert snap_compare(app, terminal_size=size, run_before=pressed(*keys, caption=caption))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_the_errors_of_memcheck(snap_compare: Compare, size: tuple[int, int]) -> None:
    folder = Path("recorded")
    folder.mkdir()
    write_report_session(folder, FAULTS)
    assert snap_compare(viewer(folder), terminal_size=size, run_before=pressed("k", "enter", caption="errors"))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize("mode", ["memcheck", "lsan", "profile"])
def test_the_check_picker(snap_compare: Compare, mode: str, size: tuple[int, int]) -> None:
    async def lit(pilot: Pilot[Any]) -> None:
        await pressed(caption="by stack")(pilot)
        await pilot.press("m")
        await eventually(pilot, lambda: isinstance(pilot.app.screen, CheckPicker), "the picker")
        picker = pilot.app.screen
        assert isinstance(picker, CheckPicker)
        while picker.mode.name != mode:
            await pilot.press("down")
        await still(pilot)

    app = viewer(several_reports.three_checks(Path("recorded")), Notebook())
    assert snap_compare(app, terminal_size=size, run_before=lit)
