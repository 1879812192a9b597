"""The view of what is mapped, as text: which columns at which width, growth since the look before, and what is safe to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memtui.display.glyphs import ASCII, UNICODE, Glyphs
from memtui.session.follower import SessionFollower
from memtui.session.state import SessionState
from memtui.viewer.heap.regions import region_lines
from memtui.viewer.heap.sentences import mapped_notes
from memtui_profiler.session.region_looks import LookReader, RecordedLook
from memtui_profiler.session.rows import RegionRow, Sample
from tests.fixtures.heap_story import STORY_END_S, heap_story
from tests.fixtures.sessions import MIB, STARTED

LIBRARY = "/usr/lib/x86_64-linux-gnu/libc.so.6"


def look(at_s: float, stacks: int, *more: RegionRow) -> RecordedLook:
    rows = [
        RegionRow(
            at_s,
            1,
            "thread-stacks",
            "",
            stacks,
            stacks << 23,
            stacks * 200_000,
            stacks * 200_000,
            0,
            stacks * 200_000,
            0,
        ),
        RegionRow(at_s, 1, "anonymous", "", 7, 90 * MIB, 80 * MIB, 80 * MIB, 3 * MIB, 80 * MIB, 60 * MIB),
        RegionRow(at_s, 1, "file", LIBRARY, 5, 2 * MIB, MIB, 60_000, 0, 24_576, 0),
        *(row._replace(at_s=at_s) for row in more),
    ]
    names = RegionRow._fields[4:11]
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    whole = RegionRow(at_s, 1, "all", "", **sums, threads=stacks + 1, cost_s=0.006)
    (made,) = LookReader().looks([*sorted(rows, key=lambda row: -row.rss_bytes), whole])
    return made


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> SessionState:
    follower = SessionFollower(heap_story(tmp_path_factory.mktemp("told")))
    told = follower.poll(STARTED + STORY_END_S, live=True, judge=False)
    follower.close()
    return replace(told, regions=(look(STORY_END_S - 14, 400), look(STORY_END_S - 4, 500)))


def text(state: SessionState, width: int, glyphs: Glyphs = UNICODE, *, textured: bool = False) -> list[str]:
    return [line.plain for line in region_lines(state, width, glyphs, textured=textured)]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (79, "REGION RSS SHARE IN 10 s DIRTY SWAP HUGE"),
        (116, "REGION RSS SHARE IN 10 s DIRTY SWAP HUGE PSS MAPPED COUNT"),
        (196, "REGION RSS SHARE IN 10 s DIRTY SWAP HUGE PSS MAPPED COUNT"),
        (50, "REGION RSS SHARE IN 10 s"),
    ],
)
def test_each_width_has_its_columns_and_no_line_is_wider(state: SessionState, width: int, titles: str) -> None:
    lines = text(state, width)
    assert max(map(len, lines)) <= width
    assert " ".join(lines[1].split()) == titles
    assert len({len(line) for line in lines[1:]}) == 1, "figures stand below each other"


def test_the_rows_say_what_is_there_and_what_has_grown(state: SessionState) -> None:
    headline, _, stacks, anonymous, library, whole = text(state, 116)
    assert headline.startswith(" RSS 176 MiB in 512 mappings · 501 threads · looked 4 s ago in 6.0 ms")
    assert headline.endswith(" enter looks again")
    assert " ".join(stacks.split()) == ("■ thread stacks 95.4 MiB 54 % +19.1M 95.4 MiB 95.4 MiB 3.9 GiB 500")
    assert " ".join(anonymous.split()) == (
        "■ anonymous memory 80.0 MiB 45 % = 80.0 MiB 3.0 MiB 60.0 MiB 80.0 MiB 90.0 MiB 7"
    )
    assert library.split()[:3] == ["■", "libc.so.6", "1.0"]
    assert whole.split()[:6] == ["RSS", "176", "MiB", "100", "%", "+19.1M"]


def test_a_file_has_its_path_where_there_is_room(state: SessionState) -> None:
    assert not any(LIBRARY in line for line in text(state, 79))
    assert any(LIBRARY in line and "█" not in line for line in text(state, 196)), "no bar for half a percent"
    assert any("█" in line for line in text(state, 196))


def test_the_first_look_has_no_growth_and_none_at_all_says_so(state: SessionState) -> None:
    first = text(replace(state, regions=state.regions[:1]), 79)
    assert "IN " not in first[1] and not any("+" in line for line in first)
    assert text(replace(state, regions=()), 79) == [" Looking at what the process has mapped."]
    assert text(replace(state, regions=(), live=False), 79) == [" Nobody has looked at what it had mapped."]
    assert "enter" not in text(replace(state, live=False), 79)[0]


def test_ascii_and_hostile_names(state: SessionState) -> None:
    evil = RegionRow(1.0, 1, "file", "/tmp/\x1b[2J[red]$x", 1, MIB, 50 * MIB, 0, 0, 0, 0)
    hostile = replace(state, regions=(look(STORY_END_S - 4, 500, evil),))
    for width in (79, 196):
        lines = text(hostile, width, ASCII, textured=True)
        assert all(line.isascii() and "\x1b" not in line for line in lines)
        assert any("[red]$x" in line for line in lines), "markup is text"


def test_the_heap_tab_names_the_largest(state: SessionState) -> None:
    detail = Sample(STORY_END_S, 1, 176 * MIB, MIB, anon_bytes=175 * MIB, threads=501)
    notes = mapped_notes(replace(state, detail=detail))
    assert notes == [
        "mapped: 95.4 MiB thread stacks (501 threads, 195 KiB each) (M: all)",
        "60.0 MiB of RSS (34 %) in transparent huge pages",
    ]
    assert mapped_notes(replace(state, regions=())) == []


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    from memtui_profiler.session.writer import SessionWriter

    folder = heap_story(tmp_path)
    writer = SessionWriter(folder)
    looks = look(STORY_END_S - 14, 400), look(STORY_END_S - 4, 500)
    for one in looks:
        writer.add_all([*one.regions, one.whole])
    writer.commit()
    writer.close()
    follower = SessionFollower(folder)
    read = follower.poll(STARTED + STORY_END_S, live=False, judge=False).regions
    follower.close()
    assert [[row._replace(id=0) for row in (*one.regions, one.whole)] for one in read] == [
        [*one.regions, one.whole] for one in looks
    ]
