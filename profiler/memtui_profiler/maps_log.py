"""Remembers which libraries a run has had mapped: a plugin that is unloaded is in no dump's map any more.

Reading maps costs by the number of mappings and holds the target's mmap lock, so it is read the less often the longer it
takes, and only while a checker will need it.
"""

from __future__ import annotations

import time
from pathlib import Path

INTERVAL_S = 0.2
COST_SHARE = 0.01
LINES_LIMIT = 20_000


class MapsLog:
    """Keeps each executable, file-backed line of /proc/PID/maps, in memory: no disk can be too full for it."""

    def __init__(self, pid: int, *, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._seen: dict[bytes, None] = {}
        self.follow(pid)

    def follow(self, pid: int) -> None:
        """Go on with another process; what the first had mapped stays."""
        self._maps = self._proc / str(pid) / "maps"
        self._text = b""
        self.next_s = 0.0

    def update(self, now_s: float) -> bytes | None:
        """Look if it is time; gives the text where it has changed. A target that is gone or not ours to read adds nothing."""
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
        for line in text.splitlines():
            if len(self._seen) >= LINES_LIMIT:
                break
            if b"/" in line and line.split(b" ", 2)[1][2:3] == b"x":
                self._seen[line] = None
        return text

    def lines(self) -> list[str]:
        """All that was seen, oldest first."""
        return [line.decode("utf-8", "surrogateescape") for line in self._seen]
