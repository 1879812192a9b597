"""A leak that was suppressed is gone: for the tool whose syntax the file is in, and for memtui whichever tool found it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from memtui_parsers.report.suppressions import Syntax, syntax_of
from memtui_parsers.values import LeakKind, LeakReport
from memtui_profiler.checkers.suppression_files import add_suppression
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import ReportRow
from memtui_profiler.session.writer import DATABASE
from tests.fixtures.command_line import run_memtui
from tests.fixtures.leaky import build

LOST = {LeakKind.DEFINITELY_LOST, LeakKind.DIRECT, LeakKind.UNREACHABLE}


def checked(home: Path, mode: str, *options: str) -> tuple[int, LeakReport, str]:
    """The exit code, the report as the session has it, and what was said on stderr."""
    home.mkdir()
    program = build("deep", flags=("-O0",))
    done = run_memtui(home, ["check", "--keep", "--check", mode, *options, str(program.path)])
    kept = re.search(r"session kept: (.+)", done.stderr)
    assert kept is not None, done.stderr
    reader = SessionReader(Path(kept[1].strip()) / DATABASE)
    try:
        return done.returncode, load_report(reader, reader.rows(ReportRow)[0].id), done.stdout
    finally:
        reader.close()


def lost(report: LeakReport) -> list[str]:
    return sorted(leak.leak_id for leak in report.leaks if leak.kind in LOST)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_itself_honours_what_was_written(tmp_path: Path) -> None:
    code, before, _ = checked(tmp_path / "a", "memcheck")
    assert code == 1 and lost(before)
    target = next(leak for leak in before.leaks if leak.kind in LOST)
    path = tmp_path / "memtui.supp"
    written = add_suppression(str(path), target, before.checker)
    assert syntax_of(written) is Syntax.VALGRIND and "fun:_Z" in written
    # The session holds what valgrind wrote: it left the leak out by itself.
    _, after, _ = checked(tmp_path / "b", "memcheck", "--suppressions", str(path))
    assert lost(after) == [one for one in lost(before) if one != target.leak_id]


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_one_file_holds_for_checkers_of_another_syntax(tmp_path: Path) -> None:
    code, before, text = checked(tmp_path / "a", "normal")
    assert code == 1 and lost(before) and "suppressed" not in text
    path = tmp_path / "all.supp"
    for leak in before.leaks:
        add_suppression(str(path), leak, before.checker)
    assert syntax_of(path.read_text()) is Syntax.LSAN
    code, after, text = checked(tmp_path / "b", "normal", "--suppressions", str(path))
    assert code == 0 and "suppressed: " in text
    # gperftools knows no such files: what it found is in the session, whole.
    assert lost(after) == lost(before)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_is_not_given_a_file_that_it_could_not_read(tmp_path: Path) -> None:
    path = tmp_path / "lsan.supp"
    path.write_text("leak:no_such_function\n")
    code, report, _ = checked(tmp_path / "a", "memcheck", "--suppressions", str(path))
    assert code == 1 and lost(report)
