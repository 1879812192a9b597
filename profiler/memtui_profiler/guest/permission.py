"""Why the kernel does not let a process be traced, as far as it can be told."""

from __future__ import annotations

import os

from memtui_parsers.clean_text import clean
from memtui_profiler.errors import UserError
from memtui_profiler.guest.errors import cannot_ask, process_ended
from memtui_profiler.guest.ptrace import yama_scope
from memtui_profiler.guest.threads import name_of, parent_of, status_of
from memtui_profiler.session.folders import RECORDER_NAME


def traced_by(pid: int, tracer: int) -> UserError:
    """Return the error of a process that ``tracer`` traces."""
    if parent_of(tracer) == pid and name_of(tracer, tracer) == name_of(pid, pid):
        # gperftools' heap checker and LeakSanitizer stop all threads by a process of their own that shares the memory.
        return cannot_ask("it is at a leak check of its own", "try again when that is over")
    if name_of(tracer, tracer) == RECORDER_NAME:
        return cannot_ask(f"another memtui, pid {tracer}, asks it at this moment", "try again")
    name = clean(name_of(tracer, tracer), 32) or "a process of another namespace"
    return cannot_ask(f"pid {tracer} ({name}) traces it already", f"end that: kill {tracer}")


def refused_by_kernel(pid: int) -> UserError:
    """Return why ptrace or /proc answered EPERM, as far as it can be told from here."""
    status = status_of(pid, pid)
    if status is not None and status.tracer:
        return traced_by(pid, status.tracer)
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
        # The kernel gives the files of an undumpable process to root (proc(5)).
        is_dumpable = os.stat(f"/proc/{pid}/status").st_uid == owner
    except OSError:
        return process_ended()
    if os.geteuid() == 0:
        why = "the kernel does not let this root trace it (a container without CAP_SYS_PTRACE, or lockdown)"
        return cannot_ask(why, "run memtui outside the container, or give it --cap-add SYS_PTRACE")
    if owner != os.geteuid():
        why = "it is root's, or has privileges of its own" if owner == 0 else f"it belongs to user {owner}"
        return cannot_ask(why, f"sudo memtui attach {pid}")
    if not is_dumpable:
        return cannot_ask(
            "it has made itself undumpable: the kernel lets root alone trace it", f"sudo memtui attach {pid}"
        )
    if scope := yama_scope():
        why = f"Yama lets only a parent trace it (ptrace_scope {scope})"
        return cannot_ask(why, f"sudo memtui attach {pid}, or start it with memtui")
    return cannot_ask("the kernel does not let you trace it", f"sudo memtui attach {pid}")
