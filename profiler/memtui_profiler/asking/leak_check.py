"""A live leak check as the recorder sees it: the question that a checker asks, and its answer."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.asking.asked_process import AskedProcess

CHECK_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """A check that was made, by ``checker`` in ``mode``; '' where these are the run's own.

    ``dump`` lies in the session's folder; None: the checker left none, which is how it says that nothing leaked.
    ``held_bytes``: what the malloc that is checked holds, in use or free, of the ``anonymous_bytes`` of the process; None
    where that is not known. ``own_stack``: addresses of the guest's, which the checker may report. ``log_bytes``: how
    long the log is by now that a sanitizer appends to.
    """

    dump: Path | None
    seconds: float
    mode: str = ""
    own_stack: tuple[int, int] = (0, 0)
    log_bytes: int = 0
    checker: str = ""
    held_bytes: int | None = None
    anonymous_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LeakQuestion:
    """How a checker is asked while the process runs: ``ask(process, destination)``, a file of this ``suffix``.

    ``guest``: it takes one. ``symbol``: a function, and ``library``: how the name of a file begins, that only a process
    with this checker has; '' where none tells.
    """

    ask: Callable[[AskedProcess, Path], LeakCheck]
    suffix: str
    guest: bool = True
    symbol: str = ""
    library: str = ""

    def is_for(self, process: AskedProcess) -> bool:
        """Whether the process has this checker in it; False where nothing tells."""
        if self.symbol:
            return process.image.address_of(self.symbol) is not None
        names = (posixpath.basename(module.path) for module in process.image.modules)
        return bool(self.library) and any(name.startswith(self.library) for name in names)
