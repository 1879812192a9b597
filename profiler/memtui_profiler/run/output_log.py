"""The log of a run's output: kept with a bound, and written by a thread of its own, as a disk may not answer for minutes."""

from __future__ import annotations

import errno
import os
import queue
import stat
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Generic, TypeVar

from memtui_profiler.process.own_thread import start_thread

T = TypeVar("T")

HEAD_BYTES = 16 << 20
SEGMENT_BYTES = 32 << 20
STDERR_HEAD_BYTES = 64 << 10
STDERR_TAIL_BYTES = 1 << 20
# What may wait for the disk; what comes beyond that is dropped.
WAITING_BYTES = 8 << 20
CLOSES_WITHIN_S = 5.0

OUTPUT_LOG = "output.log"
TAILS = ("output.tail.0", "output.tail.1")
STDERR_LOG = "stderr.log"


def create_regular(path: Path) -> FileIO:
    """Open for writing, empty, without following a link or waiting for a FIFO that a target has put there. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    file = FileIO(os.open(path, flags, 0o600), "wb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


@dataclass(slots=True)
class DiskWork(Generic[T]):
    """What a thread does for the recorder's loop: ``result``, or the ``error`` that it met, once ``done`` is set."""

    done: threading.Event = field(default_factory=threading.Event)
    result: T | None = None
    error: Exception | None = None


class OutputFiles:
    """The first 16 MiB of a run's output and, of the rest, the last 32 to 64 MiB in two files that take turns.

    ``dropped_bytes`` counts what a turn has overwritten. A write that fails (full disk) is remembered in ``failure`` and
    costs that output only.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self.dropped_bytes = 0
        self.failure: OSError | None = None
        self._folder = folder
        self._file = create_regular(folder / OUTPUT_LOG)
        self._room = HEAD_BYTES
        self._turn = -1
        self._segment_bytes = [0, 0]

    def write(self, data: bytes) -> None:
        """Add output of the target."""
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

    def close(self, stderr: bytes) -> None:
        """Close, and write stderr's head and tail to a file of their own for the collector."""
        try:
            self._file.close()
            with create_regular(self._folder / STDERR_LOG) as file:
                file.write(stderr)
        except OSError as error:
            self.failure = error


class OutputLog:
    """Takes a run's output without waiting for the disk: the target must never wait for that.

    Output beyond 8 MiB that wait is dropped. ``closed`` is set once all is written; ``told_bytes`` is how much of what was dropped
    new_refused_bytes() has told.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError when there can be no log."""
        self.edit: Callable[[bytes], bytes] = bytes  # takes out of stderr() what is not the target's
        self.closed = threading.Event()
        self._files = OutputFiles(folder)
        self._refused_bytes = 0  # the disk was too slow for them
        self.told_bytes = 0
        self._stderr_head = bytearray()
        self._stderr_tail: deque[bytes] = deque()
        self._stderr_tail_bytes = 0
        self._excerpt: bytearray | None = None
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        start_thread(self._run, "memtui-output")

    def _run(self) -> None:
        while not self.closed.is_set():
            self._work.get()()

    @property
    def dropped_bytes(self) -> int:
        """How much of the output is in no file."""
        return self._files.dropped_bytes + self._refused_bytes

    @property
    def failure(self) -> OSError | None:
        """Why the last write that failed did."""
        return self._files.failure

    def new_refused_bytes(self) -> int:
        """How much was dropped because the disk did not take it, once it takes more again; each byte is counted once."""
        if self._waiting_bytes:
            return 0
        new, self.told_bytes = self._refused_bytes - self.told_bytes, self._refused_bytes
        return new

    def write(self, data: bytes, *, stderr: bool) -> None:
        """Add output of the target."""
        if stderr:
            self._keep_stderr(data)
        if self._waiting_bytes + len(data) > WAITING_BYTES:
            self._refused_bytes += len(data)
            return
        with self._lock:
            self._waiting_bytes += len(data)
        self._work.put(partial(self._store, data))

    def _store(self, data: bytes) -> None:
        self._files.write(data)
        with self._lock:
            self._waiting_bytes -= len(data)

    def submit(self, work: Callable[[], T]) -> DiskWork[T]:
        """Have the log's thread do what reads or writes the disk, after what waits to be written; nobody waits for that."""
        done: DiskWork[T] = DiskWork()

        def do() -> None:
            try:
                done.result = work()
            except Exception as error:  # noqa: BLE001 - whoever submitted it tells, and the log is written on
                done.error = error
            finally:
                done.done.set()

        self._work.put(do)
        return done

    def write_file(self, path: Path, data: bytes) -> DiskWork[None]:
        """Write a file beside the log; nobody waits for that."""

        def write() -> None:
            with create_regular(path) as file:
                file.write(data)

        return self.submit(write)

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
        """Return the head and the tail of stderr: a heap checker writes there when it starts and when it ends."""
        return self.edit(bytes(self._stderr_head) + b"".join(self._stderr_tail))

    def begin_excerpt(self) -> None:
        """Keep a copy of what comes on stderr from here on, the first MiB of it."""
        self._excerpt = bytearray()

    def end_excerpt(self) -> bytes:
        """Return what has come since begin_excerpt(); empty when there was none."""
        excerpt, self._excerpt = self._excerpt, None
        return bytes(excerpt or b"")

    def close(self, wait_s: float = CLOSES_WITHIN_S) -> None:
        """Write what waits, and stderr's head and tail to a file of their own; wait for that, but not for longer."""
        self._work.put(partial(self._close, self.stderr()))
        self.closed.wait(wait_s)

    def _close(self, stderr: bytes) -> None:
        try:
            self._files.close(stderr)
        finally:
            self.closed.set()


class LatestLook(Generic[T]):
    """``look`` at the disk, made again and again by the thread of ``log``: the loop takes what it has found."""

    def __init__(self, log: OutputLog, look: Callable[[], T]) -> None:
        self._log = log
        self._look = look
        self._under_way: DiskWork[T] | None = None

    def take(self) -> T | None:
        """Return what a look has found since the last call, None when none has ended; have another one made."""
        ended = self._under_way
        if ended is not None and not ended.done.is_set():
            return None
        self._under_way = self._log.submit(self._look)
        return None if ended is None else ended.result


def output_files(folder: Path) -> list[Path]:
    """Return the files that have a run's output, in the order it was written."""
    head = folder / OUTPUT_LOG
    tails = sorted((folder / name for name in TAILS if (folder / name).exists()), key=lambda p: p.stat().st_mtime_ns)
    return [path for path in (head, *tails) if path.exists()]
