"""How a guest comes to be in a process: every refusal first, then the hijacked call, then the thread that it made."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from memtui_parsers.clean_text import clean
from memtui_profiler.errors import UserError
from memtui_profiler.guest.guest import GuestBusyError, GuestGoneError, GuestThread, adopt, guests_in
from memtui_profiler.guest.hijack import STACK_BYTES, NotNowError, let_go, make_guest, open_status
from memtui_profiler.guest.host import Host, choose_host
from memtui_profiler.guest.libc import Libc, find_libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import Fault, ThreadGoneError, ThreadStoppedError, Tracee, no_fault
from memtui_profiler.guest.seccomp import Instruction, forbidden_call
from memtui_profiler.guest.thread_stack import MOST_LOCAL_BYTES
from memtui_profiler.guest.threads import name_of, parent_of, sleep_of, status_of, thread_ids
from memtui_profiler.process_image import ProcessImage

PATIENCE_S = 2.0
APPEARS_WITHIN_S = 10.0
_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_WHAT = "cannot ask the process"
_MAX_FILTERS = 64
_POLL_S = 0.0005
_PAGE_BYTES = 4096
_SHF_TLS = 0x400


@dataclass(frozen=True, slots=True)
class Arrival:
    """``host_tid`` was disturbed for ``disturbed_s``; both 0 when an earlier memtui's guest was there already."""

    guest: GuestThread
    host_tid: int = 0
    disturbed_s: float = 0.0


def arrive(
    pid: int, image: ProcessImage, memory: ProcessMemory, *, force: bool = False, fault: Fault = no_fault
) -> Arrival:
    """A guest in ``pid``. Raises UserError with the one sentence that says why there can be none."""
    try:
        return _arrive(pid, image, memory, force=force, fault=fault)
    except PermissionError as error:
        raise refused_by_kernel(pid) from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _ended() from error
    except ThreadStoppedError:
        raise _stopped(pid) from None


def _arrive(pid: int, image: ProcessImage, memory: ProcessMemory, *, force: bool, fault: Fault) -> Arrival:
    refuse_what_cannot_be_asked(pid, image)
    libc = find_libc(image, force=force)
    left_behind = list(_adopted(pid, libc, memory, fault))
    for superfluous in left_behind[1:]:
        superfluous.leave()
    if left_behind:
        left_behind[0].introduce()
        return Arrival(left_behind[0])
    before = frozenset(thread_ids(pid))
    local_bytes = _thread_local_bytes(image)
    if local_bytes > MOST_LOCAL_BYTES:
        why = f"its thread-local variables take {local_bytes >> 20} MiB of each thread's stack"
        raise UserError(_WHAT, why, "its figures outside stay: RSS, files, threads")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        host = choose_host(pid, memory, libc.restorer)
        try:
            if host.seccomp and not force:
                _refuse_filters(pid, host)
            hijacked = make_guest(pid, host, libc, memory, fault, stack_bytes=STACK_BYTES + local_bytes)
        except NotNowError as error:
            if time.monotonic() > deadline:
                why = f"no thread of it stays asleep long enough to be asked ({error})"
                raise UserError(_WHAT, why, "try again when it is less busy") from error
            continue
        guest = _appeared(pid, host, before, libc, memory, fault)
        guest.introduce()
        return Arrival(guest, host.tid, hijacked.disturbed_s)


def _adopted(
    pid: int, libc: Libc, memory: ProcessMemory, fault: Fault, excluding: frozenset[int] = frozenset()
) -> Iterator[GuestThread]:
    """Guests that are there and nobody's, ours from now on."""
    for tid in guests_in(pid, libc, memory, excluding):
        with contextlib.suppress(GuestGoneError, GuestBusyError):
            yield adopt(pid, tid, libc, memory, fault)


def _appeared(
    pid: int, host: Host, before: frozenset[int], libc: Libc, memory: ProcessMemory, fault: Fault
) -> GuestThread:
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < deadline:
        # In this order: once the host is back in its sleep, the thread that it made is there, if it could make one.
        sleep = sleep_of(pid, host.tid)
        is_back = sleep is not None and sleep.place == host.sleep.place
        new = [tid for tid in thread_ids(pid) if tid not in before]
        for guest in _adopted(pid, libc, memory, fault, before):
            return guest
        if is_back and not new:
            raise UserError(
                _WHAT, "it could make no further thread", "see its limits: `ulimit -u`, pids.max of its cgroup"
            )
        time.sleep(_POLL_S)
    status = status_of(pid, pid)
    if status is None or status.state in "ZX":
        raise _ended()
    if status.state in "Tt":
        raise _stopped(pid)
    why = f"the thread that it was to make did not come within {APPEARS_WITHIN_S:g} s"
    raise UserError(_WHAT, why, "try again: should it come later, it is found then")


