"""The process that watches growth: a request on stdin, dumps in a folder, an event a line on stdout. Its stderr is a log.

The first line of stdin is a Request as JSON. A line ``report`` asks for a report now; the end of stdin or SIGTERM ends the watch
with a last report, and so does the end of the process that is watched. Each report is a whole dump of what has grown since the
start, growth-0001.heap and so on.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.growth.dump_file import write_dump
from memtui_profiler.growth.growth import joined
from memtui_profiler.growth.price import TooDearError
from memtui_profiler.growth.refusals import WHAT, other_machine
from memtui_profiler.growth.report_words import notes_of, outcome_of
from memtui_profiler.growth.watch import GrowthWatch

STEP_S = 0.1
REPORT = b"report"
_MACHINE = "x86_64"
_COMMAND_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """Which process to watch. ``folder``: where the dumps go. ``seconds`` None: until told to end. ``anyway``: at any price."""

    pid: int
    folder: str
    seconds: float | None = None
    every_s: float = 10.0
    anyway: bool = False

    @classmethod
    def from_json(cls, text: bytes) -> Request:
        """Raises ValueError for what is no request."""
        try:
            fields = json.loads(text)
            seconds = fields.get("seconds")
            request = cls(
                int(fields["pid"]),
                str(fields["folder"]),
                None if seconds is None else float(seconds),
                float(fields.get("every_s", 10.0)),
                bool(fields.get("anyway", False)),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("no request") from error
        if request.pid <= 0 or request.every_s <= 0 or not os.path.isabs(request.folder):
            raise ValueError("no request")
        return request


class Worker:
    """Runs one watch. ``commands``: a descriptor to read; ``events``: where the lines go."""

    def __init__(self, request: Request, watch: GrowthWatch, commands: int, events: BinaryIO) -> None:
        self._request = request
        self._watch = watch
        self._commands = commands
        self._events = events
        self._unread = b""
        self._number = 0
        self.told_to_end = False

    def run(self) -> str:
        """Watch until the end, and return why it came. Raises UserError, and OSError of a folder that cannot be written to."""
        began = next_report = time.monotonic()
        next_report += self._request.every_s
        why = ""
        while not why:
            try:
                self._watch.step(STEP_S)
            except UserError:
                self._report(last=True)  # what was gathered is kept
                raise
            asked = self._read_commands()
            now = time.monotonic()
            if self._watch.has_ended:
                why = self._watch.why_ended
            elif self.told_to_end:
                why = "it was asked to end"
            elif self._request.seconds is not None and now - began >= self._request.seconds:
                why = "its time is over"
            elif asked or now >= next_report:
                self._report()
                next_report = time.monotonic() + self._request.every_s
        self._report(last=True)
        return why

    def _read_commands(self) -> bool:
        """Whether a report is asked for."""
        asked = False
        while not self.told_to_end and select.select([self._commands], [], [], 0)[0]:
            chunk = os.read(self._commands, _COMMAND_BYTES)
            self.told_to_end = self.told_to_end or not chunk
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            self._unread = self._unread[:_COMMAND_BYTES]
            asked = asked or REPORT in lines
        return asked

    def _report(self, *, last: bool = False) -> None:
        watched = self._watch.report()
        growth = watched.growth
        rows = joined(growth.rows, watched.mappings)
        self._number += 1
        path = Path(self._request.folder) / f"growth-{self._number:04}.heap"
        write_dump(path, rows, watched.maps)
        tell(
            self._events,
            event="report",
            path=str(path),
            last=last,
            outcome=outcome_of(watched).value,
            seconds=round(watched.seconds, 2),
            rss_before=watched.rss_before,
            rss_now=watched.rss_now,
            grown_bytes=growth.grown_bytes,
            seen_bytes=round(growth.seen_bytes),
            given_back_bytes=growth.given_back_bytes,
            passing_bytes=round(growth.passing_bytes),
            file_bytes=growth.file_bytes,
            samples=growth.samples,
            lost=watched.sampled.lost,
            notes=notes_of(watched),
        )


def tell(events: BinaryIO, **fields: object) -> None:
    """Write one event. A reader that has gone is no reason to stop before the last report."""
    try:
        events.write(json.dumps(fields).encode() + b"\n")
        events.flush()
    except BrokenPipeError:
        pass


def run(commands: int, events: BinaryIO) -> int:
    """Do what the request on ``commands`` says, and return the exit code."""
    try:
        request = Request.from_json(_first_line(commands))
    except ValueError:
        error = UserError(WHAT, "the request cannot be read", "use one version of memtui only", exit_code=EXIT_USAGE)
        tell(events, event="refused", **error.fields())
        return error.exit_code
    try:
        if platform.machine() != _MACHINE:
            raise other_machine(platform.machine())
        os.makedirs(request.folder, mode=0o700, exist_ok=True)
        watch = GrowthWatch(request.pid, anyway=request.anyway)
    except UserError as error:
        tell(events, event="refused", for_its_price=isinstance(error, TooDearError), **error.fields())
        return error.exit_code
    except OSError as error:
        tell(events, event="refused", **_no_folder(error, request.folder).fields())
        return 1
    worker = Worker(request, watch, commands, events)

    def end(number: int, frame: object) -> None:
        worker.told_to_end = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        tell(events, event="started", price=watch.price.fields())
        why = worker.run()
    except UserError as error:
        tell(events, event="refused", **error.fields())
        return error.exit_code
    except OSError as error:
        tell(events, event="refused", **_no_folder(error, request.folder).fields())
        return 1
    finally:
        watch.close()
    tell(events, event="ended", why=why)
    return 0


def _no_folder(error: OSError, folder: str) -> UserError:
    why = f"{error.filename or folder}: {error.strerror}"
    return UserError(WHAT, why, "free the disk, or choose another folder")


def main() -> int:
    """Run the process that watches, and return its exit code."""
    # Samples are many and short-lived, and have no cycles.
    gc.disable()
    # An event for each thread and processor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return run(sys.stdin.fileno(), sys.stdout.buffer)


def _first_line(commands: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _COMMAND_BYTES:
        byte = os.read(commands, 1)
        if not byte:
            break
        line += byte
    return line
