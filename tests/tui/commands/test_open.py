"""What a path is, told from its contents alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from memtui.commands.open import contents_of, print_report, session_of
from memtui_parsers.formats.sniff import CHUNK_BYTES, FileKind
from memtui_profiler.errors import UserError
from tests.fixtures import sessions

HEAP = b"heap profile:      1:     8 [     1:     8] @ heapprofile\n     1:     8 [     1:     8] @ 0x401000\n\nMAPPED_LIBRARIES:\n"
LOG = (
    b"Leak check _main_ detected leaks of 8 bytes in 1 objects\nThe 1 largest leaks:\n"
    b"Leak of 8 bytes in 1 objects allocated from:\n\t@ 401000 f\n"
)


def test_names_do_not_matter(tmp_path: Path) -> None:
    session = sessions.storyboard(tmp_path / "s", end_s=164.0)
    assert contents_of(session) is FileKind.SESSION
    (session / "session.db").rename(tmp_path / "photo.jpg")
    assert contents_of(tmp_path / "photo.jpg") is FileKind.SESSION
    (tmp_path / "a.log").write_bytes(HEAP)
    assert contents_of(tmp_path / "a.log") is FileKind.HEAP
    (tmp_path / "a.heap").write_bytes(LOG)
    assert contents_of(tmp_path / "a.heap") is FileKind.HEAPCHECK_LOG


def test_a_checkers_words_are_found_behind_much_output(tmp_path: Path) -> None:
    noise = b"request done\n" * (CHUNK_BYTES // 13)
    (tmp_path / "log").write_bytes(noise[: CHUNK_BYTES - 10] + LOG)
    assert contents_of(tmp_path / "log") is FileKind.HEAPCHECK_LOG


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"hello\n", b"SQLite format 2", b"\x7fELF"])
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UserError):
        contents_of(tmp_path / "f")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("fifo", "socket", "folder", "missing", "missing/below"):
            with pytest.raises(UserError):
                contents_of(tmp_path / name)


def test_a_database_under_another_name_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = sessions.storyboard(tmp_path / "s", end_s=164.0)
    copy = tmp_path / "copy.db"
    (session / "session.db").rename(copy)
    copy.chmod(0o400)
    with session_of(copy) as folder:
        assert print_report(folder, ascii=True) == 0
    assert "server.cpp:88" in capsys.readouterr().out
    assert not folder.exists() and copy.exists()


def test_a_session_without_a_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions.storyboard(tmp_path / "s", end_s=164.0, mode="off")
    with session_of(tmp_path / "s") as folder:
        print_report(folder)
    assert "no leak report" in capsys.readouterr().out


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(UserError), session_of(tmp_path / "other.db") as folder:
        print_report(folder)


def test_a_log_alone_gives_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "saved.log").write_bytes(b"the program's own words\n" + LOG)
    with session_of(tmp_path / "saved.log") as folder:
        print_report(folder)
    out = capsys.readouterr().out
    assert out.startswith("8 B leaked in 1 object") and " f" in out


def test_a_log_with_its_dump_beside_it_is_read_from_the_dump(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.1._main_-end.heap").write_bytes(HEAP.replace(b"8", b"9"))
    words = b'pprof ./p "/gone/p.1._main_-end.heap" --inuse_objects --lines --heapcheck\n'
    (tmp_path / "saved.log").write_bytes(LOG + words)
    with session_of(tmp_path / "saved.log") as folder:
        print_report(folder)
    assert capsys.readouterr().out.startswith("9 B leaked in 1 object")


@pytest.mark.parametrize("junk", [b"heap profile: nonsense\n", b"heap profile:\n\xff\x00", HEAP[:60]])
def test_a_broken_dump_is_one_sentence_or_its_whole_part(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "x.heap").write_bytes(junk)
    try:
        with session_of(tmp_path / "x.heap") as folder:
            print_report(folder)
    except UserError as error:
        assert "\n" not in str(error)
