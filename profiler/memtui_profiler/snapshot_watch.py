"""Which of the snapshots that a profiler writes by itself are whole, and not taken yet. Looks at sizes; reads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from memtui_profiler.checkers.base import Output

# A program that dumps without end must not fill the session with reports: the files of the rest stay where they are.
MOST = 1000


class SnapshotWatch:
    """A snapshot is whole when it has not grown between two looks. ``taken`` counts those that were given out."""

    def __init__(self) -> None:
        self.taken = 0
        self._sizes: dict[Path, int] = {}
        self._done: set[Path] = set()

    def finished(self, outputs: Iterable[Output]) -> list[Path]:
        """Of the process itself, in the order of ``outputs``; each is given once."""
        found = []
        for output in self.left(outputs):
            size = _size(output.path)
            if output.pid == 0 and size > 0 and self._sizes.get(output.path) == size and self.taken < MOST:
                self._done.add(output.path)
                self.taken += 1
                found.append(output.path)
            self._sizes[output.path] = size
        return found

    def take(self, outputs: Iterable[Output], name: str) -> list[Path]:
        """The one that was asked for, behind those before it that were not given out yet: all are whole, as that is.

        Empty: it was given out already. Beyond MOST it comes alone.
        """
        left = self.left(outputs)
        number = next((n for n, output in enumerate(left) if output.path.name == name), None)
        if number is None:
            return []
        older = [output.path for output in left[:number] if output.pid == left[number].pid]
        taken = [*older[: max(0, MOST - self.taken)], left[number].path]
        self._done.update(taken)
        self.taken += len(taken)
        return taken

    def left(self, outputs: Iterable[Output]) -> list[Output]:
        """Those that finished() has not given out."""
        return [output for output in outputs if output.path not in self._done]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
