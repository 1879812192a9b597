"""The target's stdout and stderr: each a raw pseudo-terminal, drained always, kept with a bound.

A pseudo-terminal because a target buffers its lines on a pipe and gperftools' exit drops what it had not flushed; never
the controlling terminal, whose loss would be a SIGHUP (FACTS.md, "Processes").
"""

from __future__ import annotations

import errno
import os
import stat
import termios
import tty
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

HEAD_BYTES = 16 << 20
SEGMENT_BYTES = 32 << 20
STDERR_HEAD_BYTES = 64 << 10
STDERR_TAIL_BYTES = 1 << 20
READ_BYTES = 64 << 10
TURN_BYTES = 1 << 20  # one stream gives way to the samples after this much

OUTPUT_LOG = "output.log"
TAILS = ("output.tail.0", "output.tail.1")
STDERR_LOG = "stderr.log"


@dataclass(frozen=True, slots=True)
class Terminal:
    """Descriptors of one pseudo-terminal: memtui reads ``master``, the target writes ``slave``."""

    master: int
    slave: int


def open_terminal() -> Terminal:
    """A pseudo-terminal that changes no byte (OPOST off, no echo) and whose reading side does not block."""
    master, slave = os.openpty()
    tty.setraw(slave, termios.TCSANOW)
    termios.tcsetwinsize(slave, (24, 80)) if hasattr(termios, "tcsetwinsize") else None
    os.set_blocking(master, False)
    return Terminal(master, slave)


def read_available(master: int) -> tuple[bytes, bool]:
    """What can be read now, at most ``TURN_BYTES``, and whether the stream has ended (every writer closed it)."""
    chunks: list[bytes] = []
    size = 0
    while size < TURN_BYTES:
        try:
            chunk = os.read(master, READ_BYTES)
        except BlockingIOError:
            return b"".join(chunks), False
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says EIO for "no writer is left"
                raise
            return b"".join(chunks), True
        if not chunk:
            return b"".join(chunks), True
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks), False


def create_regular(path: Path) -> FileIO:
    """Open for writing, empty, without following a link or waiting for a FIFO that a target has put there. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    file = FileIO(os.open(path, flags, 0o600), "wb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


class OutputLog:
    """Keeps the first 16 MiB of a run's output and, of the rest, the last 32 to 64 MiB in two files that take turns.

    ``dropped_bytes`` counts what a turn has overwritten. A write that fails (full disk) is remembered in ``failure`` and
    costs that output only: the target must never wait for our disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = create_regular(folder / OUTPUT_LOG)
        self._room = HEAD_BYTES
        self._turn = -1
        self._segment_bytes = [0, 0]
        self._stderr_head = bytearray()
        self._stderr_tail: deque[bytes] = deque()
        self._stderr_tail_bytes = 0
        self._excerpt: bytearray | None = None
        self.edit: Callable[[bytes], bytes] = bytes  # what a reader of stderr() need not see
        self.dropped_bytes = 0
        self.failure: OSError | None = None

    def write(self, data: bytes, *, stderr: bool) -> None:
        if stderr:
            self._keep_stderr(data)
        view = memoryview(data)
        try:
            while view:
                if self._room == 0:
                    self._next_segment()
                part = view[: self._room]
                written = self._file.write(part)
                self._room -= written
                if self._turn >= 0:
                    self._segment_bytes[self._turn] += written
                view = view[written:]
        except OSError as error:
            self.dropped_bytes += len(view)
            self.failure = error

    def _next_segment(self) -> None:
        self._file.close()
        self._turn = (self._turn + 1) % 2
        self.dropped_bytes += self._segment_bytes[self._turn]
        self._segment_bytes[self._turn] = 0
        self._file = create_regular(self._folder / TAILS[self._turn])
        self._room = SEGMENT_BYTES

    def _keep_stderr(self, data: bytes) -> None:
        if self._excerpt is not None:
            self._excerpt += data[: STDERR_TAIL_BYTES - len(self._excerpt)]
        room = STDERR_HEAD_BYTES - len(self._stderr_head)
        self._stderr_head += data[:room]
        if rest := data[room:] if room > 0 else data:
            self._stderr_tail.append(rest)
            self._stderr_tail_bytes += len(rest)
            while self._stderr_tail_bytes - len(self._stderr_tail[0]) >= STDERR_TAIL_BYTES:
                self._stderr_tail_bytes -= len(self._stderr_tail.popleft())

    def stderr(self) -> bytes:
        """The head and the tail of stderr: where a heap checker speaks, when it starts and when it ends."""
        return self.edit(bytes(self._stderr_head) + b"".join(self._stderr_tail))

    def begin_excerpt(self) -> None:
        """Keep what comes on stderr from here on apart too, the first MiB of it."""
        self._excerpt = bytearray()

    def end_excerpt(self) -> bytes:
        """What has come since; empty when none was begun."""
        excerpt, self._excerpt = self._excerpt, None
        return bytes(excerpt or b"")

    def close(self) -> None:
        """Close, leaving stderr's head and tail in a file of their own for the collector."""
        try:
            self._file.close()
            with create_regular(self._folder / STDERR_LOG) as file:
                file.write(self.stderr())
        except OSError as error:
            self.failure = error


def output_files(folder: Path) -> list[Path]:
    """The files that hold a run's output, in the order it was written."""
    head = folder / OUTPUT_LOG
    tails = sorted((folder / name for name in TAILS if (folder / name).exists()), key=lambda p: p.stat().st_mtime_ns)
    return [path for path in (head, *tails) if path.exists()]
