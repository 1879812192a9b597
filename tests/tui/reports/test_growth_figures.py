"""Growth in the lists of the screen: samples in the place of objects, in rows, totals, headings and differences."""

from __future__ import annotations

from memtui.display.glyphs import UNICODE
from memtui.reports.arrangement import Arrangement, Query, arrange
from memtui.reports.changes import change_words, counting_samples, growth_words, noun_of, rss_words, was_words
from memtui.reports.pane_state import LeakPaneState
from memtui.reports.pattern import match_pattern
from memtui.reports.table import build_table
from memtui.text.difference import difference_lines
from memtui.viewer.leaks import summary
from memtui.viewer.leaks.record_list import record_columns, record_header, record_row
from memtui_parsers.report.difference import difference
from memtui_parsers.values import GrowthFacts
from tests.fixtures.leak_reports import a_growth_report, sample_report

MIB = 1 << 20
FIRST = a_growth_report()
LATER = a_growth_report(seconds=20.0, more_bytes=10 * MIB, more_samples=400)


def arranged(*, comparing: bool = False) -> Arrangement:
    shown = counting_samples(LATER)
    return arrange(build_table(shown, against=counting_samples(FIRST) if comparing else None), Query(), match_pattern)


def plain(text: str) -> str:
    return text.replace("\N{THIN SPACE}", " ")


def drawn(rows: Arrangement, width: int) -> list[str]:
    layout = record_columns(rows, width)
    header = "".join(text for text, _ in record_header(rows, layout, UNICODE))
    lines = ["".join(text for text, _ in record_row(rows, n, layout, UNICODE, cursor=False)) for n in range(len(rows))]
    return [plain(header), *map(plain, lines)]


def test_a_report_of_leaks_stays_as_it_is() -> None:
    report = sample_report()
    assert counting_samples(report) is report and noun_of(report) == "object"


def test_samples_take_the_place_of_objects() -> None:
    header, first, second = drawn(arranged(), 118)
    assert header.split() == ["BYTES▾", "SAMPLES", "SHARE", "KIND", "FUNCTION", "LOCATION"]
    assert first.split()[:3] == ["19.0", "MiB", "812"] and "open_session" in first
    assert second.split()[:3] == ["1.0", "MiB", "0"] and "(no stack)" in second


def test_the_line_below_begins_with_what_grew() -> None:
    state = LeakPaneState(LATER, 1, 2, "live at 10:05:12 · growth")
    assert plain(summary.report_line(state, arranged(), UNICODE)) == (
        "20.0 MiB grown in 20 s (1.0 MiB/s), 812 samples · live at 10:05:12 · growth · run 2 · 1 note"
    )


def test_what_nobody_was_seen_to_touch_is_said_to_be_that() -> None:
    table = arranged().table
    assert summary.leak_line(table, 1, None, UNICODE, 80)[0] == "nobody was seen to touch this memory first"  # type: ignore[arg-type]


def test_the_difference_of_two_reports_counts_samples() -> None:
    rows = arranged(comparing=True)
    state = LeakPaneState(LATER, 2, 2, "live at 10:05:22 · growth", since="since 10:05:12 (run 2, live)")
    assert plain(summary.report_line(state, rows, UNICODE)).startswith(
        "+10.0 MiB in 400 samples since 10:05:12 (run 2, live) · 20.0 MiB grown in 20 s"
    )
    delta = difference(counting_samples(FIRST), counting_samples(LATER)).deltas[0]
    assert was_words(delta, "at 10:05:12", UNICODE, "sample") == "was 9.0 MiB in 412 samples at 10:05:12"
    lines = list(difference_lines(FIRST, LATER, ("first", "later")))
    assert plain(lines[0]) == "+10.0 MiB in 400 samples from first to later"
    assert lines[1].startswith("before: 10.0 MiB grown in 10 s")


def test_words() -> None:
    assert change_words(5 * MIB, 0, UNICODE, "sample") == "+5.0 MiB in as many samples"
    growth = GrowthFacts(0.0, 4096, 4096, 0, 900 << 10, 2 * MIB, 1)
    assert growth_words(growth) == "4.0 KiB grown in 0 s", "no rate where no time has passed"
    assert rss_words(growth) == "RSS 900.0 KiB -> 2.0 MiB"
