"""memtui keeps nothing where another user could change it, and starts nothing that another user could have put there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.helper_process import find_program
from memtui_profiler.own_folder import foreign_part
from memtui_profiler.run.scratch_folder import scratch_folder
from memtui_profiler.session import folders
from tests.fixtures.command_line import run_memtui

ANOTHER_USER = 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def _give_away(folder: Path) -> None:
    os.chown(folder, ANOTHER_USER, ANOTHER_USER)


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o777)


def _open_to_a_group(folder: Path) -> None:
    os.chown(folder, -1, ANOTHER_USER)
    folder.chmod(0o770)


SPOILED = [
    pytest.param(_give_away, "belongs to user 54321", marks=as_root),
    pytest.param(_open_to_all, "every user may write to", id="all"),
    pytest.param(_open_to_a_group, "group 54321 may write to", marks=as_root),
]


@pytest.mark.parametrize(("spoil", "why"), SPOILED)
@pytest.mark.parametrize("which", ["home", "home/state", "home/state/memtui/sessions"])
def test_a_folder_that_another_user_can_change_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], why: str, which: str
) -> None:
    folder = tmp_path / "home/state/memtui/sessions"
    assert foreign_part(folder, make=True) == "" and foreign_part(folder) == ""
    spoil(tmp_path / which)
    assert why in foreign_part(folder) and str(tmp_path / which) in foreign_part(folder)


@as_root
def test_a_link_of_another_users_is_not_followed(tmp_path: Path) -> None:
    """In a folder where everybody may make files, as /tmp, what was made there first counts."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    link = tmp_path / "shared" / "link"
    link.symlink_to("../mine")
    assert foreign_part(link / "sessions", make=True) == ""
    os.chown(link, ANOTHER_USER, ANOTHER_USER, follow_symlinks=False)
    assert "belongs to user 54321" in foreign_part(link / "sessions")
    link.rename(tmp_path / "inner")
    (tmp_path / "outer").symlink_to(tmp_path / "inner")
    assert "belongs to user 54321" in foreign_part(tmp_path / "outer")


def test_links_that_lead_nowhere_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="levels of symbolic links"):
        foreign_part(tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        foreign_part(tmp_path / "file" / "sessions", make=True)


def test_new_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        session = folders.create("server", root=tmp_path / "state" / "memtui" / "sessions")
    finally:
        os.umask(before)
    made = [folder for folder in (session, *session.parents) if folder.is_relative_to(tmp_path / "state")]
    assert [folder.stat().st_mode & 0o777 for folder in made] == [0o700] * 4


@as_root
@pytest.mark.parametrize("command", [("--plain", "sleep", "0"), ("check", "sleep", "0"), ("sessions",)])
def test_root_keeps_no_session_in_another_users_home(tmp_path: Path, command: tuple[str, ...]) -> None:
    """The attack: ``sudo -E`` leaves HOME; its owner puts a folder of his own in the place of the session's."""
    home = tmp_path / "eve"
    (home / ".local/state/memtui/sessions").mkdir(parents=True)
    (home / "tmp").mkdir()
    for folder in (home, *home.rglob("*")):
        _give_away(folder)
    variables = {"XDG_STATE_HOME": "", "XDG_CACHE_HOME": "", "HOME": str(home), "TMPDIR": str(home / "tmp")}
    ended = run_memtui(tmp_path, command, extra=variables)
    assert ended.returncode == 3 and ended.stderr.count("\n") == 1
    assert f"{home} belongs to user 54321" in ended.stderr and "set " in ended.stderr
    made = {path.relative_to(home).as_posix() for path in home.rglob("*")}
    assert made == {".local", ".local/state", ".local/state/memtui", ".local/state/memtui/sessions", "tmp"}


@as_root
def test_root_opens_no_report_among_another_users_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _give_away(tmp_path)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"belongs to user 54321.*set TMPDIR"), scratch_folder("memtui-"):
        pass
    assert list(tmp_path.iterdir()) == []


def _program(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "c++filt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_no_program_is_taken_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path)
    good = _program(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    for path in ("", ":", ".", "bin", "./bin:", f"{tmp_path}/none"):
        monkeypatch.setenv("PATH", path)
        assert find_program("c++filt") is None, path
    monkeypatch.setenv("PATH", f".:{tmp_path}/bin")
    assert find_program("c++filt") == find_program("c++filt", f":{tmp_path}/bin") == str(good)
    assert find_program("./c++filt") is None and find_program(str(good)) == str(good)


@as_root
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_root_takes_no_program_from_a_folder_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    _program(tmp_path / "theirs")
    good = _program(tmp_path / "bin")
    (tmp_path / "theirs").chmod(mode)
    os.chown(tmp_path / "theirs", ANOTHER_USER if mode == 0o755 else 0, 0)
    monkeypatch.setenv("PATH", f"{tmp_path}/theirs:{tmp_path}/bin")
    assert find_program("c++filt") == str(good)
