"""The end of a run's output as clean lines: reads what is new, and what is older only when it is asked for.

A log may be 80 MiB and grow by 100 MB/s, so neither is read whole: what passes faster than ``POLL_BYTES`` a look is skipped
and said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memtui_parsers.clean_text import LineCleaner, clean_lines
from memtui_profiler.pty_output import output_files

CHUNK_BYTES = 256 << 10
POLL_BYTES = 1 << 20
KEEP_CHARS = 8 << 20


class LogTail:
    """``lines`` of the output of one run, the newest last; ``complete_start`` once its first byte is among them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cleaner = LineCleaner()
        self._lines: list[str] = []
        self._chars = 0
        # Where the window begins and where the newest read ended: a file and an offset in it.
        self._first: tuple[Path, int] | None = None
        self._newest: tuple[Path, int] | None = None

    @property
    def lines(self) -> Sequence[str]:
        return self._lines

    @property
    def complete_start(self) -> bool:
        files = output_files(self._folder)
        return self._first is None or (self._first[1] == 0 and bool(files) and self._first[0] == files[0])

    def poll(self) -> bool:
        """Read what has come since the last look; True when the lines are others than before."""
        files = output_files(self._folder)
        if not files:
            return False
        if self._newest is None or self._newest[0] not in files:
            return self._start_at_end(files[-1])
        path, offset = self._newest
        behind = files[files.index(path) :]
        waiting = sum(_size(file) for file in behind) - offset
        if waiting < 0:  # the ring has begun to write this file anew
            return self._start_at_end(files[-1])
        if waiting == 0:
            return False
        if waiting > POLL_BYTES:
            self._start_at_end(files[-1])
            return True
        for file in behind:
            data = _read(file, offset, POLL_BYTES)
            self._add(self._cleaner.feed(data))
            self._newest = (file, offset + len(data))
            offset = 0
        return True

    def earlier(self) -> int:
        """Read a piece of what stands before the first line; returns how many lines that added at the front."""
        files = output_files(self._folder)
        if self._first is None or self._chars >= KEEP_CHARS:
            return 0
        path, offset = self._first
        if offset == 0:
            index = files.index(path) if path in files else 0
            if index == 0:
                return 0
            path = files[index - 1]
            offset = _size(path)
        begin = max(0, offset - CHUNK_BYTES)
        data = _read(path, begin, offset - begin)
        if begin > 0:
            cut = data.find(b"\n") + 1
            data, begin = data[cut:], begin + cut
        added = clean_lines(data)
        self._lines[:0] = added
        self._chars += sum(map(len, added))
        self._first = (path, begin)
        return len(added)

    def _start_at_end(self, path: Path) -> bool:
        size = _size(path)
        begin = max(0, size - CHUNK_BYTES)
        data = _read(path, begin, size - begin)
        end = begin + len(data)
        if begin > 0:
            cut = data.find(b"\n") + 1
            data, begin = data[cut:], begin + cut
        skipped = self._newest is not None
        self._cleaner = LineCleaner()
        self._lines = (
            [f"… output came faster than it could be read: {path.name} has all that was kept"] if skipped else []
        )
        self._chars = 0
        self._first, self._newest = (path, begin), (path, end)
        self._add(self._cleaner.feed(data))
        return True

    def _add(self, lines: list[str]) -> None:
        self._lines += lines
        self._chars += sum(map(len, lines))
        if self._chars > KEEP_CHARS:
            kept = len(self._lines) // 2
            self._lines = self._lines[kept:]
            self._chars = sum(map(len, self._lines))
            # Going back from here would leave a hole, so it starts at the newest file's begin again.
            self._first = None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path, offset: int, limit: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(offset)
            return log.read(limit)
    except OSError:
        return b""
