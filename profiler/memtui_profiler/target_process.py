"""One process of the target: started in a session of its own, watched and signalled through its pidfd."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.child_exits import take_exit
from memtui_profiler.errors import UserError
from memtui_profiler.launch import LaunchPlan
from memtui_profiler.pty_output import Terminal

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
    """``pid`` leads the process group ``group``; ``pidfd`` becomes readable when it ends."""

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
        return cls(process.pid, process.pid)

    @classmethod
    def attach(cls, pid: int) -> TargetProcess:
        """A process that runs already and is not ours to end. Raises UserError when it is gone."""
        try:
            return cls(pid, None)
        except OSError as error:
            raise UserError(f"cannot attach to {pid}", "there is no such process", "see `ps` for its pid") from error

    @classmethod
    def adopt(cls, pid: int) -> TargetProcess:
        """A descendant that became our child when its parent ended. Raises ProcessLookupError when it is gone."""
        try:
            group: int | None = os.getpgid(pid)
        except ProcessLookupError:
            group = None
        return cls(pid, None if group == os.getpgrp() else group)

    def exit_status(self) -> ExitStatus | None:
        """How it ended, None while it runs. Ask once: the kernel forgets with the answer."""
        try:
            result = take_exit(os.P_PIDFD, self.pidfd)
        except ChildProcessError:
            return ExitStatus()
        if result is None:
            return None
        if result.si_code == os.CLD_EXITED:
            return ExitStatus(exit_code=result.si_status)
        return ExitStatus(signal=result.si_status)

    def send(self, number: int) -> bool:
        """False when it may not be signalled, because it has become another user's (a target run through sudo)."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except PermissionError:
            return False
        except ProcessLookupError:
            pass  # gone already, which is what was wanted
        return True

    def send_group(self, number: int) -> bool:
        """Signal the whole group, and the process itself, should it have left the group; False as for send()."""
        if self.group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)
        return self.send(number)

    def close(self) -> None:
        os.close(self.pidfd)


def signal_name(number: int) -> str:
    """SIGSEGV, SIGRTMIN+3, or the bare number where there is no name."""
    if signal.SIGRTMIN < number <= signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
