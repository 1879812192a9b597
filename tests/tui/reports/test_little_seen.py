"""Where a check saw little, each place that says "no leaks found" says in how much."""

from __future__ import annotations

import io
from dataclasses import replace

from memtui.display.glyphs import glyphs_for
from memtui.reports.pane_state import LeakPaneState, empty_of
from memtui.text.report import summary
from memtui_parsers.report.json_reader import parse_report_json
from memtui_parsers.report.json_writer import to_json
from memtui_parsers.values import LeakReport, ReportStatus

NOTE = "the check saw 72.7 KiB, and the process had up to 40.1 MiB of anonymous memory: the rest was freed before"
REPORT = LeakReport("heapcheck", "normal", ReportStatus.COMPLETE, notes=(NOTE,), seen_bytes=74400)


def test_the_first_line_says_in_how_much_nothing_was_found() -> None:
    glyphs = glyphs_for(ascii=True)
    assert summary(REPORT, glyphs) == "no leaks found in the 72.7 KiB that the check saw (heapcheck normal)"
    assert summary(replace(REPORT, seen_bytes=None), glyphs) == "no leaks found (heapcheck normal)"


def test_the_screen_says_it_with_the_reason() -> None:
    empty = empty_of(LeakPaneState(REPORT))
    assert empty is not None
    assert empty.headline == "Checked (normal): no leaks found in the 72.7 KiB that the check saw."
    assert empty.lines[0] == f"T{NOTE[1:]}."


def test_json_keeps_it() -> None:
    for report in (REPORT, replace(REPORT, seen_bytes=None)):
        text = to_json(report, "1")
        assert parse_report_json(io.BytesIO(text.encode())).seen_bytes == report.seen_bytes
        assert ("seen_bytes" in text) == (report.seen_bytes is not None)
