"""Why growth cannot be watched, in the words of a user: errors of perf_event_open(2) and of /proc/PID/pagemap."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from memtui_profiler.errors import UserError

WHAT = "growth is not watched"
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
# Above this, by a patch of Debian's and Ubuntu's, ordinary users have no events at all.
_ORDINARY_USERS_UP_TO = 2
_FORBIDDEN = (errno.EACCES, errno.EPERM)


def refusal(pid: int, error: OSError, *, paranoid: Path = _PARANOID) -> UserError:
    """The error for the user. EACCES: kernel.perf_event_paranoid, or no right to the process; EPERM: a seccomp filter."""
    if error.errno in (errno.ESRCH, errno.ENOENT) and not os.path.exists(f"/proc/{pid}"):
        return ended(pid)
    level = _level(paranoid)
    if level is None or error.errno in (errno.ENOSYS, errno.ENOENT):
        why = "this kernel has no perf events, or hides /proc/sys"
        return UserError(WHAT, why, "watch from the host, or on a kernel with CONFIG_PERF_EVENTS")
    if error.errno in _FORBIDDEN and not _is_ours(pid):
        why = f"process {pid} is another user's, or hides its memory"
        return UserError(WHAT, why, "run memtui as the user of that process, or as root")
    if error.errno in _FORBIDDEN and level > _ORDINARY_USERS_UP_TO and os.geteuid() != 0:
        why = f"kernel.perf_event_paranoid is {level} here, which keeps perf events from ordinary users"
        return UserError(WHAT, why, "run memtui as root, or `sudo sysctl kernel.perf_event_paranoid=2`")
    if error.errno in _FORBIDDEN:
        why = "perf_event_open is not permitted here, as in a container with Docker's default seccomp profile"
        return UserError(WHAT, why, "watch from the host, or start the container with --cap-add PERFMON")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        why = "too few files can be open: each thread takes one for each processor"
        return UserError(WHAT, why, "raise the limit: `ulimit -n`, `sysctl fs.file-max`")
    return UserError(WHAT, f"perf_event_open: {error.strerror}", "watch on another kernel")


def no_buffers(error: OSError) -> UserError:
    """For a ring that cannot be mapped: perf_event_mlock_kb for each processor is used up, and RLIMIT_MEMLOCK too."""
    why = f"there is no memory for the kernel's buffers ({error.strerror})"
    return UserError(WHAT, why, "end other perf programs of this user, or raise RLIMIT_MEMLOCK: `ulimit -l`")


def ended(pid: int) -> UserError:
    """For a process that is gone."""
    return UserError(
        WHAT, f"process {pid} has ended, or has no memory of its own", "give the number of a running process"
    )


def other_machine(machine: str) -> UserError:
    """For machines other than x86-64, whose registers and call frames are not read."""
    return UserError(WHAT, f"stacks are unwound on x86-64 only, and this is {machine}", "watch on an x86-64 machine")


def _level(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _is_ours(pid: int) -> bool:
    """Whether it is this user's and lets itself be looked at: the files of one that does not belong to root."""
    try:
        return os.geteuid() in (0, os.stat(f"/proc/{pid}/maps").st_uid)
    except OSError:
        return False
