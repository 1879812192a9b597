"""A target on which gperftools' heap check cannot work: the picker and the leaks' pane say why, and what to use instead.

The drawings: update with ``pytest tests/tui/viewer/test_app_instead.py --snapshot-update``, and look at every picture that changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import textual

from memtui.reports.pane_state import EmptyKind
from memtui.viewer.app import MemtuiApp
from memtui.viewer.dialogs.check_picker import CheckPicker
from memtui.viewer.views import leak_state
from memtui_profiler.checkers import heapcheck, mode_names
from memtui_profiler.checkers.memcheck import MEMCHECK
from memtui_profiler.session.rows import CapabilityRow
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import storyboard
from tests.tui.viewer.test_app_snapshots import DRAWN_WITH, SIZES, Compare, after

HEAPCHECK_MODES = tuple(mode.name for mode in heapcheck.MODES)
STATIC = "it is statically linked: no loader takes LD_PRELOAD, and the heap checker turns itself off"
NEWER = "/usr/lib/libtcmalloc.so.4 (2.17.2) has no heap checker: gperftools 2.17 removed it"
OLDER = "--tcmalloc PATH of a libtcmalloc of gperftools 2.16 or older"
drawn = pytest.mark.skipif(textual.__version__ != DRAWN_WITH, reason=f"drawn with Textual {DRAWN_WITH}")


def barred(folder: Path, reason: str, remedy: str, *modes: str) -> Path:
    """The storyboard without a check, over a target on which these modes cannot work."""
    storyboard(folder, mode="off")
    writer = SessionWriter(folder)
    for name in mode_names():
        row = CapabilityRow(run=2, name=name, available=1, reason="", remedy="")
        writer.add(row._replace(available=0, reason=reason, remedy=remedy) if name in modes else row)
    writer.close()
    return folder


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Path("recorded")


def words(app: MemtuiApp) -> str:
    assert isinstance(app.screen, CheckPicker)
    return " ".join(app.screen._explanation().plain.split())


async def test_enter_on_a_check_that_cannot_work_goes_to_the_one_that_can(recorded: Path) -> None:
    app = viewer(barred(recorded, NEWER, OLDER, *HEAPCHECK_MODES), Notebook())
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press("m", "3")
        assert f"cannot work here: {NEWER} instead: 9 lsan works here; enter goes to it to mend it: {OLDER}" in words(
            app
        )
        await pilot.press("enter")
        assert (
            isinstance(app.screen, CheckPicker) and app.screen.mode.name == "lsan" and app.target.pending.mode is None
        )
        await pilot.press("enter")
        assert app.target.pending.mode == "lsan"


@pytest.mark.whole_dumps
async def test_what_is_offered_can_work(recorded: Path) -> None:
    app = viewer(barred(recorded, "it has tcmalloc built in", "link it", *HEAPCHECK_MODES, "lsan"), Notebook())
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press("m", "9")
        assert "instead: 8 memcheck works here" in words(app)
        empty = leak_state(app.state, app.reports.shown(app.state)).empty
        assert empty is not None and empty.kind is EmptyKind.CHECK_OFF
        assert empty.lines[0] == "gperftools' heap check cannot work here: it has tcmalloc built in."
        assert empty.lines[1].startswith(f"{MEMCHECK} works instead: m, then {MEMCHECK};")


async def test_where_no_check_can_work_that_is_said(recorded: Path) -> None:
    app = viewer(barred(recorded, STATIC, "link it dynamically", *mode_names()), Notebook())
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press("m", "3", "enter")
        assert "instead: no other check can work on it here" in words(app)
        assert isinstance(app.screen, CheckPicker) and app.screen.mode.name == "normal"
        empty = leak_state(app.state, app.reports.shown(app.state)).empty
        assert empty is not None and empty.kind is EmptyKind.CANNOT
        assert empty.lines == (f"I{STATIC[1:]}.", "To mend it: link it dynamically.")


@drawn
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.whole_dumps
def test_the_picker_offers_another_check(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    app = viewer(barred(recorded, NEWER, OLDER, *HEAPCHECK_MODES), Notebook())
    assert snap_compare(app, terminal_size=size, run_before=after("m", "3"))


@drawn
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.whole_dumps
def test_the_leaks_say_what_to_use_instead(recorded: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    app = viewer(barred(recorded, NEWER, OLDER, *HEAPCHECK_MODES), Notebook())
    assert snap_compare(app, terminal_size=size, run_before=after())
