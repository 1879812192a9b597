"""RSS in parts: they add up whatever the allocator claims, and change is told since what one has just done."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.session.follower import SessionFollower
from memtui.session.heap import KEEP_SAMPLES, HeapFollower
from memtui.session.new_rows import NewRows
from memtui.session.state import RateRead, SessionState
from memtui.viewer.heap.bars import SEEN_FROM, cells_of, share_words, stacked_bar
from memtui.viewer.heap.breakdown import ANY, Part, Role, breakdown, kernel_breakdown, part_names, resident_parts
from memtui_profiler.allocators import kinds as allocators
from memtui_profiler.allocators.kind import PartNames
from memtui_profiler.events import EventKind
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import AllocatorDetailRow, AllocatorSample, GuestRow
from memtui_profiler.session.writer import DATABASE, SessionWriter
from tests.fixtures.heap_story import (
    RATE_S,
    RELEASE_S,
    STORY_END_S,
    TCMALLOC_DETAIL,
    allocator_sample,
    figures,
    heap_story,
)
from tests.fixtures.sessions import GIB, MIB, RELAUNCH_S, STARTED, add_launch, begin, event, storyboard

sizes = st.integers(-5, 1 << 44)


def told(*kinds: int) -> AllocatorSample:
    """in use, free, central, transfer, thread, metadata; those left out are 0."""
    in_use, free, central, transfer, thread, metadata = (*kinds, *[0] * (6 - len(kinds)))
    return AllocatorSample(1.0, 1, "tcmalloc", in_use, free, central, transfer, thread, metadata, 0, None, 0.001)


def state_of(folder: Path, *, at_s: float = STORY_END_S, live: bool = True) -> SessionState:
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + at_s, live=live, judge=False)
    follower.close()
    return state


@given(
    st.tuples(sizes, sizes, sizes, sizes, sizes, sizes),
    sizes,
    st.sampled_from([ANY, *(kind.part_names for kind in allocators())]),
)
def test_the_parts_add_up_to_rss_and_what_is_not_there_is_told_apart(
    kinds: tuple[int, ...], rss: int, terms: PartNames
) -> None:
    parts, beyond = resident_parts(told(*kinds), rss, 0, terms)
    assert sum(part.size_bytes for part in parts) == max(0, rss)
    assert all(part.size_bytes >= 0 for part in parts)
    claimed = sum(max(0, size) for size in kinds)
    assert beyond == max(0, claimed - max(0, rss))
    assert len({part.name for part in parts}) == len(parts)
    assert all(part.name for part in parts)


def test_what_the_kernel_has_back_is_taken_off_what_is_free() -> None:
    """glibc counts chunks as free whose pages malloc_trim has given back (its adapter says so)."""
    parts, beyond = resident_parts(told(10 * MIB, 400 * MIB, 2 * MIB), 14 * MIB, 0, part_names("glibc malloc"))
    assert [(part.name, part.size_bytes) for part in parts] == [
        ("in use", 10 * MIB),
        ("free in the arenas", 2 * MIB),
        ("small chunks", 2 * MIB),
        ("outside the heap", 0),
    ]
    assert beyond == 398 * MIB


def test_each_allocator_has_its_own_words_and_no_part_of_another() -> None:
    def names(allocator: str) -> list[str]:
        return [part.name for part in resident_parts(told(1, 1, 1, 0, 1, 1), 9, 0, part_names(allocator))[0]]

    assert names("tcmalloc 2.10 preloaded") == [
        "in use",
        "page heap free",
        "central cache",
        "transfer cache",
        "thread caches",
        "metadata",
        "outside the heap",
    ]
    assert names("jemalloc") == [
        "in use",
        "dirty pages",
        "part-used slabs",
        "thread caches",
        "metadata",
        "outside the heap",
    ]
    assert "free in the arenas" in names("glibc malloc")
    assert "transfer cache" not in names("glibc malloc")
    assert "free pages" in names("mimalloc") and "free pages" in names("")


def test_the_story_told_since_the_last_deed(tmp_path: Path) -> None:
    folder = heap_story(tmp_path, end_s=RELEASE_S + 9)
    shown = breakdown(state_of(folder, at_s=RELEASE_S + 9))
    assert shown is not None
    assert shown.since == "since x"
    parts = {part.name: part for part in shown.parts}
    assert parts["page heap free"].change_bytes is not None
    assert parts["page heap free"].change_bytes < -11 * GIB, "the sample before the release is what it is measured by"
    assert abs(parts["in use"].change_bytes or 0) < 40 * MIB
    assert shown.released_bytes == 12 * GIB
    assert shown.elsewhere_bytes == 0
    assert abs(shown.rss_bytes - 0.5 * GIB) < 0.2 * GIB


def test_a_minute_ago_when_nothing_was_done_in_it(tmp_path: Path) -> None:
    shown = breakdown(state_of(heap_story(tmp_path / "a", end_s=150.0), at_s=150.0))
    assert shown is not None and shown.since == "in 1 min"
    parts = {part.name: part for part in shown.parts}
    assert parts["in use"].change_bytes == figures(149.0).in_use_bytes - figures(89.0).in_use_bytes
    young = breakdown(state_of(heap_story(tmp_path / "b", end_s=21.0), at_s=21.0))
    assert young is not None and young.since == "in 19 s"
    first = breakdown(state_of(heap_story(tmp_path / "c", end_s=2.0), at_s=2.0))
    assert first is not None and first.since == ""
    assert all(part.change_bytes is None for part in first.parts)


def test_without_an_answer_the_kernel_parts_rss(tmp_path: Path) -> None:
    state = state_of(heap_story(tmp_path, guest=GuestRow(0.8, 1, "off", "")))
    assert breakdown(state) is None
    shown = kernel_breakdown(state)
    assert shown is not None
    assert [part.role for part in shown.parts] == [Role.ANON, Role.FILE, Role.SHARED]
    assert state.detail is not None
    assert shown.rss_bytes == state.detail.rss_bytes


def test_only_the_newest_run_is_spoken_of(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    writer = SessionWriter(folder)
    writer.add(allocator_sample(3.0))
    writer.add(GuestRow(0.5, 1, "ready", "tcmalloc"))
    writer.commit()
    state = state_of(folder)
    assert state.heap.newest is None and state.heap.guest is None and breakdown(state) is None
    writer.add(allocator_sample(RELAUNCH_S + 5)._replace(run=2))
    writer.close()
    state = state_of(folder)
    assert [sample.run for sample in state.heap.samples] == [2]


def test_of_a_long_session_only_the_end_is_read_and_a_live_one_is_followed(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    add_launch(writer, 1, 0.0, 50, "off", None)
    writer.add_all(allocator_sample(float(second)) for second in range(5 * KEEP_SAMPLES))
    writer.commit()
    reader = SessionReader(tmp_path / DATABASE)
    rows = NewRows(reader)
    follower = HeapFollower(rows)
    state = follower.poll(1)
    assert len(state.samples) == KEEP_SAMPLES
    assert state.samples[-1].at_s == 5 * KEEP_SAMPLES - 1 == rows.last_s
    assert follower.poll(1) is state, "what does not change is not made anew"
    writer.add(allocator_sample(5000.0))
    writer.add(AllocatorDetailRow(5000.5, 1, "{}"))
    writer.add(GuestRow(5001.0, 1, "busy", "tcmalloc"))
    writer.commit()
    state = follower.poll(1)
    assert (len(state.samples), state.samples[-1].at_s) == (KEEP_SAMPLES, 5000.0)
    assert (state.detail is not None, state.detail_s) == (True, 5000.5)
    assert state.guest is not None and state.guest.state == "busy"
    assert follower.poll(2).samples == ()
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    "text", ["", "[1", "7", '{"classes": [[1]]}', '{"spans": [[1, -2, 3, 4]]}', '{"arenas": [[1, 2, 3]]}']
)
def test_a_detail_that_memtui_did_not_write_is_none(tmp_path: Path, text: str) -> None:
    folder = heap_story(tmp_path)
    assert state_of(folder).heap.detail == TCMALLOC_DETAIL
    writer = SessionWriter(folder)
    writer.add(AllocatorDetailRow(STORY_END_S, 1, text))
    writer.close()
    assert state_of(folder).heap.detail is None


def test_a_session_of_format_1_has_no_heap(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        for table in ("allocator_sample", "allocator_detail", "guest"):
            database.execute(f"DROP TABLE {table}")
        for column in ("in_use_bytes", "kept_bytes"):
            database.execute(f"ALTER TABLE sample DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    state = state_of(folder)
    assert state.heap.newest is None
    assert state.sample is not None and state.sample.in_use_bytes is None
    assert state.rate_read is None


def test_the_rate_is_the_process_s_own_and_says_how_it_came_to_that(tmp_path: Path) -> None:
    before = state_of(heap_story(tmp_path / "a", end_s=RATE_S - 5), at_s=RATE_S - 5)
    assert before.rate_read == RateRead(1.0)
    live = state_of(heap_story(tmp_path / "b"))
    assert live.rate_read == RateRead(7.5, "live")
    assert live.run is not None and live.run.rate_words == "7.5 live"
    outside = state_of(heap_story(tmp_path / "c", outside_rate=3.0))
    assert outside.rate_read == RateRead(3.0, "outside")
    assert state_of(heap_story(tmp_path / "d", allocator="glibc malloc")).rate_read is None


def test_a_rate_that_was_just_set_is_known_before_the_next_figures(tmp_path: Path) -> None:
    folder = heap_story(tmp_path, end_s=100.0)
    writer = SessionWriter(folder)
    writer.add(event(100.0, 1, EventKind.RATE_SET, "", release_rate=2.25))
    writer.add(event(100.1, 1, EventKind.RATE_SET, "", release_rate="nonsense"))
    writer.add(event(100.2, 1, EventKind.RATE_SET, "")._replace(detail=json.dumps([])))
    writer.close()
    assert state_of(folder, at_s=100.2).rate_read == RateRead(2.25, "live")


def test_attached_sessions_say_so(tmp_path: Path) -> None:
    assert state_of(heap_story(tmp_path / "a", attached=True)).identity.attached
    assert not state_of(heap_story(tmp_path / "b")).identity.attached


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=8), st.integers(0, 200))
def test_the_cells_of_a_bar_are_all_given_out(parts: list[int], width: int) -> None:
    cells = cells_of(parts, width)
    assert all(count >= 0 for count in cells)
    whole = sum(parts)
    assert sum(cells) == (width if whole else 0)
    for size, count in zip(parts, cells, strict=True):
        if whole and width > len(parts) / SEEN_FROM:
            assert count >= 1 or size / whole < SEEN_FROM
        assert not whole or abs(count - size * width / whole) <= len(parts)


@pytest.mark.parametrize(
    ("size", "whole", "words"),
    [(0, 10, "0 %"), (1, 1000, "<1 %"), (68, 100, "68 %"), (999, 1000, "99 %"), (5, 5, "100 %"), (3, 0, "0 %")],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(size: int, whole: int, words: str) -> None:
    assert share_words(size, whole) == words


def test_the_bar_names_what_has_room_and_is_told_apart_without_colours() -> None:
    parts = (Part(Role.IN_USE, "in use", 20), Part(Role.FREE, "page heap free", 70), Part(Role.OUTSIDE, "outside", 10))
    coloured = stacked_bar(parts, 60, textured=False)
    assert coloured.cell_length == 60
    assert "page heap free 70 %" in coloured.plain and "in use" in coloured.plain and "10 %" in coloured.plain
    plain = stacked_bar(parts, 50, textured=True).plain
    assert len(plain) == 50
    assert plain.startswith("##") and plain.endswith("...") and "== page heap free 70 % ==" in plain
    assert stacked_bar([replace(parts[0], size_bytes=0)], 50, textured=True).plain == ""


def test_files_and_shared_memory_are_outside_whatever_the_allocator_counts() -> None:
    parts, beyond = resident_parts(told(100 * MIB, 50 * MIB, 0), 120 * MIB, 30 * MIB, part_names("tcmalloc"))
    by_role = {part.role: part.size_bytes for part in parts if part.size_bytes}
    assert by_role == {Role.IN_USE: 90 * MIB, Role.OUTSIDE: 30 * MIB}
    assert beyond == 60 * MIB
