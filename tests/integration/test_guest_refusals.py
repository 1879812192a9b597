"""Where there can be no guest, one sentence says why and what to do, and the process goes on as if nobody had asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.guest.arrival import arrive
from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError
from memtui_profiler.guest.libc import find_libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import Tracee
from memtui_profiler.guest.threads import status_of, thread_ids
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.guest import NOBODY, Target, as_user, build, guest_in, refusal_of, running, server
from tests.fixtures.waiting import until

STRICT, KILLS_CLONE, DENIES_MOST = 0, 1, 2  # enum filter in filters.h
FUTEX = 202
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's process takes root here")


def says(error: UserError, why: str, todo: str) -> bool:
    """Whether it is one sentence with these words, for a line of its own."""
    sentence = str(error)
    return why in error.why and todo in error.todo and "\n" not in sentence and not sentence.endswith(".")


def state_of(pid: int, tid: int) -> str:
    status = status_of(pid, tid)
    return status.state if status is not None else ""


def comes_and_asks(target: Target) -> None:
    with guest_in(target.pid) as arrival:
        address = ProcessImage(target.pid).address_of("malloc_trim")
        assert address is not None
        arrival.guest.call(address, 0, timeout_s=20)


def test_a_stopped_process() -> None:
    with server() as target:
        os.kill(target.pid, signal.SIGSTOP)
        until(lambda: state_of(target.pid, target.pid) == "T", "it is stopped")
        assert says(refusal_of(target.pid), "it is stopped", f"kill -CONT {target.pid}")
        assert state_of(target.pid, target.pid) == "T"
        os.kill(target.pid, signal.SIGCONT)
        comes_and_asks(target)
        assert target.serves()


def test_a_process_that_is_stopped_while_a_guest_is_in_it() -> None:
    with server() as target, guest_in(target.pid) as arrival:
        address = ProcessImage(target.pid).address_of("malloc_trim")
        assert address is not None
        os.kill(target.pid, signal.SIGSTOP)
        until(lambda: state_of(target.pid, arrival.guest.tid) == "T", "it is stopped")
        with pytest.raises(GuestBusyError, match="the process is stopped: kill -CONT"):
            arrival.guest.call(address, 0, timeout_s=20)
        assert state_of(target.pid, target.pid) == "T"
        os.kill(target.pid, signal.SIGCONT)
        until(lambda: state_of(target.pid, arrival.guest.tid) == "S", "it goes on")
        arrival.guest.call(address, 0, timeout_s=20)
        assert target.serves()


def traced_by_another(pid: int, meanwhile: Callable[[int], None]) -> None:
    """``meanwhile`` is given the tracer's pid."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        Tracee(pid)
        os.write(writer, b"x")
        signal.pause()
    os.read(reader, 1)
    try:
        meanwhile(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_a_process_that_somebody_traces() -> None:
    def ask(tracer: int) -> None:
        assert says(refusal_of(target.pid), f"pid {tracer} (", f"kill {tracer}")
        assert target.serves()

    with server() as target:
        traced_by_another(target.pid, ask)
        comes_and_asks(target)


def test_one_thread_that_somebody_traces_is_passed_over() -> None:
    def ask(tracer: int) -> None:
        with guest_in(target.pid) as arrival:
            assert arrival.host_tid not in (0, worker)
        assert target.serves()

    with server("read", 1) as target:
        worker = thread_ids(target.pid)[1]
        traced_by_another(worker, ask)


def test_a_guest_that_somebody_traces() -> None:
    def ask(tracer: int) -> None:
        with pytest.raises(GuestBusyError, match="somebody else traces it"):
            arrival.guest.call(arrival.guest.libc.prctl, 0, timeout_s=20)

    with server() as target, guest_in(target.pid) as arrival:
        traced_by_another(arrival.guest.tid, ask)
        arrival.guest.call(arrival.guest.libc.prctl, 0, timeout_s=20)


def test_seccomps_strict_mode() -> None:
    with server() as target:
        assert target.ask(f"filter {STRICT}") == "done"
        assert says(refusal_of(target.pid), "strict mode", "no way around it")
        assert target.serves()


@needs_root
def test_a_filter_that_kills_for_a_new_thread() -> None:
    with server() as target:
        assert target.ask(f"filter {KILLS_CLONE}") == "done"
        assert says(refusal_of(target.pid), "does not take clone() kindly", "--force-guest")
        assert target.serves()


@needs_root
def test_a_filter_as_a_containers_is_no_refusal() -> None:
    with server("epoll") as target:
        assert target.ask(f"filter {DENIES_MOST}") == "done"
        comes_and_asks(target)
        assert target.serves()


@needs_root
def test_an_ordinary_user_may_not_read_filters() -> None:
    with server(user=NOBODY) as target:
        assert target.ask(f"filter {DENIES_MOST}") == "done"
        said = as_user(NOBODY, lambda: str(refusal_of(target.pid)))
        assert "seccomp filter that cannot be read" in said
        assert "--force-guest" in said
        assert target.serves()

        def insist() -> str:
            with guest_in(target.pid, force=True):
                return "came"

        assert as_user(NOBODY, insist) == "came"
        assert target.serves()


@needs_root
def test_another_users_process() -> None:
    with server() as target:
        said = as_user(NOBODY, lambda: str(refusal_of(target.pid)))
        assert said == (
            f"cannot ask the process: it is root's, or has privileges of its own: sudo memtui attach {target.pid}"
        )
        assert target.serves()
    with server(user=1) as target:
        said = as_user(NOBODY, lambda: str(refusal_of(target.pid)))
        assert said == f"cannot ask the process: it belongs to user 1: sudo memtui attach {target.pid}"


@needs_root
def test_an_ordinary_user_asks_a_process_of_his_own() -> None:
    with server("epoll", 2, user=NOBODY) as target:

        def ask() -> str:
            comes_and_asks(target)
            return "answered"

        assert as_user(NOBODY, ask) == "answered"
        assert target.serves()


def test_threads_that_never_sleep() -> None:
    with server() as target:
        assert target.ask("spin 1") == "done"
        target.falls_asleep(FUTEX)
        assert says(refusal_of(target.pid), "no thread of it slept where it is safe", "less busy")
        assert state_of(target.pid, thread_ids(target.pid)[1]) == "R"


def test_a_thread_in_a_signal_handler_is_no_host() -> None:
    with server() as target:
        comes_and_asks(target)
        target.send("handle")
        target.falls_asleep(0)
        assert says(refusal_of(target.pid), "no thread of it slept where it is safe", "less busy")
        assert target.ask("go on") == "handled"


def test_a_process_that_can_make_no_thread() -> None:
    with server() as target:
        assert target.ask("no memory") == "done"
        assert says(refusal_of(target.pid), "could make no further thread", "ulimit -u")
        assert target.serves()


def test_a_process_that_has_ended() -> None:
    with server() as target:
        image, memory = ProcessImage(target.pid), ProcessMemory(target.pid)
        os.kill(target.pid, signal.SIGKILL)
        until(lambda: state_of(target.pid, target.pid) == "Z", "it is a zombie")
        with pytest.raises(GuestGoneError, match="it has ended"):
            arrive(target.pid, image, memory)
        target.process.wait()
        with pytest.raises(GuestGoneError, match="it has ended"):
            arrive(target.pid, image, memory)
        memory.close()


def test_a_kernel_thread() -> None:
    try:
        image = ProcessImage(2)
    except (PermissionError, FileNotFoundError):
        pytest.skip("the kernel's threads cannot be seen here")
    if image.mappings:
        pytest.skip("pid 2 is no thread of the kernel here")
    with pytest.raises(UserError, match="no memory of its own, as a kernel thread"):
        find_libc(image)


@pytest.mark.parametrize("flags", [(), ("-static",)])
def test_musl(flags: tuple[str, ...]) -> None:
    try:
        program = build("plain", *flags, compiler="musl-gcc")
    except FileNotFoundError:
        pytest.skip("musl-gcc is not installed")
    with running([program]) as target:
        why = "its C library lacks pthread_create" if flags else "its C library is musl"
        assert says(refusal_of(target.pid), why, "glibc")
        assert target.serves()


def test_a_process_of_32_bits() -> None:
    program = build("narrow", "-m32", "-ffreestanding", "-fno-pic", "-nostdlib", "-static")
    try:
        with running([program]) as target:
            assert says(refusal_of(target.pid), "not a 64-bit x86 process", "RSS, files, threads")
            assert target.ask("") == "fine"
    except OSError:
        pytest.skip("the kernel here runs no program of 32 bits")


def test_a_process_of_another_machine() -> None:
    with server() as target:
        image, memory = ProcessImage(target.pid), ProcessMemory(target.pid)
        program = image.modules[0]
        forged = replace(program, image=replace(program.image, machine="aarch64"))
        image.modules = (forged, *image.modules[1:])
        with pytest.raises(UserError, match="not a 64-bit x86 process"):
            arrive(target.pid, image, memory)
        memory.close()


def test_a_process_under_valgrind() -> None:
    with running(["valgrind", "-q", build("plain")]) as target:
        assert says(refusal_of(target.pid), "it runs inside valgrind", "RSS, files, threads")
        assert target.serves()


def test_a_program_that_is_linked_statically() -> None:
    with running([build("plain", "-static")]) as target:
        assert says(
            refusal_of(target.pid), "its C library lacks pthread_create, pause", "link it with the system's glibc"
        )
        assert target.serves()
