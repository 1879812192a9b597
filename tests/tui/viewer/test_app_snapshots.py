"""The whole screen, drawn over recorded sessions with a clock that stands still, compared with drawings that were looked at.

Update with ``pytest tests/tui/viewer/test_app_snapshots.py --snapshot-update``, and look at every picture that changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
import textual
from textual.pilot import Pilot

from memtui.viewer.app import POLL_S, MemtuiApp
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.widgets.tab_bar import TabBar
from memtui_profiler.session.rows import GuestRow
from tests.fixtures.heap_story import STORY_END_S, heap_story
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import STARTED, storyboard

DRAWN_WITH = "8.2.8"
pytestmark = pytest.mark.skipif(
    textual.__version__ != DRAWN_WITH, reason=f"drawn with Textual {DRAWN_WITH}: other versions draw otherwise"
)
SIZES = [(80, 24), (120, 40)]


class Compare(Protocol):
    def __call__(
        self,
        app: object,
        *,
        terminal_size: tuple[int, int],
        run_before: Callable[[Pilot[Any]], Awaitable[None]],
    ) -> bool: ...


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A relative path: the picker shows the folder's name, which must not be another one at each run.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Path("recorded")


def after(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Wait until everything is there, then press the keys and wait again."""

    async def run(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, MemtuiApp)

        def ready() -> bool:
            panes = list(app.query(LeakPane))
            shown = bool(panes) and (panes[0].arrangement is not None or panes[0].has_class("-empty"))
            return shown and app.focused is not None and not panes[0].busy and bool(app.query_one("#verdicts"))

        await eventually(pilot, ready, "the first screen")
        await eventually(pilot, lambda: "open_session" in str(app.verdicts) or app.query(".-empty"), "the report")
        for key in keys:
            await pilot.press(key)
        await pilot.pause()
        await eventually(pilot, lambda: not app.query_one(LeakPane).busy, "the leaks are in order")

        def captioned() -> bool:
            panes, bar = app.main.panes, app.main.query_one(TabBar)
            named = panes.active != "leaks" or app.main.query_one(LeakPane).has_class("-empty") or panes.caption
            return bool(named) and panes.caption.split(" · ")[0] in bar.render().plain

        await eventually(pilot, captioned, "what the pane says of itself")
        await still(pilot)

    return run


async def still(pilot: Pilot[Any]) -> None:
    """Until two looks of the application at its session have changed nothing on the screen."""
    drawn: list[str] = []

    def unchanged() -> bool:
        drawn.append(pilot.app.export_screenshot())
        return len(drawn) > 2 and drawn[-3] == drawn[-2] == drawn[-1]

    await eventually(pilot, unchanged, "the screen stands still", every_s=1.2 * POLL_S)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_a_live_session(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    app = viewer(storyboard(recorded), Notebook())
    assert snap_compare(app, terminal_size=size, run_before=after("plus"))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_a_finished_session(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(viewer(storyboard(recorded, finished=True)), terminal_size=size, run_before=after("5"))


def test_an_ascii_locale(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(storyboard(recorded, finished=True), ascii=True)
    assert snap_compare(app, terminal_size=(80, 24), run_before=after())


def test_a_light_terminal(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(storyboard(recorded, finished=True), light=True)
    assert snap_compare(app, terminal_size=(120, 40), run_before=after())


def test_no_colour(recorded: Path, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = viewer(storyboard(recorded, finished=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=after())


def asked(folder: Path, *, ascii: bool = False, light: bool = False, **story: Any) -> MemtuiApp:
    """A live session in which the allocator has told, at its end."""
    present_s = STARTED + STORY_END_S
    return viewer(heap_story(folder, **story), Notebook(), ascii=ascii, light=light, clock=lambda: present_s)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_the_heap_tab(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(asked(recorded), terminal_size=size, run_before=after("0", "2"))


def test_the_heap_tab_at_100_columns_with_a_rate_pending(recorded: Path, snap_compare: Compare) -> None:
    assert snap_compare(asked(recorded), terminal_size=(100, 30), run_before=after("0", "2", "plus"))


def test_the_heap_tab_in_ascii(recorded: Path, snap_compare: Compare) -> None:
    assert snap_compare(asked(recorded, ascii=True), terminal_size=(80, 24), run_before=after("0", "2"))


def test_the_heap_tab_of_glibc_on_a_light_terminal(recorded: Path, snap_compare: Compare) -> None:
    app = asked(recorded, light=True, allocator="glibc malloc", mode="off")
    assert snap_compare(app, terminal_size=(120, 40), run_before=after("0", "2"))


def test_the_heap_tab_without_colour(recorded: Path, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(asked(recorded), terminal_size=(80, 24), run_before=after("0", "2"))


def test_the_heap_tab_of_a_process_with_one_thread(recorded: Path, snap_compare: Compare) -> None:
    app = asked(recorded, guest=GuestRow(0.8, 1, "waiting", ""))
    assert snap_compare(app, terminal_size=(80, 24), run_before=after("2"))


def test_an_attached_process(recorded: Path, snap_compare: Compare) -> None:
    app = asked(recorded, attached=True, outside_rate=3.0)
    assert snap_compare(app, terminal_size=(120, 40), run_before=after("0"))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_the_check_picker(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    app = viewer(storyboard(recorded), Notebook())
    assert snap_compare(app, terminal_size=size, run_before=after("m", "3"))


def test_the_help(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(storyboard(recorded), Notebook())
    assert snap_compare(app, terminal_size=(120, 40), run_before=after("question_mark"))


def test_a_small_terminal(recorded: Path, snap_compare: Compare) -> None:
    app = viewer(storyboard(recorded, mode="off"), Notebook())
    assert snap_compare(app, terminal_size=(60, 16), run_before=after())
