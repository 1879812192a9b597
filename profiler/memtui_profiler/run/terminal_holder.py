"""A process that keeps a run's pseudo-terminals when the recorder dies: without it the target's next write would fail with EIO.

Python's print, Node's console.log, Rust's println! and a shell under ``set -e`` end of that. It empties the terminals once the
recorder is gone, as a small Python, and ends with the last process that could write to them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from memtui_profiler.run.after_our_end import AfterOurEnd

_EMPTY = """
import os, select, sys
left = set(map(int, sys.argv[1:]))
poll = select.poll()
for terminal in left:
    poll.register(terminal, select.POLLIN)
while left:
    for terminal, _ in poll.poll():
        try:
            ended = not os.read(terminal, 65536)
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended:
            poll.unregister(terminal)
            left.remove(terminal)
"""


class TerminalHolder:
    """The process ``pid``, which holds the ``masters`` of pseudo-terminals. Raises OSError when it cannot be started."""

    def __init__(self, masters: Sequence[int]) -> None:
        command = [sys.executable, "-I", "-S", "-c", _EMPTY, *map(str, masters)]
        self._process = AfterOurEnd("memtui-holder", command, descriptors=masters)
        self.pid = self._process.pid

    def release(self, *, needed: bool) -> None:
        """End it. ``needed``: somebody may still write to the terminals, so it first empties them until nobody can."""
        if needed:
            self._process.run_now()
        else:
            self._process.close()
