"""A session that is damaged, or made to harm, while somebody looks at it: a line says so, and the screen goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.screens import Notebook, eventually, leaks_settled, viewer
from tests.fixtures.sessions import storyboard

NO_TIME = "INSERT INTO event (at_s, run, kind, text, detail) VALUES (9e999, 1, 'note', 'x', '{}')"


def change(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "session.db")) as db:
        db.executescript(script)


@pytest.mark.parametrize("script", [NO_TIME, "ALTER TABLE event RENAME TO e; CREATE VIEW event AS SELECT * FROM e"])
async def test_rows_that_cannot_be_are_told_and_the_rest_stays(tmp_path: Path, script: str) -> None:
    folder = storyboard(tmp_path / "s")
    app = viewer(folder, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        await eventually(pilot, lambda: leaks_settled(app), "the leaks are shown")
        before = app.state
        change(folder, script + "; INSERT INTO run_end (at_s, run, oom_killed) VALUES (9e999, 1, 0)")
        await eventually(pilot, lambda: any("damaged" in line.sentence for line in app.verdicts), "the damage is told")
        assert app.state.runs == before.runs
        await pilot.press("2")
        await eventually(pilot, lambda: app.main.panes.active == "heap", "keys still work")


async def test_a_report_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = storyboard(tmp_path / "s")
    change(
        folder,
        "CREATE TABLE l AS SELECT * FROM leak; DROP TABLE leak; ALTER TABLE l RENAME TO leak; UPDATE leak SET kind = 7",
    )
    app = viewer(folder, Notebook())
    async with app.run_test(size=(120, 40)) as pilot:
        await eventually(pilot, lambda: any("rows are damaged" in line.sentence for line in app.verdicts), "it is told")
        await pilot.press("2")
        await eventually(pilot, lambda: app.main.panes.active == "heap", "keys still work")
