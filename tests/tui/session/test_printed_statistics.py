"""A session that was made of printed statistics: verdict, Heap tab and header say what they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memtui.commands.report_session import write_statistics_session
from memtui.control.buttons import unable
from memtui.display.glyphs import UNICODE, glyphs_for
from memtui.display.keymap import footer_keys
from memtui.session.follower import SessionFollower
from memtui.session.state import SessionState
from memtui.text.statistics import statistics_lines
from memtui.viewer.heap.layout import heap_lines
from memtui.viewer.widgets.header import header
from memtui_profiler.collect.printed import load_printed
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.writer import DATABASE

STATISTICS = Path(__file__).parents[2] / "fixtures" / "statistics"


def state_of(folder: Path, name: str) -> SessionState:
    write_statistics_session(folder, STATISTICS / name)
    with closing(SessionFollower(folder)) as follower:
        return follower.poll(0.0, live=False)


@pytest.mark.parametrize(
    ("name", "word", "whole", "rows"),
    [
        ("gperftools.txt", "FRAGMENTATION", "IN ALL", ("in use", "page heap free", "central cache", "thread caches")),
        ("redis-info.txt", "FRAGMENTATION", "RSS", ("in use", "dirty pages", "part-used slabs", "outside the heap")),
        ("mimalloc.txt", "CANNOT TELL", "RSS", ("in use or free", "free, or outside")),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(80, 12), (120, 20)])
def test_the_screen(
    tmp_path: Path, name: str, word: str, whole: str, rows: tuple[str, ...], width: int, height: int
) -> None:
    state = state_of(tmp_path, name)
    assert state.diagnoses[0].word == word and state.sample is None
    lines = [line.plain for line in heap_lines(state, width, height, UNICODE, textured=False)]
    assert any(line.startswith(f" {whole} ") for line in lines)
    for row in rows:
        assert any(row in line and "%" in line for line in lines), row
    assert all(len(line) <= width for line in lines)
    assert "from a file" in header(state, UNICODE, width).plain and "pid" not in header(state, UNICODE, width).plain


def test_no_key_is_offered_that_shows_nothing(tmp_path: Path) -> None:
    state = state_of(tmp_path, "redis-info.txt")
    keys = [key for key, _ in footer_keys(live=False, tab="heap", width=200, graph=False, unable=unable(state))]
    assert keys == ["w", "?", "q"]


def test_the_lines(tmp_path: Path) -> None:
    write_statistics_session(tmp_path, STATISTICS / "gperftools.txt")
    with closing(SessionReader(tmp_path / DATABASE)) as reader:
        lines = list(statistics_lines(*load_printed(reader), glyphs_for(ascii=True)))
    assert lines[0] == "182.1 MiB in all, tcmalloc (gperftools' tcmalloc, MallocExtension::GetStats, gperftools.txt)"
    assert lines[1].startswith("fragmentation: 45 % of its memory is free objects on partly used pages: 81.7 MiB")
    assert "page heap free                  64.2 MiB  35.3 %" in lines
    assert all(line.isascii() for line in lines)


def test_a_damaged_session_shows_what_it_can(tmp_path: Path) -> None:
    state = state_of(tmp_path, "gperftools.txt")
    from dataclasses import replace

    damaged = replace(state, identity=replace(state.identity, statistics="{"))
    assert damaged.printed is None
    assert heap_lines(damaged, 80, 12, UNICODE, textured=False)


@pytest.mark.parametrize("argv", ["", "{}", "[]", "[" * 100_000], ids=["no JSON", "no list", "empty", "deep"])
def test_a_session_without_the_name_of_its_file(tmp_path: Path, argv: str) -> None:
    write_statistics_session(tmp_path, STATISTICS / "gperftools.txt")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as db, db:
        assert db.execute("UPDATE meta SET value = ? WHERE key = 'argv'", (argv,)).rowcount == 1
    with closing(SessionReader(tmp_path / DATABASE)) as reader:
        printed, name = load_printed(reader)
    assert (printed.allocator, name) == ("tcmalloc", "")
