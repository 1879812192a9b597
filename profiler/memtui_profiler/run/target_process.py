"""One process of the target: started in a session of its own, watched and signalled through its pidfd."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.launch.plan import LaunchPlan
from memtui_profiler.run.pty_output import Terminal

# struct pidfd_info of linux/pidfd.h: mask, cgroupid, eleven ids, exit_code; its first 64 bytes, which every version has.
_INFO = struct.Struct("=QQ11Ii")
_PIDFD_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11) of that size
_INFO_EXIT = 8
_EXIT_CODE_AT = 49  # of the fields behind the name in proc_pid_stat(5): the 52nd of all

_ENDS = frozenset({os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED})

WHY_NOT = {
    errno.ENOENT: (
        "its interpreter or loader does not exist",
        "check its first line, or `readelf -l` for the interpreter",
    ),
    errno.EACCES: ("permission denied", "check its permissions and that its file system is not mounted noexec"),
    errno.ENOEXEC: (
        "the kernel cannot run this format",
        "give memtui an executable for this machine, or a script with #!",
    ),
    errno.E2BIG: ("its arguments and environment are too large", "pass less, or in a file"),
    errno.ENOMEM: ("out of memory", "free some, or raise the limit"),
    errno.EAGAIN: ("the limit of processes is reached", "raise it: `ulimit -u`"),
}


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended; both None when that could not be learned."""

    exit_code: int | None = None
    signal: int | None = None


class TargetProcess:
    """The process ``pid``, and ``group`` when it has one that may be signalled; ``pidfd`` becomes readable when it ends."""

    def __init__(self, pid: int, group: int | None) -> None:
        self.pid = pid
        self.group = group
        self.pidfd = os.pidfd_open(pid)

    @classmethod
    def start(cls, plan: LaunchPlan, stdout: Terminal, stderr: Terminal, *, inherit_stdin: bool) -> TargetProcess:
        """Launch the target. Raises UserError when the kernel will not."""
        try:
            process = subprocess.Popen(
                (*plan.command, *plan.target.argv),
                executable=plan.command[0] if plan.command else plan.target.executable,
                stdin=None if inherit_stdin else subprocess.DEVNULL,
                stdout=stdout.slave,
                stderr=stderr.slave,
                cwd=plan.target.cwd,
                env=plan.environment,
                start_new_session=True,
            )
        except OSError as error:
            number = error.errno or 0
            if number == errno.ENOENT and not Path(plan.target.cwd).is_dir():
                why, todo = f"the folder {plan.target.cwd} does not exist", "give another with --cwd"
            else:
                why, todo = WHY_NOT.get(number, (os.strerror(number), "try it without memtui"))
            raise UserError(f"cannot start {plan.target.argv[0]}", why, todo) from error
        process.returncode = 0  # we wait through the pidfd; subprocess must not
        try:
            return cls(process.pid, process.pid)
        except OSError as error:
            os.kill(process.pid, signal.SIGKILL)
            raise cannot_record(error) from error

    @classmethod
    def attach(cls, pid: int) -> TargetProcess:
        """Watch a process that runs already, and will not be stopped by memtui. Raises UserError when it is gone."""
        try:
            return cls(pid, None)
        except OSError as error:
            raise UserError(f"cannot attach to {pid}", "there is no such process", "see `ps` for its pid") from error

    @classmethod
    def adopt(cls, pid: int) -> TargetProcess:
        """Take a descendant that became our child when its parent ended. Raises ProcessLookupError when it is gone."""
        try:
            group: int | None = os.getpgid(pid)
        except ProcessLookupError:
            group = None
        return cls(pid, None if group == os.getpgrp() else group)

    def exit_status(self) -> ExitStatus | None:
        """Return how it ended, None while it runs. The kernel tells it once."""
        try:
            result = take_exit(os.P_PIDFD, self.pidfd)
        except ChildProcessError:
            return exit_of_no_child(self.pid, self.pidfd)
        if result is None:
            return None
        if result.si_code == os.CLD_EXITED:
            return ExitStatus(exit_code=result.si_status)
        return ExitStatus(signal=result.si_status)

    def send(self, number: int) -> bool:
        """Signal the process; False when that is not permitted: it has become another user's (a target run through sudo)."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except PermissionError:
            return False
        except ProcessLookupError:
            pass  # gone already, which is what was wanted
        return True

    def send_group(self, number: int) -> bool:
        """Signal the whole group, and the process itself in case it has left the group; False as for send()."""
        if self.group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)
        return self.send(number)

    def close(self) -> None:
        """Close ``pidfd``; the process goes on."""
        os.close(self.pidfd)


def cannot_record(error: OSError) -> UserError:
    """Return the error of a target that cannot be recorded: one that memtui started was ended again."""
    return UserError("cannot record the target", error.strerror or str(error), todo_of(error, "start it again"))


def signal_name(number: int) -> str:
    """Return ``SIGSEGV``, ``SIGRTMIN+3``, or ``signal 99`` where there is no name."""
    if signal.SIGRTMIN < number <= signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exit_of_no_child(pid: int, pidfd: int) -> ExitStatus:
    """How a process ended that is no child of ours: by its pidfd once its parent has buried it (Linux 6.15), by its stat before."""
    status = _status_of_pidfd(pidfd)
    if status is None:
        status = _status_of_zombie(pid)
    if status is None:  # buried between the two
        status = _status_of_pidfd(pidfd)
    if status is None:
        return ExitStatus()
    if os.WIFSIGNALED(status):
        return ExitStatus(signal=os.WTERMSIG(status))
    return ExitStatus(exit_code=os.WEXITSTATUS(status))


def _status_of_pidfd(pidfd: int) -> int | None:
    info = bytearray(_INFO.pack(_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:  # ENOTTY: an older kernel
        return None
    mask, *_, exit_code = _INFO.unpack(info)
    return exit_code if mask & _INFO_EXIT else None


def _status_of_zombie(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    # The kernel shows 0 to those who may not know; a zombie that did end with 0 says so by its pidfd a moment later.
    ended = len(fields) > _EXIT_CODE_AT and fields[0] == b"Z" and fields[_EXIT_CODE_AT].isdigit()
    return int(fields[_EXIT_CODE_AT]) or None if ended else None


def take_exit(id_type: int, identity: int) -> os.waitid_result | None:
    """Reap the child that these arguments of waitid(2) name and return how it ended; None while it runs.

    Raises ChildProcessError when it is no child of ours, or was reaped before.

    The kernel reports a tracee's stop to any wait for it in the process of its real parent, and only once; the asker's thread
    would then wait for that stop in vain. __WNOTHREAD does not help: the wait is by the parent (kernel/exit.c,
    wait_consider_task). So a wait with WNOWAIT, which takes nothing, comes first.
    """
    event = os.waitid(id_type, identity, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if event is None or event.si_code not in _ENDS:
        return None
    return os.waitid(id_type, identity, os.WEXITED | os.WNOHANG)
