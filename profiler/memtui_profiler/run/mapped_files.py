"""The files that a run's processes have mapped, for the stacks of its reports: also what was unloaded, deleted or replaced.

A plugin that was unloaded is not in the maps of a later dump, so the maps are read while a checker will need them. The cost of
reading grows with their number, and it holds the target's mmap lock: the longer a reading takes the less often it is done.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_parsers.procfs.maps import executable_lines

if TYPE_CHECKING:
    from memtui_profiler.process.held_files import HeldFiles
    from memtui_profiler.process.mmap_events import MmapEvents

INTERVAL_S = 0.2
COST_SHARE = 0.01
LINES_LIMIT = 20_000

_DELETED = b" (deleted)\n"


class MapsLog:
    """The executable, file-backed lines of /proc/PID/maps seen so far; in memory, so that a full disk loses none."""

    def __init__(self, pid: int, *, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._seen: dict[bytes, None] = {}
        self.follow(pid)

    def follow(self, pid: int) -> None:
        """Go on with another process; the lines of the first stay."""
        self._maps = self._proc / str(pid) / "maps"
        self._text = b""
        self.next_s = 0.0

    def update(self, now_s: float) -> bytes | None:
        """Read the maps if it is time; return them if they have changed, else None, also when they cannot be read."""
        if now_s < self.next_s:
            return None
        began = time.perf_counter()
        try:
            text = self._maps.read_bytes()
        except OSError:
            return None
        finally:
            self.next_s = now_s + max(INTERVAL_S, (time.perf_counter() - began) / COST_SHARE)
        if text == self._text:
            return None
        self._text = text
        for line in executable_lines(text):
            if len(self._seen) >= LINES_LIMIT:
                break
            self._seen[line] = None
        return text

    def lines(self) -> list[str]:
        """The lines seen so far, oldest first."""
        return [line.decode("utf-8", "surrogateescape") for line in self._seen]


class MappedFiles:
    """Of the process ``pid``; ``events`` are the kernel's own of what it maps, where these may be had."""

    def __init__(self, pid: int, events: MmapEvents | None) -> None:
        self.pid = pid
        self._maps = MapsLog(pid)
        self._events = events
        self._held: HeldFiles | None = None

    def follow(self, pid: int) -> None:
        """Go on with another process; what the first had mapped stays."""
        self.pid = pid
        self._maps.follow(pid)

    def update(self, now_s: float) -> None:
        """Look what is mapped, if it is time; hold what is deleted."""
        maps = self._maps.update(now_s)
        if maps is not None and _DELETED in maps:
            self._hold(maps)
        if self._events is not None:
            self._events.update(self.pid)

    def hold_now(self) -> None:
        """Hold what a report that is made now will need."""
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/maps", "rb") as stream:
            self._hold(stream.read())

    def _hold(self, maps: bytes) -> None:
        if self._held is None:
            from memtui_profiler.process.held_files import HeldFiles

            self._held = HeldFiles()
        self._held.look(self.pid, maps)

    def lines(self, pid: int) -> tuple[str, ...]:
        """Lines of /proc/PID/maps: what was seen of the run's processes, and what the kernel said of ``pid``."""
        return (*self._maps.lines(), *(self._events.lines(pid) if self._events is not None else ()))

    @property
    def held(self) -> dict[str, str]:
        """Where to read a file that is held, by its path as /proc/PID/maps has it; good until release()."""
        return {} if self._held is None else self._held.paths

    def end(self) -> None:
        """Take in what came and went since the last look; what is known and held stays."""
        if self._events is not None:
            self._events.update(self.pid)
            self._events.close()

    def release(self) -> None:
        """Close the files that are held: no report of the run is to be made any more."""
        if self._held is not None:
            self._held.close()
