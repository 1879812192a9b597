"""The target's output on its way from the session's log to memtui's stderr."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.terminal import relay
from memtui.terminal.relay import OutputRelay
from memtui_profiler.run import output_log
from memtui_profiler.run.output_log import OutputFiles


def test_bytes_go_through_as_they_are(tmp_path: Path) -> None:
    sink = io.BytesIO()
    copy = OutputRelay(tmp_path, sink, for_terminal=False)
    copy.pump()
    log = OutputFiles(tmp_path)
    log.write(b"one\r\n\x1b[31mtwo\xff")
    copy.pump()
    assert sink.getvalue() == b"one\r\n\x1b[31mtwo\xff"
    log.write(b"three")
    copy.finish()
    assert sink.getvalue().endswith(b"\xffthree")


def test_a_terminal_gets_clean_lines(tmp_path: Path) -> None:
    sink = io.BytesIO()
    copy = OutputRelay(tmp_path, sink, for_terminal=True)
    log = OutputFiles(tmp_path)
    log.write(b"\x1b]0;owned\x07hello\nwor")
    copy.pump()
    assert sink.getvalue() == b"hello\n"
    log.write(b"ld")
    copy.finish()
    assert sink.getvalue() == b"hello\nworld\n"


@given(sizes=st.lists(st.integers(0, 25), max_size=40))
def test_a_reader_that_keeps_up_loses_nothing(sizes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ring")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_log, "HEAD_BYTES", 20)
        patch.setattr(output_log, "SEGMENT_BYTES", 30)
        patch.setattr(relay, "HEAD_BYTES", 20)
        patch.setattr(relay, "SEGMENT_BYTES", 30)
        sink = io.BytesIO()
        copy = OutputRelay(folder, sink, for_terminal=False)
        log = OutputFiles(folder)
        written = bytearray()
        for turn, size in enumerate(sizes):
            data = bytes((turn + i) % 256 for i in range(size))
            log.write(data)
            written += data
            _age(folder, turn)
            copy.pump()
        log.close(b"")
        copy.finish()
    assert sink.getvalue() == bytes(written)


def _age(folder: Path, turn: int) -> None:
    """File times move on by jiffies, slower than this test writes: set apart what was written in different turns."""
    newest = max(output_log.output_files(folder), key=lambda path: path.stat().st_mtime_ns)
    current = {path: path.stat().st_mtime_ns for path in output_log.output_files(folder)}
    for path, mtime in current.items():
        if mtime > 10**18:  # touched by a write since the last turn, not by us
            os.utime(path, ns=(turn * 10**9, turn * 10**9 + (1 if path == newest else 0)))


def test_a_reader_that_is_gone_stops_the_copy(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as sink:
        copy = OutputRelay(tmp_path, sink, for_terminal=False)
        OutputFiles(tmp_path).write(b"text")
        copy.pump()
        copy.finish()
