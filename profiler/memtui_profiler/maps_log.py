"""Remembers which libraries a run has had mapped: a plugin that is unloaded is in no dump's map any more.

Reading maps costs by the number of mappings and holds the target's mmap lock, so it is read the less often the longer it
takes, and only while a checker will need it.
"""

from __future__ import annotations

import time
from pathlib import Path

MAPS_LOG = "maps.log"
INTERVAL_S = 0.2
COST_SHARE = 0.01
LINES_LIMIT = 20_000


class MapsLog:
    """Appends each executable, file-backed line of /proc/PID/maps the first time it is seen."""

    def __init__(self, pid: int, folder: Path, *, proc: Path = Path("/proc")) -> None:
        self._maps = proc / str(pid) / "maps"
        self._log = folder / MAPS_LOG
        self._seen: set[bytes] = set()
        self._text = b""
        self.next_s = 0.0

    def update(self, now_s: float) -> None:
        """Look if it is time; a target that is gone or not ours to read adds nothing."""
        if now_s < self.next_s:
            return
        began = time.perf_counter()
        try:
            text = self._maps.read_bytes()
        except OSError:
            return
        finally:
            self.next_s = now_s + max(INTERVAL_S, (time.perf_counter() - began) / COST_SHARE)
        if text == self._text:
            return
        self._text = text
        fresh = [
            line
            for line in text.splitlines()
            if b"/" in line and line not in self._seen and line.split(b" ", 2)[1][2:3] == b"x"
        ]
        if fresh and len(self._seen) < LINES_LIMIT:
            self._seen.update(fresh)
            with self._log.open("ab") as log:
                log.write(b"".join(line + b"\n" for line in fresh))

    def lines(self) -> list[str]:
        """All that was seen, oldest first."""
        try:
            return self._log.read_text("utf-8", "surrogateescape").splitlines()
        except FileNotFoundError:
            return []
