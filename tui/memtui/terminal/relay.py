"""Copies what a running target prints from the session's log to a stream of memtui's own."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from memtui_parsers.clean_text import LineCleaner
from memtui_profiler.run.output_log import HEAD_BYTES, OUTPUT_LOG, SEGMENT_BYTES, TAILS

CHUNK_BYTES = 1 << 16


class OutputRelay:
    """Follows a run's output through its log and the two files that take turns after it.

    Bytes are copied as they are; ``for_terminal``: as clean lines, so that no escape sequence of the target reaches the
    user's terminal. The two files are a ring: where the target prints more than they hold between two calls, there is a gap.
    """

    def __init__(self, folder: Path, sink: BinaryIO | None, for_terminal: bool) -> None:
        self._folder = folder
        self._sink = sink
        self._cleaner = LineCleaner() if for_terminal else None
        self._segment = 0
        self._offset = 0

    def pump(self) -> None:
        """Copy what has been added since the last call."""
        while self._sink is not None:
            try:
                with open(self._path(self._segment), "rb") as file:
                    file.seek(self._offset)
                    while chunk := file.read(CHUNK_BYTES):
                        self._offset += len(chunk)
                        self._write(chunk)
            except FileNotFoundError:
                break
            full = HEAD_BYTES if self._segment == 0 else SEGMENT_BYTES
            if self._offset < full or not self._next_has_begun():
                break
            self._segment, self._offset = self._segment + 1, 0
        if self._sink is not None:
            self._sink.flush()

    def finish(self) -> None:
        """Copy the rest, a last line without an end included."""
        self.pump()
        if self._cleaner is not None:
            self._emit("".join(f"{line}\n" for line in self._cleaner.finish()).encode())

    def _path(self, segment: int) -> Path:
        return self._folder / (OUTPUT_LOG if segment == 0 else TAILS[(segment - 1) % len(TAILS)])

    def _next_has_begun(self) -> bool:
        """Whether the next file is of the next turn, and not what is left there of the turn before the last."""
        try:
            return self._path(self._segment + 1).stat().st_mtime_ns >= self._path(self._segment).stat().st_mtime_ns
        except FileNotFoundError:
            return False

    def _write(self, chunk: bytes) -> None:
        if self._cleaner is None:
            self._emit(chunk)
        else:
            self._emit("".join(f"{line}\n" for line in self._cleaner.feed(chunk)).encode())

    def _emit(self, data: bytes) -> None:
        if self._sink is None:
            return
        try:
            self._sink.write(data)
        except OSError:
            self._sink = None  # nobody reads it any more; the report still goes to stdout