def _thread_local_bytes(image: ProcessImage) -> int:
    """What the thread-local variables of all modules take of each thread's stack, at most."""
    sections = [s for module in image.modules for s in module.image.sections if s.flags & _SHF_TLS]
    return sum(-(-section.size // _PAGE_BYTES) * _PAGE_BYTES for section in sections)


def refuse_what_cannot_be_asked(pid: int, image: ProcessImage) -> None:
    """Everything that can be seen from outside. Raises UserError."""
    if os.uname().machine != "x86_64" or (image.modules and image.modules[0].image.machine != "x86-64"):
        raise UserError(_WHAT, "it is not a 64-bit x86 process", "its figures outside stay: RSS, files, threads")
    status = status_of(pid, pid)
    if status is None or status.state in "ZX":
        raise _ended()
    if status.tracer:
        raise _traced(pid, status.tracer)
    if status.state in "Tt":
        raise _stopped(pid)
    emulator = _emulator(pid)
    if emulator:
        raise UserError(
            _WHAT,
            f"it runs inside {emulator}, which takes no calls from outside",
            "its figures outside stay: RSS, files, threads",
        )
    if status.shadow_stack:
        raise UserError(
            _WHAT, "it runs with shadow stacks", "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off, or without"
        )
    if status.seccomp == 1:
        raise UserError(_WHAT, "seccomp's strict mode would kill it for a new thread", "no way around it")


def _emulator(pid: int) -> str:
    """What runs the program's code in its place, so that the registers are not the program's; '' for a plain process."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    name = os.path.basename(path)
    if "/valgrind/" in path and name.endswith("-linux"):
        return "valgrind"
    return name if name.startswith("qemu-") else ""


def _ended() -> GuestGoneError:
    return GuestGoneError(_WHAT, "it has ended", "start it again")


def _traced(pid: int, tracer: int) -> UserError:
    if parent_of(tracer) == pid and name_of(tracer, tracer) == name_of(pid, pid):
        # gperftools' heap checker and LeakSanitizer stop all threads by a process of their own that shares the memory.
        return UserError(_WHAT, "it is at a leak check of its own", "try again when that is over")
    name = clean(name_of(tracer, tracer), 32) or "a process of another namespace"
    return UserError(_WHAT, f"pid {tracer} ({name}) traces it already", f"end that: kill {tracer}")


def _stopped(pid: int) -> UserError:
    return UserError(_WHAT, "it is stopped", f"let it go on: kill -CONT {pid}")


def refused_by_kernel(pid: int) -> UserError:
    """Why ptrace or /proc said EPERM, as far as it can be told from here."""
    status = status_of(pid, pid)
    if status is not None and status.tracer:
        return _traced(pid, status.tracer)
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return _ended()
    if os.geteuid() == 0:
        why = "the kernel does not let this root trace it (a container without CAP_SYS_PTRACE, or lockdown)"
        return UserError(_WHAT, why, "run memtui outside the container, or give it --cap-add SYS_PTRACE")
    if owner != os.geteuid():
        why = "it is root's, or has privileges of its own" if owner == 0 else f"it belongs to user {owner}"
        return UserError(_WHAT, why, f"sudo memtui attach {pid}")
    scope = _yama_scope()
    if scope:
        why = f"Yama lets only a parent trace it (ptrace_scope {scope})"
        return UserError(_WHAT, why, f"sudo memtui attach {pid}, or start it with memtui")
    return UserError(_WHAT, "the kernel does not let you trace it", f"sudo memtui attach {pid}")


def _yama_scope() -> int:
    try:
        with open(_YAMA, "rb") as stream:
            return int(stream.read().strip() or 0)
    except (OSError, ValueError):
        return 0


def _refuse_filters(pid: int, host: Host) -> None:
    try:
        filters = _filters(pid, host)
    except OSError as error:
        if error.errno == errno.EPERM and os.geteuid() == 0:
            raise
        why = "it has a seccomp filter that cannot be read, and might kill it for a new thread"
        raise UserError(_WHAT, why, "run memtui as root, or try it with --force-guest") from error
    call = forbidden_call(filters)
    if call is not None:
        why = f"its seccomp filter does not take {call}() kindly, and a new thread may need that"
        raise UserError(_WHAT, why, "--force-guest tries it all the same; it may be killed")


def _filters(pid: int, host: Host) -> list[list[Instruction]]:
    """All filters of the thread; it is stopped for as long as they take to read. Raises NotNowError, OSError."""
    found: list[list[Instruction]] = []
    try:
        thread = Tracee(host.tid)
    except ThreadGoneError as error:
        raise NotNowError(str(error)) from error
    try:
        with open_status(pid, host.tid) as status:
            thread.stop()
            registers = thread.registers()
            try:
                while len(found) < _MAX_FILTERS and (program := thread.seccomp_filter(len(found))) is not None:
                    found.append(program)
            finally:
                let_go(thread, registers, status)
    except ThreadGoneError as error:
        raise NotNowError(str(error)) from error
    finally:
        thread.detach()
    return found
