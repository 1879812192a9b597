from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memtui.display.glyphs import UNICODE
from memtui.session.report_names import report_title
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import Identity, ReportView, SessionState
from memtui.viewer.dialogs import report_list
from memtui.viewer.dialogs.report_list import ReportList
from memtui_profiler.session.series import Series

ONE = ReportView(1, 1, "heapprofile", "profile", "live", complete=True, total_bytes=1 << 20, total_objects=10)
IDENTITY = Identity(wall_origin_s=1.7e9)


def session(reports: int) -> SessionState:
    views = tuple(replace(ONE, id=n, at_s=10.0 * n) for n in range(1, reports + 1))
    return SessionState(Path("/none"), IDENTITY, 0.0, False, Series(), reports=views)


def test_a_line_costs_the_same_however_many_reports_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(view: ReportView, identity: Identity) -> str:
        nonlocal calls
        calls += 1
        return report_title(view, identity)

    state = session(500)
    listed = ReportList(state, ReportsShown(view=state.reports[-1]), UNICODE)
    monkeypatch.setattr(report_list, "report_title", counted)
    lines = [str(listed.draw_header(86)), *(str(listed.draw_row(row, 86, on_cursor=row == 0)) for row in range(20))]
    assert len({len(line.rstrip("\n")) for line in lines[2:]}) == 1, "columns"
    assert 0 < calls <= 20


def test_each_is_set_beside_the_one_before_of_its_kind() -> None:
    state = session(4)
    mixed = replace(state, reports=(*state.reports[:2], replace(state.reports[2], checker="lsan"), state.reports[3]))
    before = ReportList(mixed, ReportsShown(), UNICODE).before
    assert {n: None if view is None else view.id for n, view in before.items()} == {1: None, 2: 1, 3: None, 4: 2}
