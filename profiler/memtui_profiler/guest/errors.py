"""Why a process cannot be asked."""

from __future__ import annotations

from memtui_profiler.errors import UserError


class GuestGoneError(UserError):
    """The guest or the whole process has ended, by an exec or an exit."""


class GuestBusyError(UserError):
    """The guest cannot be called now: an earlier call has not returned, or another process stopped or traces it."""


class GuestSandboxedError(UserError):
    """The process has put the guest under a seccomp filter: to wake it could kill the process."""


def cannot_ask(why: str, todo: str) -> UserError:
    """Return the error of a process that can have no guest, or answers nothing that can be used."""
    return UserError("cannot ask the process", why, todo)


def process_ended() -> GuestGoneError:
    """Return the error of a process that is gone."""
    return GuestGoneError("cannot ask the process", "it has ended", "start it again")


def image_gone() -> GuestGoneError:
    """Return the error of a process that has executed another program, or has ended, since it was looked at."""
    return GuestGoneError("cannot ask the process", "it runs another program now, or has ended", "ask again")


def frozen() -> GuestBusyError:
    """Return the error of a process whose control group is frozen."""
    return GuestBusyError("cannot ask now", "the process is frozen", "thaw its control group, as `docker unpause` does")


def sandboxed_since() -> GuestSandboxedError:
    """Return the error of a process that has taken a seccomp filter since the guest came."""
    why = "it has taken a seccomp filter since memtui's thread came, and could be killed when that is woken"
    return GuestSandboxedError("cannot ask the process", why, "nothing to do: the thread sleeps in it until it ends")
