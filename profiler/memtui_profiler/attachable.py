"""Whether a running process can be attached to, and if not the one sentence why; and what it is called."""

from __future__ import annotations

import contextlib
import os
import re

from memtui_parsers.clean_text import clean
from memtui_profiler.errors import UserError

MAX_BYTES = 1 << 20

_DELETED = " (deleted)"
_PF_KTHREAD = 0x00200000  # linux/sched.h; among the flags of proc_pid_stat(5), the ninth field
_FLAGS_AT = 6  # of the fields after the name
_FIELD = re.compile(rb"^(Tgid|Uid):\s*(\d{1,10})", re.MULTILINE)
_SEE_PS = "see `ps -e` for its pid"


def refuse_what_cannot_be_watched(pid: int) -> None:
    """Raises UserError: no such process, a thread, a kernel thread, ended already, this process, or another user's."""
    what = f"cannot attach to {pid}"
    if pid == os.getpid():
        raise UserError(what, "that is memtui itself", "give another pid")
    status, stat = _read(pid, "status"), _read(pid, "stat")
    fields = dict(_FIELD.findall(status))
    if not fields or not stat:
        raise UserError(what, "there is no such process", _SEE_PS)
    process = int(fields[b"Tgid"])
    if process != pid:
        name = clean(process_name(process), 40)
        raise UserError(what, f"it is a thread of process {process} ({name})", f"memtui attach {process}")
    after_name = stat.rpartition(b")")[2].split()
    if int(after_name[_FLAGS_AT]) & _PF_KTHREAD:
        raise UserError(what, "it is a thread of the kernel", _SEE_PS)
    if after_name[0] in (b"Z", b"X"):
        raise UserError(what, "it has ended, and its parent has not noticed yet", "start it again")
    try:
        os.readlink(f"/proc/{pid}/exe")
        with open(f"/proc/{pid}/maps", "rb"):
            pass
    except PermissionError as error:
        raise _not_permitted(what, pid, int(fields[b"Uid"])) from error
    except OSError as error:
        raise UserError(what, "there is no such process any more", _SEE_PS) from error


def _not_permitted(what: str, pid: int, uid: int) -> UserError:
    if os.geteuid() == 0:
        why = "the kernel does not let this root look into it: it lacks CAP_SYS_PTRACE, or what the process may do more"
        return UserError(what, why, "run memtui outside the container, or give that --cap-add SYS_PTRACE")
    why = "it has privileges of its own" if uid == os.geteuid() else f"it belongs to {_user_name(uid)}"
    return UserError(what, why, f"sudo memtui attach {pid}")


def _user_name(uid: int) -> str:
    import pwd

    try:
        return f"another user, {clean(pwd.getpwuid(uid).pw_name, 40)}"
    except KeyError:
        return f"another user, {uid}"


def process_name(pid: int) -> str:
    """The file name of what it runs, else the name it gave itself: as it came, unclean. '' once it is gone."""
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(_DELETED))
    return os.fsdecode(_read(pid, "comm").rstrip(b"\n"))


def command_line(pid: int) -> tuple[str, ...]:
    """The arguments as the process shows them now; empty for one that shows none, or is gone."""
    text = _read(pid, "cmdline")
    # What sets its title writes over them, and may leave any number of NULs behind.
    text = text.rstrip(b"\0")
    return tuple(os.fsdecode(word) for word in text.split(b"\0")) if text else ()


def working_folder(pid: int) -> str:
    """``/`` where it is not to be seen."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return "/"


def environment_of(pid: int) -> dict[str, str]:
    """What it was started with; empty when that may not be read."""
    entries = _read(pid, "environ").split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry)
    return {name: value for name, _, value in pairs}


def _read(pid: int, name: str) -> bytes:
    """Empty when it is not to be had."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            return stream.read(MAX_BYTES)
    except OSError:
        return b""
