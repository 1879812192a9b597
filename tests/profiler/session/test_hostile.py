"""A session may be damaged, or made by somebody to harm: it is read with bounds, or refused in a sentence."""

from __future__ import annotations

import contextlib
import io
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from pathlib import Path

import pytest

from memtui.commands.open import print_json, print_report
from memtui.session.follower import SessionFollower
from memtui.viewer.panes.log_tail import LogTail
from memtui_profiler.checkers.suppression_files import read_rules
from memtui_profiler.errors import UserError
from memtui_profiler.process.file_user import FileUser, acting_as
from memtui_profiler.run.output_log import OUTPUT_LOG
from memtui_profiler.session.checked import QueryDeadline, limit
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import Event, ReportNote
from tests.fixtures.sessions import storyboard

ENDLESS = "WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM r)"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return (storyboard(tmp_path_factory.mktemp("session"), end_s=164.0, finished=True) / "session.db").read_bytes()


@pytest.fixture
def folder(tmp_path: Path, template: bytes) -> Path:
    (tmp_path / "session.db").write_bytes(template)
    return tmp_path


def change(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "session.db")) as db:
        db.executescript(script)


def look_everywhere(folder: Path) -> None:
    """What ``open``, its formats and the viewer read of a session. Raises UserError, and nothing else."""
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")):
        for show in (print_report, print_json):
            show(folder)
    with closing(SessionFollower(folder)) as follower:
        for live in (False, True):
            follower.poll(time.time(), live=live)


def view(table: str, query: str) -> str:
    return f"ALTER TABLE {table} RENAME TO old; CREATE VIEW {table} AS {query}"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (view("report_note", f"{ENDLESS} SELECT id, 1 AS report, 'x' AS text FROM r"), "has a view, report_note"),
        (view("meta", f"{ENDLESS} SELECT id, 'k' AS key, 'v' AS value FROM r WHERE id < 0"), "has a view, meta"),
        (view("event", "SELECT 1 AS id, 0.0 AS at_s, 1 AS run, '' AS kind, hex(zeroblob(9e8)) AS text, '' AS detail"), "a view"),
        ("CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END", "has a trigger"),
        ("DROP TABLE report_note; CREATE VIRTUAL TABLE report_note USING fts5(report, text)", "table report_note is virtual"),
        (
            "DROP TABLE event; CREATE TABLE event (id INTEGER PRIMARY KEY, at_s REAL, run INTEGER, kind TEXT,"
            " text TEXT AS (hex(zeroblob(900000000))), detail TEXT)",
            "columns that are computed",
        ),
    ],
)  # fmt: skip
def test_what_is_a_query_of_its_author_is_not_run(folder: Path, script: str, why: str) -> None:
    change(folder, script)
    with pytest.raises(UserError, match=why):
        SessionReader(folder / "session.db")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="SQLite's limits cannot be set from Python 3.10 here")
def test_a_value_of_any_size_costs_no_memory(folder: Path) -> None:
    change(folder, "INSERT INTO report_note (report, text) VALUES (1, hex(zeroblob(50000000)))")
    with closing(SessionReader(folder / "session.db")) as reader, pytest.raises(UserError, match="too big"):
        reader.rows(ReportNote)


def test_a_query_that_takes_too_long_is_ended(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "session.db")) as db:
        limit(db, folder / "session.db")
        deadline = QueryDeadline(0.2)
        db.set_progress_handler(deadline.is_over, 10_000)
        deadline.start()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            db.execute(f"{ENDLESS} SELECT count(*) FROM r").fetchone()


