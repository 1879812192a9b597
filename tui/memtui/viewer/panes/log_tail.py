"""The end of a run's output as clean lines: new output is read at every poll, older output on demand.

A log may have 80 MiB and grow by 100 MB/s, so it is not read whole, and when more than ``POLL_BYTES`` have come since the
last poll, a line says that output was skipped.
"""

from __future__ import annotations

from pathlib import Path

from memtui_parsers.clean_text import LineCleaner, clean_lines
from memtui_profiler.files import open_regular
from memtui_profiler.run.output_log import output_files

CHUNK_BYTES = 256 << 10
POLL_BYTES = 1 << 20
KEEP_CHARS = 8 << 20


class LogTail:
    """The lines of one run's output in ``folder``, the newest last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cleaner = LineCleaner()
        self.lines: list[str] = []
        self._chars = 0
        # Where the lines begin and where they end: a file and an offset in it.
        self._first: tuple[Path, int] | None = None
        self._newest: tuple[Path, int] | None = None

    def poll(self) -> bool:
        """Read what has come since the last poll; return whether the lines have changed."""
        files = output_files(self._folder)
        if not files:
            return False
        if self._newest is None or self._newest[0] not in files:
            return self._start_at_end(files[-1])
        path, offset = self._newest
        behind = files[files.index(path) :]
        waiting = sum(_size(file) for file in behind) - offset
        if waiting < 0:  # the ring of files has begun to overwrite this one
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
        """Read CHUNK_BYTES before the first line; return how many lines that added at the front."""
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
        begin, data = _read_before(path, offset)
        added = clean_lines(data)
        self.lines[:0] = added
        self._chars += sum(map(len, added))
        self._first = (path, begin)
        return len(added)

    def _start_at_end(self, path: Path) -> bool:
        begin, data = _read_before(path, _size(path))
        skipped = self._newest is not None
        self._cleaner = LineCleaner()
        self.lines = (
            [f"… output came faster than it could be read: {path.name} has all that was kept"] if skipped else []
        )
        self._chars = 0
        self._first, self._newest = (path, begin), (path, begin + len(data))
        self._add(self._cleaner.feed(data))
        return True

    def _add(self, lines: list[str]) -> None:
        self.lines += lines
        self._chars += sum(map(len, lines))
        if self._chars > KEEP_CHARS:
            kept = len(self.lines) // 2
            self.lines = self.lines[kept:]
            self._chars = sum(map(len, self.lines))
            # The offset of the first line that was kept is not known, so older output cannot be read any more.
            self._first = None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _read(path: Path, offset: int, limit: int) -> bytes:
    try:
        with open_regular(str(path), follow=False) as log:  # the folder may be anybody's: no FIFO, no link
            log.seek(offset)
            return log.read(limit)
    except OSError:
        return b""


def _read_before(path: Path, end: int) -> tuple[int, bytes]:
    """Up to CHUNK_BYTES before ``end`` from the begin of a line on, and their offset."""
    begin = max(0, end - CHUNK_BYTES)
    data = _read(path, begin, end - begin)
    cut = data.find(b"\n") + 1 if begin > 0 else 0
    return begin + cut, data[cut:]
