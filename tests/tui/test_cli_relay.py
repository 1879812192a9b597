"""The target's output on its way from the session's log to memtui's stderr."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.commands import relay
from memtui.commands.relay import OutputRelay
from memtui_profiler import pty_output
from memtui_profiler.pty_output import OutputLog


def test_bytes_go_through_as_they_are(tmp_path: Path) -> None:
    sink = io.BytesIO()
    copy = OutputRelay(tmp_path, sink, for_terminal=False)
    copy.pump()
    log = OutputLog(tmp_path)
    log.write(b"one\r\n\x1b[31mtwo\xff", stderr=False)
    copy.pump()
    assert sink.getvalue() == b"one\r\n\x1b[31mtwo\xff"
    log.write(b"three", stderr=True)
    copy.finish()
    assert sink.getvalue().endswith(b"\xffthree")


def test_a_terminal_gets_clean_lines(tmp_path: Path) -> None:
    sink = io.BytesIO()
    copy = OutputRelay(tmp_path, sink, for_terminal=True)
    log = OutputLog(tmp_path)
    log.write(b"\x1b]0;owned\x07hello\nwor", stderr=False)
    copy.pump()
    assert sink.getvalue() == b"hello\n"
    log.write(b"ld", stderr=False)
    copy.finish()
    assert sink.getvalue() == b"hello\nworld\n"


@given(sizes=st.lists(st.integers(0, 25), max_size=40))
def test_a_reader_that_keeps_up_loses_nothing(sizes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ring")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pty_output, "HEAD_BYTES", 20)
        patch.setattr(pty_output, "SEGMENT_BYTES", 30)
        patch.setattr(relay, "HEAD_BYTES", 20)
        patch.setattr(relay, "SEGMENT_BYTES", 30)
        sink = io.BytesIO()
        copy = OutputRelay(folder, sink, for_terminal=False)
        log = OutputLog(folder)
        written = bytearray()
        for turn, size in enumerate(sizes):
            data = bytes((turn + i) % 256 for i in range(size))
            log.write(data, stderr=False)
            written += data
            _age(folder, turn)
            copy.pump()
        log.close()
        copy.finish()
    assert sink.getvalue() == bytes(written)


def _age(folder: Path, turn: int) -> None:
    """File times move on by jiffies, slower than this test writes: set apart what was written in different turns."""
    newest = max(pty_output.output_files(folder), key=lambda path: path.stat().st_mtime_ns)
    current = {path: path.stat().st_mtime_ns for path in pty_output.output_files(folder)}
    for path, mtime in current.items():
        if mtime > 10**18:  # touched by a write since the last turn, not by us
            os.utime(path, ns=(turn * 10**9, turn * 10**9 + (1 if path == newest else 0)))


def test_a_reader_that_is_gone_stops_the_copy(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as sink:
        copy = OutputRelay(tmp_path, sink, for_terminal=False)
        OutputLog(tmp_path).write(b"text", stderr=False)
        copy.pump()
        copy.finish()
