"""Runs a collector, the process that reads a dump and sends rows: neither sampling nor the screen waits for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.collect.worker import BatchDecoder
from memtui_profiler.errors import UserError
from memtui_profiler.helper_process import helper_command
from memtui_profiler.session.rows import Row

READ_BYTES = 1 << 18
KILLED_WITHIN_S = 0.5


class CollectorJob:
    """A running collector. ``descriptor`` is readable when there are rows; read() returns them in the order of collect()."""

    def __init__(self, request: CollectRequest, log: int) -> None:
        # A file, not a pipe: the maps of a long run are larger than a pipe's buffer, and writing them would block.
        with open(os.memfd_create("memtui-request"), "w+b") as stdin:
            stdin.write(request.to_json().encode())
            stdin.seek(0)
            self._process = subprocess.Popen(
                helper_command("memtui_profiler.collect.worker", "memtui-collector"),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",  # not the session's: its disk may not answer, and vfork(2) waits for the child
            )
        assert self._process.stdout is not None
        self.descriptor = self._process.stdout.fileno()
        os.set_blocking(self.descriptor, False)
        self._decoder = BatchDecoder()
        self.done = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> Iterator[Row | UserError]:
        """The rows that have arrived; ``done`` is True afterwards if the worker has ended."""
        try:
            chunk = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if chunk:
            yield from self._decoder.feed(chunk)
        else:
            self._process.wait()
            self.done = True

    def close(self) -> None:
        """End the worker, whether it is done or not."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            # One that waits for a disk may not end; the recorder reaps it, as it does all its children.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILLED_WITHIN_S)
