"""How a name finds a session, and what may be removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from memtui.commands.sessions import find, run_sessions, table
from memtui.options.parse import Sessions
from memtui_profiler.errors import UserError
from memtui_profiler.session import folders
from memtui_profiler.session.folders import SessionFolder, hold_lock
from memtui_profiler.words import age_words
from tests.fixtures import sessions


def folder(name: str) -> SessionFolder:
    return SessionFolder(Path("/x") / name, False, 1, 0.0)


FOUND = [folder("20261123-100000-a-1"), folder("20261123-100000-a-11"), folder("20261124-090000-b-2")]


def test_a_whole_name_wins_over_a_beginning() -> None:
    assert find("20261123-100000-a-1", FOUND) is FOUND[0]
    assert find("20261124", FOUND) is FOUND[2]


@pytest.mark.parametrize("name", ["20261123", "nothing"])
def test_a_name_that_is_none_or_many(name: str) -> None:
    with pytest.raises(UserError) as caught:
        find(name, FOUND)
    assert caught.value.exit_code == 2


def test_columns_are_aligned() -> None:
    assert table([("A", "LONG", "X"), ("wide", "b", "")]) == ["A     LONG  X", "wide  b"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86400 * 12.5, "12 d")],
)
def test_ages(seconds: float, words: str) -> None:
    assert age_words(seconds) == words


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return folders.sessions_root()


def test_the_list_says_what_leaked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions.storyboard(home / "20261123-100000-rpc_server-1", end_s=165.0, finished=True)
    assert run_sessions(Sessions(())) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["SESSION", "STATE", "SIZE", "AGE", "LEAKS", "TARGET"]
    assert "finished" in line and "42.7 MiB" in line and line.endswith("./rpc_server --port 9000")


def test_a_live_session_is_as_old_as_its_start(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is recorded its file changes now and then, which would say nothing."""
    sessions.storyboard(home / "20261123-100000-rpc_server-1", end_s=165.0)
    monkeypatch.setattr(folders, "is_live", lambda _: True)
    monkeypatch.setattr("time.time", lambda: sessions.STARTED + 7 * 60)
    assert run_sessions(Sessions(())) == 0
    assert "  7 min  " in capsys.readouterr().out


def test_no_sessions_is_no_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_sessions(Sessions(())) == 0
    assert "memtui PROGRAM" in capsys.readouterr().out


def test_a_session_that_cannot_be_read_is_listed_all_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "broken").mkdir(parents=True)
    (home / "broken" / "session.db").write_bytes(b"no database at all" * 100)
    assert run_sessions(Sessions(())) == 0
    assert "broken" in capsys.readouterr().out


def test_all_names_are_known_before_the_first_goes(home: Path) -> None:
    kept = sessions.storyboard(home / "a", end_s=164.0)
    with pytest.raises(UserError):
        run_sessions(Sessions(("a", "b")))
    assert kept.exists()


def test_a_live_session_stays(home: Path) -> None:
    live = sessions.storyboard(home / "a", end_s=164.0)
    hold_lock(live)
    with pytest.raises(UserError):
        run_sessions(Sessions(("a",)))
    assert live.exists()
