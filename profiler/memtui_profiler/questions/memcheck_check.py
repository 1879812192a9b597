"""A live check by memcheck: asked through vgdb, valgrind's own door (its manual, "Valgrind gdbserver"); no guest is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from memtui_profiler.asker import Conversation
from memtui_profiler.errors import UserError
from memtui_profiler.questions.leak_check import LeakCheck
from memtui_profiler.request import MEMCHECK

VGDB_TIMEOUT_S = 300.0
MAX_ANSWER_BYTES = 256 << 20
COMMAND = ("leak_check", "full", "kinds", "all", "any")
_WHAT = "cannot check for leaks now"


def check_with_memcheck(conversation: Conversation, destination: Path) -> LeakCheck:
    """``destination`` gets valgrind's answer as text. Raises UserError when there is none."""
    vgdb = shutil.which("vgdb")
    if vgdb is None:
        raise UserError(_WHAT, "vgdb is not installed", "apt-get install valgrind")
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    began = time.monotonic()
    try:
        with destination.open("xb") as answer:
            # The answer goes into a file, which cannot fill a pipe; valgrind's own bound on it is the number of its stacks.
            done = subprocess.run(
                [vgdb, f"--pid={conversation.pid}", *COMMAND],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.PIPE,
                timeout=VGDB_TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise UserError(_WHAT, f"valgrind did not answer within {VGDB_TIMEOUT_S:g} s", "try again") from error
    except OSError as error:
        raise UserError(_WHAT, f"vgdb could not be run ({error.strerror})", "apt-get install valgrind") from error
    if done.returncode != 0 or os.path.getsize(destination) == 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise UserError(_WHAT, f"valgrind did not answer ({last[0][:200]})", "is it still starting? try again")
    return LeakCheck(MEMCHECK, destination, time.monotonic() - began, mapped=_mapped(conversation.pid))


def _mapped(pid: int) -> tuple[str, ...]:
    """The files' mappings: where the addresses of the answer lie."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as stream:
            return tuple(line.rstrip("\n") for line in stream if "/" in line)
    except OSError:
        return ()  # the names in the answer have to do
