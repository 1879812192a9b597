"""Runs the process that watches page faults: what it says comes as events, and it never keeps the recorder's loop waiting."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memtui_parsers.values import GrowthFacts, GrowthOutcome
from memtui_profiler.errors import UserError
from memtui_profiler.helper_process import helper_command

READ_BYTES = 1 << 16
MAX_LINE_BYTES = 1 << 20
KILLED_WITHIN_S = 0.5
# The recorder decides when a report is due, and asks for it: by itself the process makes its last one.
_NEVER_S = 10 * 365 * 86400.0
_MODULE, _NAME = "memtui_profiler.growth.worker", "memtui-growth"
_TODO = "see recorder.log of the session"


@dataclass(frozen=True, slots=True)
class Started:
    """It watches from now on. ``price``: what that costs the process, as the worker has it."""

    price: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reported:
    """A report was written to ``dump``; it is the ``last`` one where the watch ends with it."""

    dump: Path
    growth: GrowthFacts
    notes: tuple[str, ...]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not watch. ``for_its_price``: only because of what it would cost the process."""

    error: UserError
    for_its_price: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """It watches no more: ``why`` is a phrase."""

    why: str


GrowthEvent = Started | Reported | Refused | Ended


class GrowthJob:
    """A watcher of the process ``pid`` that writes to ``folder``. ``descriptor`` is readable when there are events.

    ``seconds``: it ends by itself after that time; None: when it is told to, and with the process. ``anyway``: whatever it costs
    the process. It ends when the recorder does, however that ends: its standard input is closed then.
    """

    def __init__(self, pid: int, folder: Path, log: int, *, seconds: float | None, anyway: bool) -> None:
        """Raises OSError where no process can be started."""
        self._process = subprocess.Popen(
            helper_command(_MODULE, _NAME),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",  # not the session's: its disk may not answer, and vfork(2) waits for the child
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self.descriptor = self._process.stdout.fileno()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._process.stdin.fileno(), False)
        self._pending = b""
        self.done = False
        request = {"pid": pid, "folder": os.fspath(folder), "seconds": seconds, "every_s": _NEVER_S, "anyway": anyway}
        self._write(json.dumps(request).encode() + b"\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask_for_report(self) -> None:
        """Have it report now."""
        self._write(b"report\n")

    def end(self) -> None:
        """Have it make its last report and end; its events still come."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def events(self) -> Iterator[GrowthEvent]:
        """What it has said since the last call; ``done`` is True afterwards if it has ended. Raises ValueError for nonsense."""
        try:
            chunk = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self.done = True
            return
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if len(self._pending) > MAX_LINE_BYTES:
            raise ValueError("a line without an end")
        for line in lines:
            yield event_in(line)

    def close(self) -> None:
        """End it, whether it is done or not."""
        self.end()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            # One that waits for a disk may not end; the recorder reaps it, as it does all its children.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILLED_WITHIN_S)

    def _write(self, line: bytes) -> None:
        """A line is far shorter than what a pipe holds; where the worker does not read, it will not answer either."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            os.write(self._process.stdin.fileno(), line)


def event_in(line: bytes) -> GrowthEvent:
    """Read a line of the worker's. Raises ValueError for one that says nothing."""
    try:
        fields = json.loads(line)
        kind = fields["event"]
        if kind == "started":
            price = fields.get("price")
            return Started(price if isinstance(price, dict) else {})
        if kind == "refused":
            error = UserError(str(fields["what"]), str(fields["why"]), str(fields["todo"]))
            return Refused(error, bool(fields.get("for_its_price")))
        if kind == "ended":
            return Ended(str(fields["why"]))
        if kind == "report":
            return _report(fields)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"no event of a growth worker: {line[:200]!r}") from error
    raise ValueError(f"an unknown event of a growth worker: {line[:200]!r}")


def _report(fields: dict[str, Any]) -> Reported:
    seconds = float(fields["seconds"])
    if not math.isfinite(seconds):
        raise ValueError("no time")
    passing_bytes = int(fields["passing_bytes"])
    growth = GrowthFacts(
        seconds=seconds,
        # The worker counts all that is there now.
        grown_bytes=max(0, int(fields["grown_bytes"]) - passing_bytes),
        passing_bytes=passing_bytes,
        seen_bytes=int(fields["seen_bytes"]),
        given_back_bytes=int(fields["given_back_bytes"]),
        rss_before_bytes=int(fields["rss_before"]),
        rss_now_bytes=int(fields["rss_now"]),
        samples=int(fields["samples"]),
        lost=int(fields["lost"]),
        outcome=GrowthOutcome(str(fields["outcome"]).replace(" ", "-")),
    )
    return Reported(Path(fields["path"]), growth, tuple(map(str, fields["notes"])), bool(fields["last"]))


def silent(error: str) -> UserError:
    """The error of a worker that ended without a word, or said what nobody understands."""
    return UserError("growth is not watched", error, _TODO)
