"""A collector at work: a process that reads a dump and sends rows, so that neither sampling nor the screen waits for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.collect_worker import BatchDecoder, WorkerFailure
from memtui_profiler.session.rows import Row

READ_BYTES = 1 << 18


class CollectorJob:
    """``descriptor`` becomes readable when rows are there; read() gives them in the order of collect()."""

    def __init__(self, request: CollectRequest, folder: Path, log: int) -> None:
        self.request = request
        # A file, not a pipe: the maps of a long run are larger than what a pipe takes without blocking us.
        with open(os.memfd_create("memtui-request"), "w+b") as stdin:
            stdin.write(request.to_json().encode())
            stdin.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "memtui_profiler.collect_worker"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
            )
        assert self._process.stdout is not None
        self.descriptor = self._process.stdout.fileno()
        os.set_blocking(self.descriptor, False)
        self._decoder = BatchDecoder()
        self.done = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> Iterator[Row | WorkerFailure]:
        """The rows that have arrived. Afterwards ``done`` says whether the worker has ended."""
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
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
