"""Whether a running process can be attached to, and if not the one sentence why; and what the process shows of itself.

What a process writes itself (arguments, environment, name) is read here, and never more of it than a bound. psutil's cmdline(),
environ(), exe() and name() have none: a process without privileges can say with prctl(PR_SET_MM_MAP) that its arguments are
1 GiB long, and psutil 7.2 then took 39 s and 9 GiB for its name. It also splits at blanks (``/opt/my app/server`` without
arguments becomes two) and ends the environment at an empty entry. Its speed is the same: 26 us for a command line, 40 us for an
environment. The thread group and the kernel's flag, which refusals need, it does not have.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.clean_text import clean
from memtui_parsers.procfs.maps import DELETED
from memtui_profiler.errors import UserError
from memtui_profiler.session.folders import RECORDER_NAME, is_live, sessions_root
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Followed, Run, RunEnd, RunSettled
from memtui_profiler.session.writer import DATABASE

MAX_BYTES = 1 << 20  # of arguments, of an environment
MAX_FACTS_BYTES = 4096  # of what the kernel alone writes, to the last field that is looked at

_PF_KTHREAD = 0x00200000  # linux/sched.h; among the flags of proc_pid_stat(5), the ninth field
_FLAGS_AT = 6  # of the fields after the name
_FIELD = re.compile(rb"^(Tgid|Uid):\s*(\d{1,10})", re.MULTILINE)
_SEE_PS = "see `ps -e` for its pid"


def process_name(pid: int) -> str:
    """The file name of the program, or else the name the process gave itself: not cleaned. '' once it is gone."""
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(DELETED))
    return os.fsdecode(_read(pid, "comm").rstrip(b"\n"))


def command_line(pid: int) -> tuple[str, ...]:
    """The arguments as the process shows them now; empty for one that shows none, or is gone."""
    # A process that writes a title over its arguments may leave any number of NULs behind it.
    text = _read(pid, "cmdline", MAX_BYTES).rstrip(b"\0")
    return tuple(map(os.fsdecode, text.split(b"\0"))) if text else ()


def working_folder(pid: int) -> str:
    """The working directory; ``/`` when it cannot be read."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return "/"


def environment_of(pid: int) -> dict[str, str]:
    """The environment the process was started with; empty when it may not be read."""
    pairs = (
        os.fsdecode(entry).partition("=") for entry in _read(pid, "environ", MAX_BYTES).split(b"\0") if b"=" in entry
    )
    return {name: value for name, _, value in pairs}


def _read(pid: int, name: str, at_most: int = MAX_FACTS_BYTES) -> bytes:
    """The beginning of a file of /proc/PID; empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            return stream.read(at_most)
    except OSError:
        return b""


def refuse_what_cannot_be_watched(pid: int) -> None:
    """Raise UserError for no such process, a thread, a kernel thread, a zombie, this process, and one of another user."""
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
    why = "it has privileges of its own" if uid == os.geteuid() else f"it belongs to another user, {_user_name(uid)}"
    return UserError(what, why, f"sudo memtui attach {pid}")


def _user_name(uid: int) -> str:
    """The number for a user that has no name."""
    import pwd

    try:
        return clean(pwd.getpwuid(uid).pw_name, 40)
    except KeyError:
        return str(uid)


@dataclass(frozen=True, slots=True)
class ActiveRecorder:
    """A recorder that runs now. ``folder``: of its session, by its own command line (``memtui recorder DIR``)."""

    pid: int
    uid: int
    folder: Path


def refuse_what_is_watched(pid: int) -> None:
    """Raise UserError when another recorder watches ``pid``: two would put their questions to it in turn."""
    for recorder in _active_recorders():
        if not _watches(recorder, pid):
            continue
        what, name = f"cannot attach to {pid}", clean(recorder.folder.name)
        if recorder.uid != os.geteuid():
            why = f"memtui watches it already, as user {recorder.uid}"
            raise UserError(what, why, f"as that user: memtui resume {name}")
        kept = recorder.folder.parent == sessions_root()
        shown = name if kept else clean(str(recorder.folder))
        raise UserError(what, "memtui watches it already", f"memtui resume {shown}")


def _active_recorders() -> Iterator[ActiveRecorder]:
    """The other recorders on this machine, of all users."""
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if pid == os.getpid() or _read(pid, "comm") != f"{RECORDER_NAME}\n".encode():
            continue
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
        except OSError:
            continue
        if arguments := command_line(pid):
            yield ActiveRecorder(pid, uid, Path(arguments[-1]))


def _watches(recorder: ActiveRecorder, pid: int) -> bool:
    """Whether its session says so. Another user's session is not opened; what such a recorder launched is its child."""
    if recorder.uid != os.geteuid():
        return _parent_of(pid) == recorder.pid
    if not is_live(recorder.folder):
        return False
    try:
        reader = SessionReader(recorder.folder / DATABASE)
    except UserError:
        return False
    try:
        run = next(reversed(reader.rows(Run)), None)
        if run is None:  # the recorder has only just started
            return _parent_of(pid) == recorder.pid
        if reader.rows_of(RunEnd, "run", run.id):
            return False
        if reader.rows_of(RunSettled, "run", run.id):
            return False
        followed = reader.rows_of(Followed, "run", run.id)
        return pid == (followed[-1].pid if followed else run.pid)
    except UserError:
        return False
    finally:
        reader.close()


def _parent_of(pid: int) -> int | None:
    """The pid of its parent; None once it is gone."""
    import psutil  # not at the top: the first frame of an attached process would wait 25 ms for it

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None
