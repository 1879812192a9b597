"""Allocators without a release rate: said in the slider's place, and by each key that would change one.

The drawings: update with ``pytest tests/tui/viewer/test_app_no_rate.py --snapshot-update``, and look at every picture that changed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import textual

from memtui.control.no_rate import rate_lack
from memtui.control.pending import PendingControls
from memtui.viewer.app import MemtuiApp
from memtui.viewer.panes.runs import RunsPane
from memtui.viewer.widgets.rate_slider import RateSlider
from memtui_profiler.checkers.lsan import LSAN
from memtui_profiler.checkers.memcheck import MEMCHECK
from memtui_profiler.session.rows import CapabilityRow, GuestRow
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.heap_story import STORY_END_S, heap_story
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import STARTED
from tests.tui.viewer.test_app_snapshots import DRAWN_WITH, SIZES, Compare, after

drawn = pytest.mark.skipif(textual.__version__ != DRAWN_WITH, reason=f"drawn with Textual {DRAWN_WITH}")


def story(folder: Path, notebook: Notebook | None = None, *, ascii: bool = False, **what: object) -> MemtuiApp:
    present_s = STARTED + STORY_END_S
    recorded = heap_story(folder, **what)  # type: ignore[arg-type]
    return viewer(recorded, notebook or Notebook(), ascii=ascii, clock=lambda: present_s)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Path("recorded")


@pytest.mark.parametrize(
    ("allocator", "words"), [("glibc malloc", "x is its malloc_trim"), ("jemalloc", "free pages decay, x purges them")]
)
@pytest.mark.parametrize("key", ["minus", "plus", "R", "l"])
async def test_each_key_of_the_rate_says_that_there_is_none(
    allocator: str, words: str, key: str, recorded: Path
) -> None:
    notebook = Notebook()
    app = story(recorded, notebook, allocator=allocator, mode="off")
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press(key)
        assert len(app.screen_stack) == 1 and not app.target.pending.changed
        first = app.verdicts[0]
        assert (first.word, first.key) == ("NO RATE", "x")
        assert first.sentence == f"{allocator} has no release rate: {words}"
        assert [verb for verb, _ in notebook.sent] == ["watch"]
        assert not app.query_one(RateSlider).display
        await pilot.press("escape")
        assert app.verdicts == () or app.verdicts[0].word != "NO RATE"


@pytest.mark.parametrize("allocator", ["glibc malloc", "jemalloc", "tcmalloc"])
async def test_the_runs_show_no_rate_where_there_is_none(allocator: str, recorded: Path) -> None:
    app = story(recorded, allocator=allocator, mode="off")
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press("5")
        words = app.query_one(RunsPane).draw_row(0, 80, on_cursor=True).plain.split()
        assert ("none" in words) == (allocator != "tcmalloc")


async def test_tcmalloc_has_its_slider(recorded: Path) -> None:
    app = story(recorded)
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press("plus")
        assert app.query_one(RateSlider).display and app.target.pending.rate is not None


def test_what_is_not_known_yet_is_not_denied(tmp_path: Path) -> None:
    waiting = GuestRow(0.8, 1, "waiting", "")
    app = story(tmp_path, allocator="glibc malloc", mode="off", guest=waiting)
    state, pending = app.state, PendingControls()
    assert rate_lack(state, pending) is None, "nothing says so yet"
    barred = CapabilityRow(run=1, name="release-rate", available=0, reason="\x1b[31mno tcmalloc", remedy="")
    known = replace(state, capabilities=(barred,))
    lack = rate_lack(known, pending)
    assert lack is not None and "malloc_trim" in lack.sentence, "the launch knew it: nobody needs to ask the process"
    assert rate_lack(known, PendingControls(mode="normal")) is None, "another check may bring another malloc"
    other = replace(known, runs=tuple(replace(run, row=run.row._replace(allocator="mimalloc")) for run in state.runs))
    lack = rate_lack(other, pending)
    assert (
        lack is not None and lack.sentence.startswith("mimalloc has no release rate: ") and "\x1b" not in lack.sentence
    )
    app._follower.close()


@pytest.mark.parametrize("mode", [MEMCHECK, LSAN])
def test_under_a_checker_that_has_its_own_malloc_x_is_not_offered(tmp_path: Path, mode: str) -> None:
    app = story(tmp_path, allocator="glibc malloc", mode=mode, guest=GuestRow(0.8, 1, "refused", ""))
    barred = CapabilityRow(run=1, name="release-rate", available=0, reason="x", remedy="")
    lack = rate_lack(replace(app.state, capabilities=(barred,)), PendingControls(mode))
    assert lack is not None and not lack.key and len(lack.brief) <= 33
    app._follower.close()


def test_a_program_that_brings_tcmalloc_has_no_rate_under_valgrind(tmp_path: Path) -> None:
    app = story(tmp_path, allocator="tcmalloc 2.10 linked", mode=MEMCHECK, guest=GuestRow(0.8, 1, "refused", ""))
    able = CapabilityRow(run=1, name="release-rate", available=1, reason="", remedy="")
    lack = rate_lack(replace(app.state, capabilities=(able,)), PendingControls(MEMCHECK))
    assert lack is not None and "under valgrind" in lack.sentence
    app._follower.close()


async def test_a_launch_without_a_rate_says_so_before_the_process_is_asked(recorded: Path) -> None:
    app = story(recorded, allocator="jemalloc", mode="off", guest=GuestRow(0.8, 1, "waiting", ""))
    writer = SessionWriter(recorded)
    writer.add(CapabilityRow(run=1, name="release-rate", available=0, reason="no tcmalloc", remedy=""))
    writer.close()
    async with app.run_test(size=(120, 40)) as pilot:
        await eventually(pilot, lambda: not app.query_one(RateSlider).display, "the slider goes")


@drawn
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize("allocator", ["glibc malloc", "jemalloc"], ids=["glibc", "jemalloc"])
def test_no_slider(recorded: Path, snap_compare: Compare, allocator: str, size: tuple[int, int]) -> None:
    app = story(recorded, allocator=allocator, mode="off")
    assert snap_compare(app, terminal_size=size, run_before=after("0", "minus"))


@drawn
def test_no_slider_at_100_columns_in_ascii(recorded: Path, snap_compare: Compare) -> None:
    app = story(recorded, allocator="jemalloc", mode="off", ascii=True)
    assert snap_compare(app, terminal_size=(100, 30), run_before=after("0"))
