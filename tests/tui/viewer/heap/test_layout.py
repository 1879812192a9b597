"""The Heap tab as text: what stands where at each size, in each state, for each allocator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.content import Content

from memtui.control.buttons import buttons
from memtui.display.glyphs import ASCII, UNICODE, Glyphs
from memtui.session.follower import SessionFollower
from memtui.session.state import SessionState
from memtui.viewer.heap.free_memory import blocks
from memtui.viewer.heap.layout import BESIDE_FROM, ROOMY_FROM, heap_lines
from memtui.viewer.heap.sentences import caption, headline, message
from memtui_parsers.allocators.stats import AllocatorDetail, SpanList
from memtui_profiler.actions import Action
from memtui_profiler.session.rows import GuestRow
from tests.fixtures.heap_story import GLIBC_DETAIL, STORY_END_S, TCMALLOC_DETAIL, heap_story
from tests.fixtures.sessions import MIB, STARTED, storyboard


def look(folder: Path, *, live: bool = True, at_s: float = STORY_END_S) -> SessionState:
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + at_s, live=live, judge=False)
    follower.close()
    return state


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> SessionState:
    return look(heap_story(tmp_path_factory.mktemp("told")))


def text(lines: list[Content]) -> list[str]:
    return [line.plain for line in lines]


def joined(state: SessionState, width: int = 79, height: int = 9, glyphs: Glyphs = UNICODE) -> str:
    return "\n".join(text(heap_lines(state, width, height, glyphs, textured=False)))


def test_at_80_columns_the_whole_table_is_seen_without_scrolling(told: SessionState) -> None:
    lines = text(heap_lines(told, 79, 9, UNICODE, textured=False))
    assert "in use 53 %" in lines[0]
    assert lines[1].split() == ["RSS", "718", "MiB", "SHARE", "SINCE", "s"]
    assert [line[3:19].strip() for line in lines[2:9]] == [
        "in use",
        "page heap free",
        "central cache",
        "transfer cache",
        "thread caches",
        "metadata",
        "outside the heap",
    ]
    assert lines[3].split("█")[0] == " ■ page heap free   57.1 MiB "
    assert lines[3].endswith("8 %   +18.9M  x returns it")
    assert [line.rpartition("=  ")[2] for line in lines[4:7]] == ["╮ fragmentation:", "│ on partly used", "╯ pages"]
    below = "\n".join(lines[9:])
    assert "FREE OBJECTS BY SIZE" in below and "FREE SPANS BY PAGES" in below
    assert "tcmalloc 2.10 preloaded · rate 7.5 live · answered in 0.2 ms" in below
    assert "given back to the kernel: 12.0 GiB of address space, no memory" in below
    assert "outside: 92.0 MiB files, 4.0 MiB shared, 120 MiB other" in below


@pytest.mark.parametrize("width", [95, 99, 115, 116, 160])
def test_from_100_columns_on_the_free_memory_stands_beside(told: SessionState, width: int) -> None:
    lines = text(heap_lines(told, width, 13, UNICODE, textured=False))
    assert width < 115 or len(lines) == 13, "at 120x40 nothing has to be scrolled to"
    assert lines[0].startswith(" tcmalloc 2.10 preloaded · rate 7.5 live")
    heading = next(line for line in lines if "SHARE" in line)
    assert "│  FREE OBJECTS BY SIZE" in heading
    largest = lines[lines.index(heading) + 1]
    assert "in use" in largest and "256 B" in largest and "7.4 MiB" in largest


def test_a_zoomed_pane_has_the_spans_below_the_table_with_their_number(told: SessionState) -> None:
    lines = text(heap_lines(told, 116, 30, UNICODE, textured=False))
    spans = next(n for n, line in enumerate(lines) if line.startswith(" FREE SPANS BY PAGES"))
    assert "× 210" in lines[spans + 1]
    assert len({line.plain for line in heap_lines(told, 116, 30, UNICODE, textured=False)[1:4]}) == 2, "a bar of 3 rows"
    assert len(lines) <= 30


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("allocator", ["tcmalloc", "glibc malloc", "jemalloc"])
def test_no_line_is_wider_than_the_pane(tmp_path: Path, allocator: str, glyphs: Glyphs) -> None:
    state = look(heap_story(tmp_path, allocator=allocator))
    for width in (64, 79, 80, 95, 99, 115, 116, 199):
        for height in (4, 9, 13, 35):
            lines = heap_lines(state, width, height, glyphs, textured=glyphs.ascii)
            assert all(line.cell_length <= width for line in lines), (width, height)
            assert all(line.plain for line in lines), "an empty line would have no ground"
            if glyphs.ascii:
                assert all(line.plain.isascii() for line in lines)


def test_without_colours_each_part_has_its_texture(told: SessionState) -> None:
    lines = text(heap_lines(told, 79, 9, UNICODE, textured=True))
    assert [line[1] for line in lines[2:9]] == ["#", "=", "+", "+", "+", "-", "."]
    assert lines[0].count("#") > 20 and " in use 53 % " in lines[0]


def test_glibc_and_jemalloc_in_their_own_words(tmp_path: Path) -> None:
    glibc = joined(look(heap_story(tmp_path / "g", allocator="glibc malloc")), 99, 13)
    assert "free in the arenas" in glibc and "fragmentation" in glibc and "FREE IN ARENAS" in glibc
    assert "thread caches" not in glibc and "metadata" not in glibc and "rate" not in glibc
    jemalloc = joined(look(heap_story(tmp_path / "j", allocator="jemalloc")))
    assert "dirty pages" in jemalloc and "╯ partly used" in jemalloc
    assert "retained: 12.0 GiB of address space" in jemalloc


def test_what_no_rss_has_is_said(told: SessionState) -> None:
    newest = told.heap.samples[-1]
    more = replace(told.heap, samples=(*told.heap.samples, newest._replace(free_bytes=newest.free_bytes + 900 * MIB)))
    assert "tcmalloc counts" in joined(replace(told, heap=more), 115, 13)
    assert "tcmalloc counts" not in joined(told, 115, 13)


@pytest.mark.parametrize(
    ("guest", "words", "enter"),
    [
        (GuestRow(0.8, 1, "waiting", ""), "This process has one thread", True),
        (GuestRow(0.8, 1, "refused", "", "cannot ask", "it is traced\x1b[2J by 77", "end 77"), "Cannot ask.", True),
        (GuestRow(0.8, 1, "off", "", "x", "y", "z"), "--no-guest", False),
        (GuestRow(0.8, 1, "busy", ""), "has not come back yet", False),
        (GuestRow(0.8, 1, "ready", "mimalloc"), "mimalloc has no figures", False),
        (
            GuestRow(0.8, 1, "ready", "mimalloc", "its figures do not tell", "y", "z", "", "release"),
            "do not tell",
            False,
        ),
        (GuestRow(STORY_END_S - 1, 1, "ready", ""), "Looking for the allocator", False),
    ],
    ids=lambda each: each.state if isinstance(each, GuestRow) else "",
)
def test_why_there_are_no_figures_and_what_to_do(tmp_path: Path, guest: GuestRow, words: str, enter: bool) -> None:
    state = look(heap_story(tmp_path, guest=guest))
    lines = text(heap_lines(state, 79, 9, UNICODE, textured=False))
    assert words in lines[0]
    assert any(line.startswith(" enter asks") for line in lines) is enter
    assert all(line.isprintable() for line in lines)
    assert len(lines) <= 10
    assert any("anonymous" in line and "87 %" in line for line in lines), "the kernel's word stands all the same"


def test_a_refusal_is_told_in_its_three_sentences(tmp_path: Path) -> None:
    guest = GuestRow(0.8, 1, "refused", "", "cannot ask pid 7", "gdb (pid 77) traces it", "end gdb, or detach it")
    lines = text(heap_lines(look(heap_story(tmp_path, guest=guest)), 79, 9, UNICODE, textured=False))
    assert lines[0].strip() == "Cannot ask pid 7."
    assert [line.strip() for line in lines[2:4]] == ["Gdb (pid 77) traces it.", "End gdb, or detach it."]


def test_one_that_can_only_release_offers_that(tmp_path: Path) -> None:
    what, why, todo = "mimalloc's figures do not tell", "nobody counts", "a release works"
    guest = GuestRow(0.8, 1, "ready", "mimalloc", what, why, todo, "", Action.RELEASE.value)
    state = look(heap_story(tmp_path, guest=guest))
    lines = text(heap_lines(state, 79, 9, UNICODE, textured=False))
    assert [line.strip() for line in lines[:4]] == [
        "Mimalloc's figures do not tell.",
        "x has it give free memory back",
        "Nobody counts.",
        "A release works.",
    ]
    assert caption(state) == "mimalloc, no figures"
    assert [button.able for button in buttons(state) if button.key == "x"] == [True]
    without = replace(state, heap=replace(state.heap, guest=guest._replace(actions="")))
    assert message(without).key == ""
    assert [button.able for button in buttons(without) if button.key == "x"] == [False]


def test_before_a_run_and_after_the_end(tmp_path: Path) -> None:
    old = look(storyboard(tmp_path / "old", finished=True), live=False, at_s=400)
    assert "Nobody has asked" in message(old).headline
    assert message(replace(old, runs=())).headline == "No process yet."
    ended = look(heap_story(tmp_path / "ended", finished=True), live=False, at_s=400)
    assert "at 00:03:55, its last" in headline(ended)
    assert "x returns it" not in joined(ended) and "returnable" in joined(ended)


def test_old_figures_are_said_to_be_old_and_why(told: SessionState) -> None:
    assert caption(told) == "tcmalloc · rate 7.5 live"
    later = replace(told, now_s=told.now_s + 8)
    assert caption(later) == "tcmalloc · rate 7.5 live · 9 s old"
    busy = replace(later, heap=replace(told.heap, guest=GuestRow(1.0, 1, "busy", "tcmalloc")))
    assert caption(busy).endswith("busy, 9 s old")
    assert "--no-guest" in caption(
        replace(told, heap=replace(told.heap, samples=(), guest=GuestRow(1.0, 1, "off", "")))
    )


def test_a_rate_of_somebody_else_is_said(tmp_path: Path) -> None:
    assert "rate 3.0, changed from outside" in headline(look(heap_story(tmp_path, outside_rate=3.0)))


def test_blocks_show_the_largest_in_an_order_that_can_be_read() -> None:
    classes, spans = blocks(TCMALLOC_DETAIL)
    assert text(classes.lines(3, 30, UNICODE)) == [
        " FREE OBJECTS BY SIZE 28.0 MiB",
        "      256 B █████████  7.4 MiB",
        "    1.0 KiB ███████▍   6.1 MiB",
        "       64 B ████▌      3.7 MiB",
    ]
    labels = [line.plain.split()[0] for line in spans.lines(9, 40, UNICODE)[1:]]
    assert labels == ["1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-127", "longer"]
    few = [line.plain.split()[0] for line in spans.lines(3, 40, UNICODE)[1:]]
    assert few == ["8-15", "64-127", "longer"], "the largest, still in the order of their lengths"
    arenas, bins = blocks(GLIBC_DETAIL)
    assert "of 340 MiB" in arenas.lines(3, 60, UNICODE)[1].plain
    assert bins.title == "FREE OBJECTS BY SIZE"
    assert blocks(AllocatorDetail()) == ()
    assert blocks(AllocatorDetail(spans=(SpanList(4, 2, 0, 65536),))) == (), "what the kernel has back is not there"


def test_the_heights_are_those_of_the_screen() -> None:
    assert ROOMY_FROM == 12 and BESIDE_FROM <= 95, "120x40 has 13 rows; 100 columns less box and scrollbar are 95"
