"""What is told on stderr of work that takes long: in a terminal one line, elsewhere a line now and then, else nothing."""

from __future__ import annotations

import io
import os
import pty
import sys
from pathlib import Path

import pytest

from memtui.terminal import progress as module
from memtui.terminal.progress import SILENT, Progress, share_read
from tests.fixtures.waiting import until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTER_S", 0.0)
    monkeypatch.setattr(module, "_REDRAW_S", 0.01)


def test_lines_for_a_file_and_never_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.0)
    stream = io.StringIO()
    done = 0.0
    with Progress(stream) as progress:
        progress.say("reading heap\x1b[31m.prof", lambda: done)
        until(lambda: "reading" in stream.getvalue(), stream.getvalue())
        done = 0.5
        until(lambda: "50 %" in stream.getvalue(), stream.getvalue())
        progress.say("writing the report")
        until(lambda: "writing" in stream.getvalue(), stream.getvalue())
    lines = stream.getvalue().splitlines()
    assert lines == ["memtui: reading heap.prof: 0 %", "memtui: reading heap.prof: 50 %", "memtui: writing the report"]


def test_one_line_in_a_terminal_that_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    seen = b""
    with open(theirs, "w", encoding="utf-8") as stream, Progress(stream) as progress:
        progress.say("looking up names")
        while b"names" not in seen:
            seen += os.read(ours, 1000)
        progress.end()
        progress.end()
        while not seen.endswith(b"\x1b[K"):
            seen += os.read(ours, 1000)
    os.close(ours)
    assert b"\n" not in seen and b"\r\x1b[Kmemtui: looking up names" in seen


def test_nothing_for_what_is_quick_or_has_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTER_S", 60.0)
    stream = io.StringIO()
    with Progress(stream) as progress, SILENT as silent:
        progress.say("reading")
        silent.say("reading")
    assert stream.getvalue() == ""


def test_a_stream_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    with Progress(stream) as progress:
        progress.say("reading")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    progress.before_output()


def test_how_much_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(bytes(100))
    with open(path, "rb", buffering=0) as file:
        share = share_read(file)
        file.read(25)
        assert share() == 0.25
    assert share() is None
    (tmp_path / "empty").touch()
    with open(tmp_path / "empty", "rb") as file:
        assert share_read(file)() is None
