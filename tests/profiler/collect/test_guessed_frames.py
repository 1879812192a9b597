"""Stacks through files without section headers, where valgrind guesses."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.values import (
    CheckerError,
    ErrorDetail,
    Frame,
    LeakKind,
    LeakRecord,
    LeakReport,
    Module,
    ReportStatus,
)
from memtui_profiler.collect.guessed_frames import without_guesses
from memtui_profiler.symbols.file_finder import FileFinder
from tests.fixtures.command_line import run_memtui

SOURCE = """
#include <stdlib.h>
#include <string.h>
__attribute__((noinline)) void lose(int size) { void *volatile block = malloc(size); memset(block, 1, size); block = 0; }
__attribute__((noinline)) void pass(int size) { lose(size); __asm__ volatile(""); }
int main(void) { pass(1000); pass(1000); return 0; }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A program, and the same as `llvm-strip --strip-sections` leaves it: without section headers."""
    folder = tmp_path_factory.mktemp("sections")
    (folder / "a.c").write_text(SOURCE)
    whole, bare = folder / "whole", folder / "bare"
    subprocess.run(["gcc", "-O2", "-fomit-frame-pointer", str(folder / "a.c"), "-o", str(whole)], check=True)
    data = bytearray(whole.read_bytes())
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HH", data, 60, 0, 0)
    bare.write_bytes(data)
    bare.chmod(0o755)
    return whole, bare


def test_frames_behind_the_first_in_such_a_file_go(built: tuple[Path, Path]) -> None:
    whole, bare = (Module(str(path)) for path in built)
    right, first, second, guessed = Frame(1, whole), Frame(2, bare), Frame(3, bare), Frame(4, whole)
    kind = LeakKind.DEFINITELY_LOST
    leaks = (
        LeakRecord("a", 8, 1, kind, (right, first, second)),
        LeakRecord("b", 5, 1, kind, (right, first, guessed)),
        LeakRecord("c", 3, 1, kind, (right, guessed)),
        LeakRecord("d", 2, 1, LeakKind.POSSIBLY_LOST, (right, first)),
    )
    errors = (CheckerError("InvalidRead", "w", (first, second), (ErrorDetail("d", (right, first, guessed)),)),)
    report = LeakReport("memcheck", "", ReportStatus.COMPLETE, total_bytes=18, leaks=leaks, errors=errors)
    cut = without_guesses(report, FileFinder())
    assert [(leak.size_bytes, leak.objects, leak.stack) for leak in cut.leaks] == [
        (13, 2, (right, first)),
        (3, 1, (right, guessed)),
        (2, 1, (right, first)),
    ]
    assert cut.leaks[0].leak_id == cut.leaks[2].leak_id and len({leak.leak_id for leak in cut.leaks}) == 2
    (error,) = cut.errors
    assert (error.stack, error.details[0].stack) == ((first,), (right, first))
    assert "first frame in bare" in cut.notes[-1] and cut.total_bytes == 18
    readable = LeakReport("memcheck", "", ReportStatus.COMPLETE, leaks=leaks[2:3])
    assert without_guesses(readable, FileFinder()) == readable
    elsewhere = LeakReport(
        "memcheck", "", ReportStatus.COMPLETE, leaks=(LeakRecord("a", 1, 1, kind, (Frame(1, Module("/no/where")),)),)
    )
    assert without_guesses(elsewhere, FileFinder()) == elsewhere


def test_memcheck_shows_no_guesses(built: tuple[Path, Path], tmp_path: Path) -> None:
    for path, calls in zip(built, (3, 1), strict=True):
        done = run_memtui(tmp_path, ["check", "--check", "memcheck", "--format", "json", str(path)])
        report = json.loads(done.stdout)
        assert report["total"] == {"bytes": 2000, "objects": 2}
        for leak in report["leaks"]:
            own = [frame for frame in leak["stack"] if frame["module"] == str(path)]
            assert len(own) == len(leak["stack"]) == calls, leak
        assert any("section headers" in note for note in report["notes"]) == (calls == 1)
