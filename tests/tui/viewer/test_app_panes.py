"""The end of a log that grows, turns over and floods; rows that are drawn as they are seen."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from memtui.commands.report_session import write_report_session
from memtui.session.follower import SessionFollower
from memtui.viewer.dialogs.dialog import Reading
from memtui.viewer.panes import log_tail
from memtui.viewer.panes.events import EventsPane
from memtui.viewer.panes.log_tail import LogTail
from memtui.viewer.panes.output import OutputPane
from memtui.viewer.views import GraphFeed
from memtui.viewer.widgets.line import Text
from memtui_profiler.events import EventKind
from memtui_profiler.run.output_log import OUTPUT_LOG, TAILS
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import END_S, STARTED, event, storyboard


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as log:
        log.write(text.encode() if isinstance(text, str) else text)


def test_a_log_is_followed_from_before_it_exists(tmp_path: Path) -> None:
    tail = LogTail(tmp_path)
    assert not tail.poll()
    append(tmp_path / OUTPUT_LOG, "one\ntw")
    assert tail.poll()
    assert list(tail.lines) == ["one"]
    append(tmp_path / OUTPUT_LOG, "o\nthree\n")
    assert tail.poll()
    assert list(tail.lines) == ["one", "two", "three"]
    assert not tail.poll()


def test_what_the_target_prints_cannot_reach_the_terminal(tmp_path: Path) -> None:
    append(tmp_path / OUTPUT_LOG, b"\x1b[31mred\x1b[0m\x1b]0;t\x07\r\nover\rwritten\n\xff\xfe\n[bold]x[/bold]\n")
    tail = LogTail(tmp_path)
    tail.poll()
    assert all(line.isprintable() for line in tail.lines)
    assert tail.lines[0] == "red"
    assert tail.lines[-1] == "[bold]x[/bold]"


def test_a_long_log_is_read_from_its_end_and_backwards_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_tail, "CHUNK_BYTES", 1000)
    every = [f"line {n:06}" for n in range(500)]
    append(tmp_path / OUTPUT_LOG, "\n".join(every) + "\n")
    tail = LogTail(tmp_path)
    tail.poll()
    assert 0 < len(tail.lines) < 100
    assert tail.lines[-1] == every[-1]
    assert tail.lines[0] != every[0]
    while tail.earlier():
        assert list(tail.lines) == every[-len(tail.lines) :]
    assert list(tail.lines) == every
    assert tail.lines[0] == every[0]


def test_the_ring_is_followed_from_file_to_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "CHUNK_BYTES", 1000)
    append(tmp_path / OUTPUT_LOG, "head 1\nhead 2\n")
    tail = LogTail(tmp_path)
    tail.poll()
    append(tmp_path / OUTPUT_LOG, "head 3\n")
    os.utime(tmp_path / OUTPUT_LOG, (1, 1))
    append(tmp_path / TAILS[0], "ring 1\n")
    tail.poll()
    assert list(tail.lines) == ["head 1", "head 2", "head 3", "ring 1"]
    late = LogTail(tmp_path)
    late.poll()
    assert list(late.lines) == ["ring 1"]
    assert late.earlier() == 3
    assert list(late.lines) == ["head 1", "head 2", "head 3", "ring 1"]


def test_a_flood_is_skipped_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(log_tail, "POLL_BYTES", 5000)
    append(tmp_path / OUTPUT_LOG, "before\n")
    tail = LogTail(tmp_path)
    tail.poll()
    append(tmp_path / OUTPUT_LOG, "x" * 60 + "\n")
    append(tmp_path / OUTPUT_LOG, "".join(f"flood {n:05}\n" for n in range(5000)))
    assert tail.poll()
    assert "faster than it could be read" in tail.lines[0]
    assert tail.lines[-1] == "flood 04999"
    assert len(tail.lines) < 100


def test_memory_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "KEEP_CHARS", 20_000)
    tail = LogTail(tmp_path)
    for n in range(200):
        append(tmp_path / OUTPUT_LOG, f"{n:04} {'y' * 500}\n")
        tail.poll()
        assert sum(map(len, tail.lines)) <= 20_000 + 600
    assert tail.lines[-1].startswith("0199 ")


def test_a_log_that_was_cut_or_removed_is_no_error(tmp_path: Path) -> None:
    append(tmp_path / OUTPUT_LOG, "a\nb\n")
    tail = LogTail(tmp_path)
    tail.poll()
    (tmp_path / OUTPUT_LOG).write_text("c\n")
    assert tail.poll()
    assert tail.lines[-1] == "c"
    (tmp_path / OUTPUT_LOG).unlink()
    assert not tail.poll()
    assert tail.earlier() == 0


async def test_the_output_pane_shows_what_is_printed_while_one_looks(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    app = viewer(folder, Notebook())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        pane = app.query_one(OutputPane)
        await eventually(pilot, lambda: pane.row_count > 100, "the log")
        append(folder / "runs" / "2" / OUTPUT_LOG, "a fresh line\n")

        def shown() -> str:
            return "\n".join(pane.render_line(y).text for y in range(pane.size.height))

        await eventually(pilot, lambda: "a fresh line" in shown(), "the fresh line")
        await pilot.press("g")
        await pilot.pause()
        assert "[00000]" in shown()
        assert not pane.following
        append(folder / "runs" / "2" / OUTPUT_LOG, "another\n")
        before = pane.row_count
        await eventually(pilot, lambda: pane.row_count > before, "the next line is read")
        assert "[00000]" in shown(), "new lines do not move what one reads"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_report_from_a_file_has_the_screen_to_itself(tmp_path: Path, size: tuple[int, int]) -> None:
    """Nobody watched a process, so an empty graph and a rate that nobody read would take the room of the leaks."""
    profile = tmp_path / "server.0001.heap"
    profile.write_bytes(b"heap profile: 1: 8 [ 1: 8] @ heapprofile\n1: 8 [1: 8] @ 0x10\n\nMAPPED_LIBRARIES:\n")
    folder = tmp_path / "session"
    folder.mkdir()
    write_report_session(folder, profile)
    app = viewer(folder)
    async with app.run_test(size=size) as pilot:
        await eventually(pilot, lambda: app.main.query("#leak-list"), "the report is shown")
        assert not any(app.main.query_one(f"#{name}").display for name in ("upper", "figures", "verdicts"))
        await pilot.press("z")
        assert app.main.panes.display, "there is nothing to zoom, and nothing is lost by it"


async def test_an_event_too_long_for_its_row_is_read_in_full(tmp_path: Path) -> None:
    words = f"the program brings jemalloc; {'memtui puts tcmalloc before it, ' * 5}which is the end"
    folder = storyboard(tmp_path)
    writer = SessionWriter(folder)
    writer.add(event(END_S, 2, EventKind.REFUSED, words))
    writer.commit()
    writer.close()
    app = viewer(folder, Notebook())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        pane = app.query_one(EventsPane)
        await eventually(pilot, lambda: pane.row_count and pane.cursor == pane.row_count - 1, "the newest event is lit")
        assert "enter: in full" in pane.render_line(0).text
        await pilot.press("enter")
        await eventually(pilot, lambda: isinstance(app.screen, Reading), "it is open")
        assert words in str(app.screen.query_one(Text).render())
        await pilot.press("escape")
        assert app.screen is app.main


def test_the_graph_stands_still_once_the_target_is_gone(tmp_path: Path) -> None:
    """Were time to go on, what the run was like would leave the screen while one reads its report."""
    follower = SessionFollower(storyboard(tmp_path, finished=True))
    later = follower.poll(STARTED + END_S + 3600, live=True)
    feed = GraphFeed(ascii=False)
    shown = feed.state(later)
    assert END_S <= shown.now_s < END_S + 1
    assert not shown.live
    running = feed.state(replace(later, runs=(*later.runs[:-1], replace(later.runs[-1], end=None, settled=False))))
    assert running.live and running.now_s == later.now_s
