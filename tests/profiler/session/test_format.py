"""docs/SESSION-FORMAT.md names every table, column and kind of event that there is, and its examples work."""

from __future__ import annotations

import inspect
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_profiler.events import EventKind
from memtui_profiler.recorder.commands import Commands
from memtui_profiler.session.writer import APPLICATION_ID, USER_VERSION
from tests.fixtures.sessions import storyboard


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "SESSION-FORMAT.md").read_text()


def columns_in(database: Path) -> dict[str, dict[str, bool]]:
    """By table, its columns and whether they may be NULL."""
    db = sqlite3.connect(database)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        table: {name: not required for _, name, _, required, _, _ in db.execute(f"PRAGMA table_info({table})")}
        for table in tables
    }


def test_the_page_has_every_table_and_column_and_no_other_table(page: str, tmp_path: Path) -> None:
    described = dict(re.findall(r"^- `(\w+)`: ((?:.+\n)(?:  .+\n)*)", page, re.MULTILINE))
    there = columns_in(storyboard(tmp_path) / "session.db")
    assert set(described) == set(there)
    for table, columns in there.items():
        named = set(re.findall(r"`(\w+\??)`", described[table]))
        assert {f"{name}?" if optional else name for name, optional in columns.items() if name != "id"} <= named, table


def test_the_page_has_the_numbers_the_events_and_the_questions(page: str) -> None:
    assert f"`PRAGMA application_id` is {APPLICATION_ID} (`{APPLICATION_ID:#X}`".replace("0X", "0x") in page
    assert f"format {USER_VERSION} (`PRAGMA user_version`)" in page
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    assert {kind.value for kind in EventKind} - rows <= {EventKind.VIEWER.value}
    verbs = set(re.findall(r'"(\w+)": self\._', inspect.getsource(Commands)))
    assert "relaunch" in verbs and rows >= verbs


def test_the_examples_print_what_a_session_has(page: str, tmp_path: Path) -> None:
    storyboard(tmp_path, finished=True)
    (shell,) = re.findall(r"```sh\n(.+?)```", page, re.DOTALL)
    (python,) = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    query = re.search(r'"(.+)"', shell)
    assert query is not None
    runs = sqlite3.connect(tmp_path / "session.db").execute(query[1]).fetchall()
    assert [run for run, _ in runs] == [1, 2] and all(size > 1 << 30 for _, size in runs)
    printed = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, capture_output=True, text=True, check=True)
    leaks = [line.split(" ", 2) for line in printed.stdout.splitlines()]
    assert leaks and all(size.isdigit() and objects.isdigit() and name != "?" for size, objects, name in leaks)
