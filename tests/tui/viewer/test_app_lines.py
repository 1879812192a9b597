"""Header, figures, verdicts, footer and the table of keys: what they say, at both sizes, and that nothing jumps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from memtui.display.glyphs import ASCII, UNICODE, Glyphs
from memtui.display.keymap import KEYS, Context, Place, footer_keys, help_sections, markdown_table
from memtui.session.follower import SessionFollower
from memtui.session.heap import HeapState
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine, Tone
from memtui.viewer.app import MemtuiApp
from memtui.viewer.main_screen import graph_rows
from memtui.viewer.widgets.figures_line import figures_line
from memtui.viewer.widgets.header import header
from memtui.viewer.widgets.line import columns, fit
from memtui.viewer.widgets.verdicts import verdict_line
from memtui_profiler.session.rows import GuestRow
from tests.fixtures.sessions import END_S, GIB, STARTED, begin, storyboard


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> SessionState:
    return SessionFollower(storyboard(tmp_path_factory.mktemp("s"))).poll(STARTED + END_S, live=True)


def test_the_header_at_both_sizes(state: SessionState) -> None:
    assert header(state, UNICODE, 80).plain == (
        " memtui   ./rpc_server --port 9000          pid 4391  ● running 00:03:12  run 2"
    )
    assert header(state, UNICODE, 120).plain.startswith(
        " memtui   ./rpc_server --port 9000   pid 4391   ● running 00:03:12   run 2   tcmalloc 2.10 preloaded"
    )
    assert "* running" in header(state, ASCII, 80).plain
    assert "◌ stopping" in header(state, UNICODE, 80, busy="stopping").plain


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_line_is_wider_than_the_screen(state: SessionState, width: int, glyphs: Glyphs) -> None:
    identity = replace(state.identity, argv=("/very/long/" + "x" * 300, "--flag", "ü" * 50))
    longer = replace(state, identity=identity)
    assert header(longer, glyphs, width).cell_length <= max(width, 44)
    line = StatusLine("▲", "LEAK", "y" * 500, Tone.BAD, "1", "show")
    if width > 20:
        assert verdict_line(line, glyphs, width).cell_length == width


def test_a_long_path_gives_way_to_the_name_and_its_arguments(state: SessionState) -> None:
    argv = ("/root/.cache/memtui/demo/7008c43c661494c8/rpc_server", "--port", "9000")
    shown = header(replace(state, identity=replace(state.identity, argv=argv)), UNICODE, 80).plain
    assert "rpc_server --port 9000" in shown
    assert ".cache" not in shown


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("redis-server unixsocket:/var/run/redis/redis-server.sock", " redis-server "),
        ("nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", " nginx: "),
        ("/srv/my server/bin/rpc_server_of_a_long_name", " rpc_server_of_a_"),
    ],
)
def test_a_title_that_a_program_wrote_begins_with_its_name(state: SessionState, word: str, name: str) -> None:
    assert name in header(replace(state, identity=replace(state.identity, argv=(word,))), UNICODE, 80).plain


def test_hostile_words_reach_no_line(state: SessionState) -> None:
    identity = replace(state.identity, argv=("./a\x1b[2J[bold]", "\u202eevil\n"))
    plain = header(replace(state, identity=identity), UNICODE, 120).plain
    assert "[bold]" in plain
    assert plain.isprintable()
    sentence = verdict_line(StatusLine("x", "X", "a\x1b]0;t\x07b\nc[red]"), UNICODE, 80).plain
    assert sentence.isprintable()
    assert "[red]" in sentence


def test_the_figures_keep_their_places(state: SessionState) -> None:
    assert state.sample is not None
    lines = set()
    for rss, growth in ((5 << 20, None), (999 << 20, 5e9), (14 * GIB, -3e5), (142 * GIB, 10.0), (1023 * GIB, 1e3)):
        sample = state.sample._replace(rss_bytes=rss, shared_bytes=rss // 3)
        for width in (80, 120):
            plain = figures_line(replace(state, sample=sample, growth_bytes_per_s=growth), UNICODE, width).plain
            lines.add((width, plain.index("peak"), plain.index("■"), plain.index("▦"), len(plain)))
    assert len(lines) == 2


def test_the_figures_say_what_there_is(state: SessionState) -> None:
    plain = figures_line(replace(state, growth_bytes_per_s=1.2e6), UNICODE, 120).plain
    assert re.search(r"RSS +1\.5 GiB ▲ 1\.1M/s +peak 12\.6 GiB +■ anonymous +1\.4 GiB +▦ file 96\.\d MiB", plain)
    assert "cgroup  10 % of 16 GiB" in plain
    assert "12 threads" in plain
    assert "steady" in figures_line(replace(state, growth_bytes_per_s=5.0), UNICODE, 80).plain
    assert "10%/16G" in figures_line(state, UNICODE, 80).plain
    assert "swap" not in plain
    assert state.detail is not None
    swapped = replace(state, detail=state.detail._replace(swap_bytes=GIB))
    assert "swap  1.0 GiB" in figures_line(swapped, UNICODE, 140).plain


@pytest.mark.parametrize("width", [80, 100, 112, 120, 140])
def test_three_bands_fit_and_keep_their_places(state: SessionState, width: int) -> None:
    assert state.sample is not None
    places = set()
    for size, growth in ((999 << 20, 5e9), (14 * GIB, -3e5), (142 * GIB, None), (1 << 10, 10.0)):
        sample = state.sample._replace(rss_bytes=3 * size, in_use_bytes=size, kept_bytes=size)
        line = figures_line(replace(state, sample=sample, growth_bytes_per_s=growth), UNICODE, width)
        assert line.cell_length <= width
        assert "/16G" in line.plain or "of 16 GiB" in line.plain
        places.add(tuple(n for n, char in enumerate(line.plain) if char == "■"))
    assert len(places) == 1 and len(places.pop()) == 3


def test_the_bands_of_the_figures_add_up_and_have_the_graphs_textures(state: SessionState) -> None:
    assert state.sample is not None
    sample = state.sample._replace(rss_bytes=2 * GIB, in_use_bytes=GIB // 4, kept_bytes=int(1.25 * GIB))
    split = replace(state, sample=sample, growth_bytes_per_s=None)
    assert "■in use  256M ■kept  1.2G ■other  512M" in figures_line(split, UNICODE, 80).plain
    assert "■ in use  256 MiB  ■ kept  1.2 GiB  ■ outside  512 MiB" in figures_line(split, UNICODE, 120).plain
    assert "#in use" in figures_line(split, ASCII, 80, textured=True).plain
    assert "=kept" in figures_line(split, UNICODE, 80, textured=True).plain
    unasked = replace(split, sample=sample._replace(in_use_bytes=None))
    assert "anonymous" in figures_line(unasked, UNICODE, 120).plain


def test_swap_comes_before_the_limit_where_there_is_not_room_for_both(state: SessionState) -> None:
    assert state.sample is not None and state.detail is not None
    sample = state.sample._replace(in_use_bytes=1, kept_bytes=1)
    swapped = replace(state, sample=sample, detail=state.detail._replace(swap_bytes=3 * GIB))
    line = figures_line(swapped, UNICODE, 100).plain
    assert "swap  3.0G" in line


def test_the_header_says_attached_and_names_the_allocator_that_answers(state: SessionState) -> None:
    assert state.run is not None
    nameless = replace(state.run, row=state.run.row._replace(allocator=""))
    attached = replace(
        state,
        identity=replace(state.identity, attached=True),
        runs=(nameless,),
        heap=HeapState(guest=GuestRow(1.0, 2, "ready", "jemalloc")),
    )
    assert "running 00:03:12   attached   jemalloc" in header(attached, UNICODE, 120).plain
    assert "attached" in header(attached, UNICODE, 80).plain and "run 2" not in header(attached, UNICODE, 80).plain


def test_before_the_first_sample_the_figures_say_so(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.close()
    empty = SessionFollower(tmp_path).poll(STARTED, live=True)
    assert "no sample yet" in figures_line(empty, UNICODE, 80).plain
    assert "memtui" in header(empty, UNICODE, 80).plain


def test_the_footer_of_the_specification() -> None:
    at_80 = footer_keys(live=True, tab="leaks", width=80)
    assert at_80[0] == ("r", "relaunch")
    assert at_80[1] == ("-+", "rate")
    assert at_80[-2:] == (("?", "help"), ("q", "quit"))
    assert sum(len(key) + len(words) + 3 for key, words in at_80) <= 80
    assert ("/", "find") not in footer_keys(live=True, tab="output", width=120)
    assert all(key not in "r-+mtlxcs" for key, _ in footer_keys(live=False, tab="leaks", width=200))
    assert {("x", "release"), ("c", "check")} <= set(at_80)
    ended = {key for key, _ in footer_keys(live=True, tab="leaks", width=200, running=False)}
    assert {"r", "-+"} <= ended and ended.isdisjoint(set("lxcst"))
    attached = {key for key, _ in footer_keys(live=True, tab="leaks", width=200, attached=True)}
    assert {"l", "x", "c", "s", "-+"} <= attached and attached.isdisjoint(set("rtm"))


@pytest.mark.parametrize("place", list(Place))
def test_the_footer_names_no_key_of_the_leaks_that_does_nothing(place: Place) -> None:
    named = dict(footer_keys(live=False, tab="leaks", width=200, place=place))
    idle = {
        Place.TREE: "b", Place.ICICLE: "o", Place.ERRORS: "obS", Place.STACK: "ob", Place.FOLDED: "ob",
        Place.TYPING: "/vobeySzq", Place.EMPTY: "/vobeyS",
    }  # fmt: skip
    assert not named.keys() & set(idle.get(place, ""))
    enter = {
        Place.LIST: "stack", Place.GROUPS: "open", Place.TREE: "open", Place.ICICLE: "zoom in", Place.ERRORS: "stack",
        Place.FOLDED: "unfold", Place.TYPING: "keep",
    }  # fmt: skip
    assert named.get("enter") == enter.get(place)
    assert ("esc" in named) is (place not in (Place.EMPTY, Place.LIST, Place.GROUPS, Place.TREE))
    elsewhere = footer_keys(live=False, tab="events", width=200, place=place)
    assert elsewhere == footer_keys(live=False, tab="events", width=200)


def test_one_table_makes_bindings_help_and_readme() -> None:
    table = markdown_table()
    for key in KEYS:
        if key.help:
            assert f"| `{key.shown}` | {key.help} |" in table
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text("utf-8")
    assert table in readme
    assert [heading for heading, _ in help_sections()] == [context.value for context in Context]
    bound = MemtuiApp.BINDINGS
    assert len(bound) == sum(1 for key in KEYS if key.action)
    assert all(getattr(binding, "id", None) for binding in bound)


def test_every_glyph_has_an_ascii_twin() -> None:
    for name in Glyphs.__slots__:
        if name == "ascii":
            continue
        twin = getattr(ASCII, name)
        assert twin.isascii()
        if name.startswith("eighths"):
            assert len(UNICODE.eighths_right) % len(ASCII.eighths_right) == 0
            assert len(UNICODE.eighths_up) == len(ASCII.eighths_up)
        else:
            assert name in ("ellipsis", "caller") or len(twin) == columns(getattr(UNICODE, name)) == 1
    assert ASCII.plain("a → b · 10 547 ✗ 漢") == "a > b - 10 547 x ?"
    assert UNICODE.plain("→") == "→"


def test_text_is_cut_to_columns_not_characters() -> None:
    assert fit("漢字漢字", 5) == "漢字…"
    assert fit("short", 10) == "short"
    assert fit("abcdef", 0) == ""
    assert fit("abcdefgh", 6, "...") == "abc..."


@pytest.mark.parametrize(
    ("size", "rows"),
    [((80, 24), 9), ((80, 31), 16), ((80, 60), 16), ((120, 40), 16), ((120, 32), 12), ((100, 24), 10), ((60, 15), 6)],
)
def test_spare_rows_go_to_the_graph_up_to_sixteen(size: tuple[int, int], rows: int) -> None:
    assert graph_rows(*size) == rows
