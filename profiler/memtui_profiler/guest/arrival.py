"""Makes a guest in a process: checks first what forbids one, then has one thread create it, then waits for it."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from memtui_profiler.errors import UserError
from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError, cannot_ask, frozen, process_ended
from memtui_profiler.guest.guest import GuestThread, adopt, guests_in
from memtui_profiler.guest.hijack import STACK_BYTES, NotNowError, make_guest, open_status, undo_interruption
from memtui_profiler.guest.host import Host, choose_host
from memtui_profiler.guest.libc import Libc, find_libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.permission import refused_by_kernel, traced_by
from memtui_profiler.guest.ptrace import (
    Fault,
    ThreadGoneError,
    ThreadStoppedError,
    no_fault,
    stopped_thread,
)
from memtui_profiler.guest.seccomp import Instruction, forbidden_call
from memtui_profiler.guest.thread_stack import MOST_LOCAL_BYTES
from memtui_profiler.guest.threads import is_frozen, name_of, sleep_of, status_of, thread_ids
from memtui_profiler.process.image import ProcessImage
from memtui_profiler.session.folders import RECORDER_NAME

PATIENCE_S = 2.0
APPEARS_WITHIN_S = 10.0
_FIGURES_STAY = "its figures outside stay: RSS, files, threads"
_MAX_FILTERS = 64
_POLL_S = 0.0005
_PAGE_BYTES = 4096
_SHF_TLS = 0x400


@dataclass(frozen=True, slots=True)
class Arrival:
    """A guest that thread ``host_tid`` made, disturbed for ``disturbed_s``; both are 0 for one that an earlier memtui left."""

    guest: GuestThread
    host_tid: int = 0
    disturbed_s: float = 0.0


def arrive(
    pid: int, image: ProcessImage, memory: ProcessMemory, *, force: bool = False, fault: Fault = no_fault
) -> Arrival:
    """Return a guest in ``pid``. Raises UserError that says why there can be none."""
    try:
        return _arrive(pid, image, memory, force=force, fault=fault)
    except PermissionError as error:
        raise refused_by_kernel(pid) from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise process_ended() from error
    except ThreadStoppedError:
        raise _stopped(pid) from None


def _arrive(pid: int, image: ProcessImage, memory: ProcessMemory, *, force: bool, fault: Fault) -> Arrival:
    refuse_unsuitable(pid, image)
    libc = find_libc(image, force=force)
    guests = list(_adopted(pid, libc, memory, fault))
    for superfluous in guests[1:]:
        with contextlib.suppress(UserError):
            superfluous.leave()
    if guests:
        guests[0].set_name()
        return Arrival(guests[0])
    before = frozenset(thread_ids(pid))
    local_bytes = _thread_local_bytes(image)
    if local_bytes > MOST_LOCAL_BYTES:
        why = f"its thread-local variables take {local_bytes >> 20} MiB of each thread's stack"
        raise cannot_ask(why, _FIGURES_STAY)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        host = choose_host(pid, memory, libc.restorer)
        try:
            if any(host.sandbox) and not force:
                _refuse_filters(pid, host)
            disturbed_s = make_guest(pid, host, libc, memory, fault, stack_bytes=STACK_BYTES + local_bytes)
        except NotNowError as error:
            if time.monotonic() > deadline:
                why = f"no thread of it stays asleep long enough to be asked ({error})"
                raise cannot_ask(why, "try again when it is less busy") from error
            continue
        guest = _new_guest(pid, host, before, libc, memory, fault)
        guest.set_name()
        return Arrival(guest, host.tid, disturbed_s)


def _adopted(
    pid: int,
    libc: Libc,
    memory: ProcessMemory,
    fault: Fault,
    excluding: frozenset[int] = frozenset(),
    made_with: tuple[int, int] = (0, 0),
) -> Iterator[GuestThread]:
    """Adopt the guests that are there and belong to nobody. Raises GuestSandboxedError for one that must not be woken."""
    for tid in guests_in(pid, libc, memory, excluding):
        with contextlib.suppress(GuestGoneError, GuestBusyError):
            yield adopt(pid, tid, libc, memory, fault, made_with)


def _new_guest(
    pid: int, host: Host, before: frozenset[int], libc: Libc, memory: ProcessMemory, fault: Fault
) -> GuestThread:
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < deadline:
        # In this order: once the host sleeps again, the thread that it made is there, if it could make one.
        sleep = sleep_of(pid, host.tid)
        is_back = sleep is not None and sleep.place == host.sleep.place
        new = [tid for tid in thread_ids(pid) if tid not in before]
        for guest in _adopted(pid, libc, memory, fault, before, host.sandbox):
            return guest
        if is_back and not new:
            raise cannot_ask("it could make no further thread", "see its limits: `ulimit -u`, pids.max of its cgroup")
        time.sleep(_POLL_S)
    status = status_of(pid, pid)
    if status is None or status.state in "ZX":
        raise process_ended()
    if status.state in "Tt":
        raise _stopped(pid)
    why = f"the thread that it was to make did not come within {APPEARS_WITHIN_S:g} s"
    raise cannot_ask(why, "try again: should it come later, it is found then")


def _thread_local_bytes(image: ProcessImage) -> int:
    """The most bytes of each thread's stack that the thread-local variables of all modules take."""
    sections = [s for module in image.modules for s in module.image.sections if s.flags & _SHF_TLS]
    return sum(-(-section.size // _PAGE_BYTES) * _PAGE_BYTES for section in sections)


def refuse_unsuitable(pid: int, image: ProcessImage) -> None:
    """Raise UserError when something that can be seen from outside forbids a guest."""
    if os.uname().machine != "x86_64" or (image.modules and image.modules[0].image.machine != "x86-64"):
        raise cannot_ask("it is not a 64-bit x86 process", _FIGURES_STAY)
    status = status_of(pid, pid)
    if status is None or status.state in "ZX":
        raise process_ended()
    if name_of(pid, pid) == RECORDER_NAME:
        raise cannot_ask("it is a recorder of memtui's own", "watch the process that it records")
    if status.tracer:
        raise traced_by(pid, status.tracer)
    if status.state in "Tt":
        raise _stopped(pid)
    if is_frozen(pid, pid):
        raise frozen()
    emulator = _emulator(pid)
    if emulator:
        raise cannot_ask(f"it runs inside {emulator}, which takes no calls from outside", _FIGURES_STAY)
    if status.shadow_stack:
        raise cannot_ask(
            "it runs with shadow stacks", "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off, or without"
        )
    if status.seccomp == 1:
        raise cannot_ask("seccomp's strict mode would kill it for a new thread", "no way around it")


def _emulator(pid: int) -> str:
    """The name of the emulator that runs the program, so that the registers are not the program's; '' for a plain process."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    name = os.path.basename(path)
    if "/valgrind/" in path and name.endswith("-linux"):
        return "valgrind"
    return name if name.startswith("qemu-") else ""


def _stopped(pid: int) -> UserError:
    return cannot_ask("it is stopped", f"let it go on: kill -CONT {pid}")


def _refuse_filters(pid: int, host: Host) -> None:
    try:
        filters = _filters(pid, host)
    except OSError as error:
        if error.errno == errno.EPERM and os.geteuid() == 0:
            raise
        why = "it has a seccomp filter that cannot be read, and might kill it for a new thread"
        raise cannot_ask(why, "run memtui as root, or try it with --force-guest") from error
    call = forbidden_call(filters)
    if call is not None:
        why = f"its seccomp filter does not take {call}() kindly, and a new thread may need that"
        raise cannot_ask(why, "--force-guest tries it all the same; it may be killed")


def _filters(pid: int, host: Host) -> list[list[Instruction]]:
    """All filters of the thread, which is stopped while they are read. Raises NotNowError, OSError."""
    filters: list[list[Instruction]] = []
    try:
        with open_status(pid, host.tid) as status, stopped_thread(host.tid) as (thread, registers):
            try:
                while len(filters) < _MAX_FILTERS and (program := thread.seccomp_filter(len(filters))) is not None:
                    filters.append(program)
            finally:
                undo_interruption(thread, registers, status)
    except ThreadGoneError as error:
        raise NotNowError(str(error)) from error
    return filters
