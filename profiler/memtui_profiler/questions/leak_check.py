"""The live leak check: gperftools' own whole-program check, run in the process while it serves (FACTS.md, "Heap checker")."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.asker import Conversation
from memtui_profiler.checkers.heapcheck import all_dumps
from memtui_profiler.errors import UserError
from memtui_profiler.questions.gperftools import START_WITH_ONE, checker_state
from memtui_profiler.questions.target_files import Version, fetch, own_pid, seen_from_here, version_of

CHECK_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """``dump`` lies in the session's folder; None: the checker left none, which is how it says that nothing leaked.

    ``own_stack``: addresses of the guest's, which the checker may complain of. ``mapped``: lines of /proc/PID/maps, for a
    dump that has none. ``log_bytes``: how long the log is by now that a sanitizer appends to.
    """

    mode: str
    dump: Path | None
    seconds: float
    own_stack: tuple[int, int] = (0, 0)
    mapped: tuple[str, ...] = ()
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LeakQuestion:
    """How one checker is asked while the process runs: ``ask(conversation, destination)``, a file of this ``suffix``.

    ``guest``: it takes one.
    """

    ask: Callable[[Conversation, Path], LeakCheck]
    suffix: str
    guest: bool = True


def check_for_leaks(conversation: Conversation, destination: Path) -> LeakCheck:
    """Run the check and fetch its dump to ``destination``. Raises UserError when no check is on in the process, or it hangs."""
    state = checker_state(conversation)
    if not state.mode:
        raise UserError("cannot check for leaks now", "no heap check is on in this process", START_WITH_ONE)
    if state.mode == "local":
        why = "in mode local there is no whole-program check"
        raise UserError("cannot check for leaks now", why, "start it with another mode, such as HEAPCHECK=normal")
    guest = conversation.guest
    pid = conversation.pid
    folder = Path(seen_from_here(pid, state.folder))
    before = _dumps(folder, pid)
    began = time.monotonic()
    guest.call(state.no_global_leaks, timeout_s=CHECK_TIMEOUT_S)
    seconds = time.monotonic() - began
    written = [path for path, version in _dumps(folder, pid).items() if before.get(path) != version]
    if written:
        fetch(written[-1], destination, remove=True)
    return LeakCheck(state.mode, destination if written else None, seconds, guest.stack_range)


def _dumps(folder: Path, pid: int) -> dict[str, Version]:
    """The process's whole-program dumps; it names itself by the pid that it has in its own namespace."""
    inner = own_pid(pid)
    found = {}
    for dump in all_dumps(folder):
        if dump.pid == inner and dump.whole_program and (version := version_of(str(dump.path))):
            found[str(dump.path)] = version
    return found
