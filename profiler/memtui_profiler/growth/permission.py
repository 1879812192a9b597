"""Whether this user may watch a process, by asking the kernel for what a watch needs, and giving it back at once."""

from __future__ import annotations

import os

from memtui_profiler.growth.fault_records import Abilities, attributes
from memtui_profiler.growth.refusals import other_machine, refusal
from memtui_profiler.growth.residency import open_residency
from memtui_profiler.process.perf_ring import open_event

MACHINE = "x86_64"
# What the least able of kernels and users get: a watch begins with more and gives up what is refused.
_LEAST = Abilities(system_calls=False, threads_only=False, page_size=False)


def may_watch(pid: int) -> None:
    """Raises UserError where a watch of ``pid`` would be refused."""
    if (machine := os.uname().machine) != MACHINE:
        raise other_machine(machine)
    open_residency(pid).close()
    try:
        os.close(open_event(attributes(1, _LEAST), thread=pid))
    except OSError as error:
        raise refusal(pid, error) from None
