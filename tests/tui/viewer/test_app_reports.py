"""Several reports in the whole viewer: which one is shown, the picker, and comparing two of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from memtui.commands.open import session_of
from memtui.viewer.app import MemtuiApp
from memtui.viewer.dialogs.report_list import ReportList
from memtui.viewer.dialogs.report_picker import ReportPicker
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.leaks.record_list import LeakList
from memtui.viewer.pane_stack import PaneStack
from memtui.viewer.widgets.footer import KeyFooter
from memtui.viewer.widgets.line import Text
from memtui.viewer.widgets.tab_bar import Tab, TabBar
from memtui.viewer.widgets.verdicts import Verdicts
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures import sessions, several_reports
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.several_reports import THIRD, THIRD_S

NARROW, WIDE = (80, 24), (120, 40)
FAULTS = Path(__file__).parents[2] / "fixtures" / "reports" / "memcheck-faults.xml"


@asynccontextmanager
async def opened(
    folder: Path, *, live: bool = True, size: tuple[int, int] = NARROW, ascii: bool = False
) -> AsyncIterator[tuple[MemtuiApp, Pilot[str]]]:
    """The viewer with its leaks listed, ready for a key."""
    app = viewer(folder, Notebook() if live else None, ascii=ascii)
    async with app.run_test(size=size) as pilot:
        await eventually(pilot, lambda: any(pane.arrangement is not None for pane in app.query(LeakPane)), "leaks")
        await eventually(pilot, lambda: len(summary(app)) > 40, "laid out")
        yield app, pilot


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return several_reports.three_checks(tmp_path)


def summary(app: MemtuiApp) -> str:
    return str(app.main.query_one("#leak-summary", Static).content).replace("\N{THIN SPACE}", " ").split("\n")[0]


def picker(app: MemtuiApp) -> ReportPicker:
    assert isinstance(app.screen, ReportPicker)
    return app.screen


def rows(app: MemtuiApp) -> list[str]:
    listed = picker(app).query_one(ReportList)
    return [listed.draw_row(row, 70, on_cursor=row == listed.cursor).plain.rstrip() for row in range(listed.row_count)]


def sentence(app: MemtuiApp) -> str:
    return picker(app).query_one("#sentences", Text).content.plain


async def wait(pilot: Pilot[str], app: MemtuiApp, condition: Callable[[], bool], what: str) -> None:
    await eventually(pilot, lambda: condition() and not app.main.query_one(LeakPane).busy, what)


def comparing(app: MemtuiApp) -> bool:
    arrangement = app.main.query_one(LeakPane).arrangement
    return arrangement is not None and arrangement.table.difference is not None


async def test_the_newest_is_shown_and_d_enter_says_what_has_come_since_the_one_before(recorded: Path) -> None:
    async with opened(recorded) as (app, pilot):
        assert summary(app) == "live at 10:05:50 · normal · run 2 · 43.2 MiB in 11 184 objects"
        await pilot.press("d")
        assert [row.split() for row in rows(app)] == [
            ["no", "comparison"],
            ["●", "10:05:50", "2", "live", "·", "normal", "43.2", "MiB", "+577K", "███████", "11", "184"],
            ["▶", "10:04:50", "2", "live", "·", "normal", "42.6", "MiB", "+1.3M", "██████▉", "11", "064"],
            ["10:03:20", "2", "live", "·", "normal", "41.3", "MiB", "██████▊", "10", "706"],
        ]
        assert sentence(app).split("\n") == [
            "Enter: what has come and gone since 10:04:50 live · normal · 42.6 MiB.",
            "+1.3 MiB and +358 objects in 90 s since the one before, 10:03:20.",
        ]
        await pilot.press("enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        assert summary(app).startswith("+577.2 KiB in 120 objects since 10:04:50 (run 2, live) · 43.2 MiB")
        await eventually(pilot, lambda: app.query_one(PaneStack).caption == "by stack · change▾", "the caption")
        listed = app.query_one(LeakList)
        assert listed.render_line(1).text.split()[:6] == ["▶", "1.3", "MiB", "412", "+907.2", "KiB"]
        assert "gone" in listed.render_line(6).text and "parse_peer" in listed.render_line(6).text


async def test_d_again_leaves_the_comparison_and_so_does_esc(recorded: Path) -> None:
    async with opened(recorded) as (app, pilot):
        await pilot.press("d", "enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        await pilot.press("d")
        assert rows(app)[0].startswith("▶   no comparison") and rows(app)[2].startswith("  ± 10:04:50")
        await pilot.press("enter")
        await wait(pilot, app, lambda: not comparing(app), "no comparison")
        await eventually(pilot, lambda: app.query_one(PaneStack).caption == "by stack · bytes▾", "the caption")
        await pilot.press("d", "enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        await pilot.press("plus", "1", "enter")
        assert app.query_one(LeakPane).has_class("-opened")
        await pilot.press("escape")
        assert not app.query_one(LeakPane).has_class("-opened") and comparing(app)
        await pilot.press("escape")
        await wait(pilot, app, lambda: not comparing(app), "no comparison")
        assert app.target.pending.changed, "one thing at a time"
        await pilot.press("escape")
        assert not app.target.pending.changed


async def test_an_older_report_stays_while_newer_ones_come(tmp_path: Path) -> None:
    several_reports.three_checks(tmp_path, reports=2)
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("1", "j", "d", "o")
        await wait(pilot, app, lambda: "10:03:20" in summary(app), "the older report")
        newer = "1 newer · by stack · bytes▾"
        await eventually(pilot, lambda: app.query_one(PaneStack).caption == newer, "it is announced")
        writer = SessionWriter(tmp_path)
        several_reports.add_check(writer, THIRD_S, THIRD, 3)
        writer.close()
        await wait(pilot, app, lambda: app.query_one(PaneStack).caption.startswith("2 newer"), "it is announced")
        assert "10:03:20" in summary(app)
        await eventually(pilot, lambda: "43.2 MiB" in str(app.verdicts), "the verdict is of the newest")
        await pilot.press("d", "g", "j")
        assert "between 10:03:20 and 10:05:50" in sentence(app), "from the older to the newer, whichever is shown"
        await pilot.press("o")
        await wait(pilot, app, lambda: "10:05:50" in summary(app), "the newest")
        await eventually(pilot, lambda: app.query_one(PaneStack).caption == "by stack · bytes▾", "the caption")


async def test_the_newest_is_followed_and_the_cursor_stays_on_its_leak(tmp_path: Path) -> None:
    several_reports.three_checks(tmp_path, reports=1)
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("1", "j", "j")
        hello = "Frame::decode<Hello>"
        assert hello in app.query_one(LeakList).render_line(3).text
        writer = SessionWriter(tmp_path)
        several_reports.add_check(writer, THIRD_S, THIRD, 2)
        writer.close()
        await wait(pilot, app, lambda: "10:05:50" in summary(app), "the newest")
        assert app.query_one(LeakList).position == 1
        assert hello in app.query_one(LeakList).render_line(2).text
        await pilot.press("d", "enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        position = app.query_one(LeakList).position
        assert hello in app.query_one(LeakList).render_line(position + 1).text
        await pilot.press("escape")
        await wait(pilot, app, lambda: not comparing(app), "no comparison")
        assert app.query_one(LeakList).position == 1


async def test_a_comparison_goes_on_with_the_newest(tmp_path: Path) -> None:
    several_reports.three_checks(tmp_path, reports=2)
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("d", "enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        writer = SessionWriter(tmp_path)
        several_reports.add_check(writer, THIRD_S, THIRD, 3)
        writer.close()
        await wait(pilot, app, lambda: "43.2 MiB" in summary(app), "the newest")
        assert "since 10:03:20" in summary(app)


async def test_one_report_alone_says_how_another_comes(tmp_path: Path) -> None:
    async with opened(sessions.storyboard(tmp_path, finished=True), live=False) as (app, pilot):
        assert ("d", "compare") not in footer(app)
        await pilot.press("1", "d")
        assert "one report only" in sentence(app) and "memtui open A B" in sentence(app)
        await pilot.press("enter")
        assert len(app.screen_stack) == 1 and not comparing(app)


async def test_any_two_are_compared_from_the_older_to_the_newer(tmp_path: Path) -> None:
    several_reports.many_snapshots(tmp_path, 12)
    async with opened(tmp_path) as (app, pilot):
        # The one that is shown is the twelfth; the tenth is marked, and compared with the third.
        await pilot.press("d", "j", "space", *"jjjjjjj")
        listed = picker(app).query_one(ReportList)
        assert [listed.reports.index(view) for view in listed.reports if view.id == listed.marked] == [2]
        assert "✓ 10:03:38" in rows(app)[3] and rows(app)[10].startswith("▶   10:03:24")
        assert sentence(app).startswith("Enter: what came and went between 10:03:24 and 10:03:38: +2.7 MiB.")
        await pilot.press("enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        # 7 * 400,000 more in sessions, the table at 2 again: nothing.
        assert summary(app).startswith("+2.7 MiB in 700 objects since 10:03:24 (run 2, live) · 21.0 MiB")
        await pilot.press("d", "g", "j", "enter")
        await wait(pilot, app, lambda: "since 10:03:38" in summary(app), "a newer one: since the one that was shown")
        assert summary(app).startswith("+17.9 MiB in 260 objects")
        await pilot.press("d", "space", "space")
        assert picker(app).query_one(ReportList).marked is None


async def test_a_hundred_snapshots_are_a_timeline(tmp_path: Path) -> None:
    several_reports.many_snapshots(tmp_path)
    async with opened(tmp_path, size=WIDE) as (app, pilot):
        await pilot.press("d")
        listed = picker(app).query_one(ReportList)
        assert listed.size.height == 30
        newest, before = (" ".join(row.split()) for row in rows(app)[1:3])
        assert newest.startswith("● 10:06:38 2 heap snapshot 46.7 MiB +9.0M ")
        assert before.startswith("▶ 10:06:36 2 heap snapshot 37.8 MiB -51.1M ")
        assert len({row.rindex(" ") for row in rows(app)[1:]}) == 1, "columns stand still"
        await pilot.press("G")
        assert listed.highlighted is not None and listed.highlighted.at_s == several_reports.FIRST_S
        assert listed.render_line(29).text.lstrip().startswith("▶   10:03:20"), "the cursor is in sight"
        assert sentence(app).startswith("Enter: what has come and gone since 10:03:20 live")
        await pilot.press("enter")
        await wait(pilot, app, lambda: comparing(app), "the growth")
        assert summary(app).startswith("+46.3 MiB in 9 930 objects since 10:03:20")


async def test_a_snapshot_that_comes_while_the_list_is_open_is_in_it(tmp_path: Path) -> None:
    several_reports.many_snapshots(tmp_path, 3)
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("d", "j")
        listed = picker(app).query_one(ReportList)
        lit = listed.highlighted
        writer = SessionWriter(tmp_path)
        several_reports.add_figures(writer, THIRD_S, THIRD, mode="profile", kind="in-use", checker="heapprofile")
        writer.close()
        await eventually(pilot, lambda: len(listed.reports) == 4, "the new one")
        assert listed.highlighted == lit and listed.cursor == 4, "the cursor stays on its snapshot"


def footer(app: MemtuiApp) -> list[tuple[str, str]]:
    shown = app.main.query_one(KeyFooter).render().plain.split()
    return list(pairwise(shown))


async def test_d_is_offered_where_there_are_reports_to_choose_from(recorded: Path) -> None:
    async with opened(recorded, live=False) as (app, pilot):
        assert ("d", "compare") in footer(app)
        await pilot.press("4")
        assert ("d", "compare") not in footer(app)
        await pilot.press("d")
        assert len(app.screen_stack) == 1, "d means nothing beside the leaks"


async def test_the_dialog_leaves_without_a_choice_and_takes_the_mouse(recorded: Path) -> None:
    async with opened(recorded, size=WIDE) as (app, pilot):
        for leave in ("escape", "d"):
            await pilot.press("d", "G", leave)
            assert len(app.screen_stack) == 1 and not app.reports.comparing
        await pilot.press("d")
        await pilot.click(ReportList, offset=(10, 4))
        assert picker(app).query_one(ReportList).cursor == 3
        await pilot.click(ReportList, offset=(10, 4), times=2)
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        assert "since 10:03:20" in summary(app)


async def test_snapshots_offer_their_growth(tmp_path: Path) -> None:
    async with opened(several_reports.two_snapshots(tmp_path)) as (app, pilot):
        assert summary(app).startswith("live at 10:04:50 · heap snapshot · run 2")
        whole = "d growth since 10:03 · by stack · bytes▾"
        await eventually(pilot, lambda: app.query_one(PaneStack).caption == whole, "the caption")
        offered = "d growth since 10:03"
        await eventually(pilot, lambda: offered in app.query_one(TabBar).render().plain, "offered at 80 columns too")
        await pilot.press("d", "enter")
        await wait(pilot, app, lambda: comparing(app), "the growth")
        await eventually(pilot, lambda: app.query_one(PaneStack).caption == "by stack · change▾", "the caption")


def test_a_tab_bar_keeps_the_first_words_of_what_the_pane_says() -> None:
    bar = TabBar()
    bar.show((Tab("leaks", "1", "Leaks", "5"),), "leaks", aside="2 newer · by stack · bytes▾")
    whole, short = "2 newer · by stack · bytes▾", "2 newer · bytes▾"
    assert [bar._fitting(room).strip() for room in (40, 29, 28, 18, 17, 3)] == [
        whole,
        whole,
        short,
        short,
        "2 newer",
        "",
    ]
    bar.show((Tab("leaks", "1", "Leaks", "5"),), "leaks", aside="only handle_rpc · callees · bytes▾")
    assert [bar._fitting(room).strip() for room in (17, 16, 12)] == ["only handle_rpc", "only handle_r…", "only hand…"]


async def test_an_ascii_picker_is_ascii(recorded: Path) -> None:
    async with opened(recorded, ascii=True) as (app, pilot):
        await pilot.press("d", "enter")
        await wait(pilot, app, lambda: comparing(app), "the comparison")
        await pilot.press("d", "j", "j")
        assert all(row.isascii() for row in rows(app)) and sentence(app).isascii()


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_notice_about_a_report_from_a_file_is_seen_until_esc(size: tuple[int, int]) -> None:
    with session_of(FAULTS) as folder:
        async with opened(folder, live=False, size=size) as (app, pilot):
            line = app.main.query_one(Verdicts)
            assert not line.is_on_screen, "no process was watched: nothing to diagnose"
            await pilot.press("y")
            await eventually(pilot, lambda: line.is_on_screen and line.size.height, "the line of the notice")
            assert "COPIED" in line.render().plain
            await pilot.press("escape")
            await eventually(pilot, lambda: not line.is_on_screen, "no line without a notice")