@pytest.mark.parametrize("name", ["session.db", "session.db-wal", "session.db-journal", "session.db-shm"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_only_regular_files_are_opened(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    """SQLite waits for a FIFO without end, and creates what a link leads to."""
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(UserError, match="is no regular file"):
        SessionReader(folder / "session.db")


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE run_end SET at_s = 9e999",
        "UPDATE run_end SET at_s = 1e15",
        "UPDATE sample SET at_s = -9e999 WHERE id = 5",
        "UPDATE meta SET value = '9e999' WHERE key IN ('started', 'utc_offset')",
        "UPDATE meta SET value = 'DEEP'; UPDATE event SET detail = 'DEEP'",
        "UPDATE event SET detail = '[1]'; UPDATE run SET argv = '7', environment = 'null', environment_names = '{}'",
        "UPDATE meta SET value = '9e99' WHERE key = 'started'; UPDATE meta SET value = '-1' WHERE key = 'page_bytes'",
        "UPDATE leak SET size_bytes = -9223372036854775808, objects = 9223372036854775807",
        "UPDATE leak SET stack = x'ffffffff'; UPDATE leak_frame SET address = 'no', offset = '-1'",
        "UPDATE event SET text = CAST(x'fffe41' AS TEXT)",
    ],
)
def test_values_that_none_has_are_read_or_refused(folder: Path, script: str) -> None:
    change(folder, script.replace("DEEP", "[" * 100_000))
    with contextlib.suppress(UserError):
        look_everywhere(folder)


def test_rows_without_what_they_must_have_are_refused(folder: Path) -> None:
    """A flipped bit in a row's header makes NULL of a number, or bytes of a text."""
    change(folder, "CREATE TABLE other AS SELECT * FROM leak; DROP TABLE leak; ALTER TABLE other RENAME TO leak")
    change(folder, "UPDATE leak SET size_bytes = NULL")
    with (
        closing(SessionReader(folder / "session.db")) as reader,
        pytest.raises(UserError, match="leak is damaged: size_bytes"),
    ):
        load_report(reader, 1)


def test_a_session_that_may_not_be_read_is_refused(template: bytes) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can read as another user")
    with tempfile.TemporaryDirectory() as name:  # not below pytest's own folder, which shows another user nothing
        database = Path(name, "session.db")
        database.write_bytes(template)
        database.chmod(0o600)
        Path(name).chmod(0o755)
        with acting_as(FileUser(65534, 65534)), pytest.raises(UserError, match="not readable"):
            SessionReader(database)


def test_a_damaged_text_is_shown_as_far_as_it_is_one(folder: Path) -> None:
    change(folder, "UPDATE event SET text = CAST(x'61ff62' AS TEXT) WHERE id = 1")
    with closing(SessionReader(folder / "session.db")) as reader:
        assert reader.rows(Event)[0].text == "a\N{REPLACEMENT CHARACTER}b"


def test_flipped_bits_are_sentences(folder: Path, template: bytes) -> None:
    dice = random.Random(7)
    database = folder / "session.db"
    for _ in range(60):
        damaged = bytearray(template)
        for _ in range(dice.choice((1, 1, 3, 20))):
            at = dice.choice((dice.randrange(len(damaged)), dice.randrange(4096)))
            damaged[at] ^= 1 << dice.randrange(8)
        database.write_bytes(damaged)
        with contextlib.suppress(UserError):
            look_everywhere(folder)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/etc/hostname", path), os.mkdir])
def test_an_output_log_that_is_no_file_is_empty(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """The attack: a FIFO, for which the viewer would wait with its whole screen."""
    make(tmp_path / OUTPUT_LOG)
    tail = LogTail(tmp_path)
    tail.poll()
    tail.earlier()
    assert not tail.lines


def test_suppression_files_that_are_no_files_are_told(tmp_path: Path) -> None:
    """A session names its own, and may come from anywhere."""
    os.mkfifo(tmp_path / "fifo")
    paths = [str(tmp_path / "fifo"), "/dev/zero", "/dev/tty", "/dev/urandom", str(tmp_path)]
    rules, notes = read_rules(paths)
    assert not rules and len(notes) == len(paths)
    assert all(note.startswith("suppressions not read: ") for note in notes)
