"""How a child of ours ended, asked without taking anything from the thread of ours that may be tracing it.

The kernel tells a tracee's stops to any wait for it by its real parent's process, whatever that waited for, and only once. The
asker's thread would look for its stop in vain then. __WNOTHREAD does not help: the wait is by the parent (kernel/exit.c,
wait_consider_task). So a look comes first that leaves everything as it is.
"""

from __future__ import annotations

import os

_ENDS = frozenset({os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED})


def take_exit(id_type: int, identity: int) -> os.waitid_result | None:
    """The end of the child that waitid(2) would name so; None while it runs. The kernel forgets with the answer.

    Raises ChildProcessError when it is no child of ours, or its end was taken before.
    """
    seen = os.waitid(id_type, identity, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if seen is None or seen.si_code not in _ENDS:
        return None
    return os.waitid(id_type, identity, os.WEXITED | os.WNOHANG)
