"""The list's rows and the stack's lines as text: every width, both character sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from memtui.display.glyphs import ASCII, UNICODE, Glyphs
from memtui.reports.arrangement import Arrangement, Query, arrange
from memtui.reports.filter import parse_filter
from memtui.reports.pane_state import LeakPaneState
from memtui.reports.pattern import match_pattern
from memtui.reports.scope import Scope
from memtui.reports.table import Grouping, LeakTable, Order, build_table
from memtui.viewer.leaks import summary
from memtui.viewer.leaks.record_list import (
    lead_pieces,
    notes_words,
    order_at,
    record_columns,
    record_header,
    record_row,
)
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.leaks.stack_lines import StackLine, first_stop, note_lines, record_section, stack_lines, stops_of
from memtui_parsers.values import LeakKind
from tests.fixtures.leak_reports import frame, large_report, record, recorded, sample_report

TABLE: LeakTable = build_table(sample_report())
ROWS: Arrangement = arrange(TABLE, Query(), match_pattern)


def thin(words: str) -> str:
    return words.replace("\N{THIN SPACE}", " ")


def row(position: int, width: int, look: Glyphs = UNICODE, *, cursor: bool = False, rows: Arrangement = ROWS) -> str:
    pieces = record_row(rows, position, record_columns(rows, width), look, cursor=cursor)
    return thin("".join(text for text, _ in pieces))


def stack_text(
    index: int, width: int = 60, chosen: int | None = None, look: Glyphs = UNICODE, *, unfolded: bool = False
) -> list[str]:
    return stack_of(TABLE, index, Sources(recorded, local=False), width, chosen, look, unfolded=unfolded)


def stack_of(
    table: LeakTable,
    index: int,
    sources: Sources,
    width: int = 60,
    chosen: int | None = None,
    look: Glyphs = UNICODE,
    *,
    unfolded: bool = False,
    heading: tuple[str, ...] = (),
) -> list[str]:
    sections = (record_section(table, index),)
    stops = stops_of(sections, unfolded=unfolded)
    at = first_stop(sections, stops) if chosen is None else chosen
    return texts(stack_lines(sections, stops, at, sources, look, width, heading=heading))


def texts(lines: tuple[StackLine, ...]) -> list[str]:
    return ["".join(text for text, _ in line.pieces).rstrip() for line in lines]


def test_the_rows_of_80_columns() -> None:
    layout = record_columns(ROWS, 80)
    header = record_header(ROWS, layout, UNICODE)[0][0]
    assert header == "     BYTES▾ OBJECTS  SHARE    FUNCTION                                 LOCATION "
    assert row(0, 80, cursor=True).startswith("▶ 41.2 MiB   10 547  ██████▊  open_session(Conn&) ")
    assert row(1, 80).startswith("   1.3 MiB      412  ▎        Frame::decode<Hello> ")
    assert row(0, 80).rstrip().endswith("server.cpp:88")


def test_every_row_and_header_fills_its_width_exactly() -> None:
    wide_objects = build_table(replace(sample_report(), total_objects=12_345_678_901))
    for table in (TABLE, build_table(large_report(50)), wide_objects):
        for grouping in Grouping:
            rows = arrange(table, Query(grouping=grouping, order=Order.LOCATION), match_pattern)
            for width in (*range(24, 140, 7), 80, 72, 200):
                for beside in (False, True):
                    layout = record_columns(rows, width, beside_stack=beside)
                    for look in (UNICODE, ASCII):
                        for position in range(min(5, len(rows))):
                            pieces = record_row(rows, position, layout, look, cursor=True)
                            assert sum(cell_len(text) for text, _ in pieces) == width
                            assert not look.ascii or all(text.isascii() for text, _ in pieces)
                        header = record_header(rows, layout, look)
                        assert sum(cell_len(text) for text, _ in header) == width


def test_wide_characters_do_not_shift_columns() -> None:
    wide = record("1", 5, 1, frame("関数の名前はとても長いものです(設定値)", "/src/とても長い名前のファイル.cpp", 12))
    rows = arrange(build_table(replace(sample_report(), leaks=(wide,))), Query(), match_pattern)
    for width in range(24, 100):
        for look in (UNICODE, ASCII):
            pieces = record_row(rows, 0, record_columns(rows, width), look, cursor=False)
            assert sum(cell_len(text) for text, _ in pieces) == width


def test_figures_keep_their_column_at_any_size() -> None:
    sizes = (1, 999, 1000, 1 << 20, 999 << 30, 1 << 50)
    leaks = tuple(record(f"{n}", size, 1, frame("f", "/a.cpp", 1)) for n, size in enumerate(sizes))
    rows = arrange(build_table(replace(sample_report(), leaks=leaks)), Query(), match_pattern)
    ends = {row(position, 80, rows=rows).index("B") for position in range(len(rows))}
    assert ends == {9}


def test_wide_lists_have_average_percent_and_kind() -> None:
    line = row(0, 130)
    assert "4.0 KiB" in line and "96.4 %" in line and "not-freed" in line
    assert "not-freed" not in row(0, 80)


def test_mixed_kinds_show_where_there_is_room() -> None:
    report = sample_report()
    mixed = replace(report, leaks=(replace(report.leaks[0], kind=LeakKind.DEFINITELY_LOST), *report.leaks[1:]))
    rows = arrange(build_table(mixed), Query(), match_pattern)
    assert "definitely-lost" in row(0, 96, rows=rows)
    assert summary.short_heading(rows, 0, UNICODE) == ("definitely-lost",)


def test_the_sorted_column_is_marked() -> None:
    for order, title in ((Order.OBJECTS, "OBJECTS▾"), (Order.FUNCTION, "FUNCTION▾"), (Order.LOCATION, "LOCATION▾")):
        rows = arrange(TABLE, Query(order=order), match_pattern)
        header = record_header(rows, record_columns(rows, 80), UNICODE)[0][0]
        assert title in header and header.count("▾") == 1


def test_a_click_on_a_title_names_its_order() -> None:
    layout = record_columns(ROWS, 120, beside_stack=True)
    header = record_header(ROWS, layout, UNICODE)[0][0]
    for title, order in (
        ("BYTES", Order.BYTES),
        ("OBJECTS", Order.OBJECTS),
        ("AVERAGE", Order.AVERAGE),
        ("FUNCTION", Order.FUNCTION),
        ("LOCATION", Order.LOCATION),
    ):
        assert order_at(layout, header.index(title) + 1) is order
    assert order_at(layout, 0) is None


@pytest.mark.parametrize("width", [60, 50, 40, 24])
def test_narrow_lists_keep_bytes_function_and_location_longest(width: int) -> None:
    line = row(0, width).split()
    assert line[:2] == ["41.2", "MiB"] and "open_sess" in row(0, width)
    assert ("server.cpp:88" in line) is (width > 24)


def test_a_long_location_keeps_its_line_number() -> None:
    long = record("1", 5, 1, frame("f", "/a/an_exceptionally_long_file_name.cpp", 1234))
    rows = arrange(build_table(replace(sample_report(), leaks=(long,))), Query(), match_pattern)
    assert row(0, 80, rows=rows).rstrip().endswith("…ile_name.cpp:1234")


@pytest.mark.parametrize(
    ("share", "bar"), [(0.0, ""), (1e-9, "▏"), (0.5, "████"), (0.964, "███████▊"), (1.0, "████████"), (7.0, "████████")]
)
def test_bars(share: float, bar: str) -> None:
    assert UNICODE.share_bar(share, 8) == bar
    assert ASCII.share_bar(1e-9, 8) == "#"


def test_the_notes_row_says_how_many_and_the_first() -> None:
    pieces = lead_pieces(notes_words(("Thread stacks were not found.", "Cut.")), "note", 40, UNICODE, cursor=False)
    assert "".join(text for text, _ in pieces).rstrip() == "  ◆ 2 notes: Thread stacks were not fou…"


def test_the_stack_of_the_mock_up() -> None:
    assert stack_text(0) == [
        " open_session(Conn&)  server.cpp:88",
        "   86 │ if (!c.hello())",
        "   87 │   return nullptr;",
        "▶  88 │ auto *s = new Session(c);  41.2 MiB",
        "   89 │ registry.add(s->id);",
        " handle_rpc(int)  server.cpp:131",
        " worker(Queue&)  pool.cpp:57",
        " … 4 runtime frames",
    ]


def test_another_frames_line_has_no_bytes() -> None:
    assert stack_text(0, chosen=1) == [
        " open_session(Conn&)  server.cpp:88",
        " handle_rpc(int)  server.cpp:131",
        "▶ 131 │ open_session(c);",
        " worker(Queue&)  pool.cpp:57",
        " … 4 runtime frames",
    ]


def test_runtime_frames_unfold() -> None:
    lines = stack_text(0, unfolded=True)
    assert lines[-3:] == [" std::thread::_M_run()  libstdc++.so.6", " start_thread  libc.so.6", " clone3  libc.so.6"]


def test_a_single_library_frame_is_not_folded_and_missing_source_names_the_path() -> None:
    lines = stack_text(3)
    assert lines[:3] == [
        " strdup  libc.so.6",
        " parse_peer(char const*)  peer.cpp:19",
        "   no source recorded for /srv/relay/src/peer.cpp",
    ]


def test_the_chosen_frames_name_is_whole() -> None:
    assert stack_text(1, width=40)[:3] == [
        " relay::codec::Frame::decode<relay::",
        " codec::Hello>(char const*, unsigned",
        " long)",
    ]
    assert stack_text(1, width=40)[3] == "   codec.h:210"


@pytest.mark.parametrize("width", [1, 5, 9, 17, 30, 46, 80])
@pytest.mark.parametrize("look", [UNICODE, ASCII])
def test_no_stack_line_of_the_sample_is_wider_than_the_pane(width: int, look: Glyphs) -> None:
    for index in range(5):
        lines = stack_text(index, max(width, 20), look=look)
        assert all(cell_len(line) <= max(width, 20) for line in lines)
        assert not look.ascii or all(line.isascii() for line in lines)
        stack_text(index, width, look=look)


def test_a_record_without_a_stack_says_so() -> None:
    table = build_table(replace(sample_report(), leaks=(record("1", 5, 1),)))
    assert stack_of(table, 0, Sources(local=False)) == ["The checker recorded no stack for these."]
    assert summary.leak_line(table, 0, Sources(local=False), UNICODE, 60)[0] == "no stack was recorded"


def test_notes_are_wrapped_in_full() -> None:
    lines = texts(note_lines(("One two three four five six.", "Seven."), UNICODE, 20))
    assert lines == [" ◆ One two three", "   four five six.", " ◆ Seven."]


def test_the_lines_below_the_list() -> None:
    state = LeakPaneState(sample_report(), 1, run=2)
    assert thin(summary.report_line(state, ROWS, UNICODE)) == (
        "at exit · draconian · run 2 · 42.7 MiB in 11 130 objects · 1 note"
    )
    where, code, callers = summary.leak_line(TABLE, 0, Sources(recorded, local=False), UNICODE, 78)
    assert (where, code.strip(), callers) == ("server.cpp:88", "auto *s = new Session(c);", "◀ handle_rpc ◀ worker")
    assert len(where + code + callers) == 78
    assert summary.leak_line(TABLE, 0, Sources(recorded, local=False), UNICODE, 54)[2] == "◀ handle_rpc ◀ …"
    for width in range(10, 100):
        assert cell_len("".join(summary.leak_line(TABLE, 0, Sources(recorded), UNICODE, width))) <= width


def test_what_a_filter_leaves() -> None:
    def said(text: str) -> str:
        return summary.filter_line(arrange(TABLE, Query(Scope(parse_filter(text))), match_pattern), UNICODE)

    assert said("") == "5 of 5 records, 100 % of bytes"
    assert said("handle_rpc") == "3 of 5 records, >99 % of bytes"
    assert said("strdup") == "1 of 5 records, <1 % of bytes"
    assert said("nothing") == "0 of 5 records, 0 % of bytes"
    assert said("re:(").startswith("no pattern: ")


def test_the_caption_for_the_tab_bar() -> None:
    assert summary.caption(ROWS, UNICODE) == "by stack · bytes▾"
    assert summary.caption(ROWS, ASCII) == "by stack - bytesv"
    inside = arrange(TABLE, Query(Scope(within=(Grouping.LIBRARY, "rpc_server"))), match_pattern)
    assert summary.caption(inside, UNICODE) == "in rpc_server · bytes▾"
