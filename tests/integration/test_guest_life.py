"""A guest through what a process can do meanwhile: exec, end its main thread, not come back from a call, be seen by two memtuis;
and in processes whose files are not where their paths say."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.errors import UserError
from memtui_profiler.guest.arrival import arrive
from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError
from memtui_profiler.guest.guest import GuestThread
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.parking import PAUSE
from memtui_profiler.guest.threads import name_of, sleep_of, thread_ids
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.call_server import find_allocator, library
from tests.fixtures.guest import (
    NOBODY,
    TCMALLOC,
    arrive_in,
    as_user,
    build,
    die_in_a_child,
    guest_in,
    kill_self,
    refusal_of,
    running,
    server,
)
from tests.fixtures.waiting import until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that here")
CALL_S = 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into."""
    folder = Path(tempfile.mkdtemp(prefix="memtui-guest-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def sleeps(pid: int) -> int:
    address = ProcessImage(pid).address_of("sleep")
    assert address is not None
    return address


def is_gone(guest: GuestThread) -> bool:
    return not os.path.exists(f"/proc/{guest.pid}/task/{guest.tid}")


def asks_tcmalloc(pid: int) -> int:
    """Bytes in use, as the guest reads them."""
    with guest_in(pid) as arrival:
        allocator = find_allocator(ProcessImage(pid))
        assert allocator is not None
        assert allocator.name == "tcmalloc"
        return allocator.stats(arrival.guest).in_use_bytes


def test_it_has_a_name_and_leaves_no_thread() -> None:
    with server("epoll", 2) as target:
        before = thread_ids(target.pid)
        with guest_in(target.pid) as arrival:
            assert name_of(target.pid, arrival.guest.tid) == "memtui"
        assert thread_ids(target.pid) == before


def test_a_second_visit_disturbs_nobody() -> None:
    with server() as target:
        first = arrive_in(target.pid)
        second = arrive_in(target.pid)
        assert (second.guest.tid, second.host_tid) == (first.guest.tid, 0)
        second.guest.leave()
        assert is_gone(first.guest)


def test_an_exec_ends_it_and_a_new_one_can_come() -> None:
    with server() as target:
        guest = arrive_in(target.pid).guest
        target.send("exec")
        assert target.answer() == "ready"
        with pytest.raises(GuestGoneError):
            guest.call(guest.libc.prctl, 0, timeout_s=20)
        guest.leave()
        with guest_in(target.pid) as arrival:
            arrival.guest.call(arrival.guest.libc.prctl, 0, timeout_s=20)
        assert target.serves()


def test_the_end_of_the_process_ends_it() -> None:
    with server() as target:
        guest = arrive_in(target.pid).guest
        os.kill(target.pid, signal.SIGKILL)
        target.process.wait()
        with pytest.raises(GuestGoneError):
            guest.call(guest.libc.prctl, 0, timeout_s=20)
        guest.leave()


def test_it_does_not_keep_a_process_alive_whose_main_thread_has_left() -> None:
    with server() as target:
        guest = arrive_in(target.pid).guest
        assert target.ask("leave main") == "done"
        until(
            lambda: Path(f"/proc/{target.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "main has left"
        )
        with pytest.raises(GuestGoneError):
            guest.call(guest.libc.prctl, 0, timeout_s=20)
        until(lambda: is_gone(guest), "the guest has left, too")
        assert len(thread_ids(target.pid)) > 1


def test_a_call_that_does_not_come_back_in_time_is_left_to_finish() -> None:
    with server() as target:
        sleep = sleeps(target.pid)
        with guest_in(target.pid) as arrival:
            guest = arrival.guest
            with pytest.raises(GuestBusyError, match=r"did not come back within 0\.05 s: the call is left to finish"):
                guest.call(sleep, CALL_S, timeout_s=0.05)
            assert guest.busy
            with pytest.raises(GuestBusyError, match="an earlier call has not come back yet"):
                guest.call(guest.libc.prctl, 0, timeout_s=20)
            assert target.serves()
            until(lambda: not guest.busy, "the call has come back")
            guest.call(guest.libc.prctl, 0, timeout_s=20)


def test_it_leaves_from_a_call_when_that_comes_back() -> None:
    with server() as target:
        before = thread_ids(target.pid)
        guest = arrive_in(target.pid).guest
        guest.begin(sleeps(target.pid), CALL_S)
        guest.leave()
        assert not is_gone(guest)
        until(lambda: is_gone(guest), "it has left")
        assert thread_ids(target.pid) == before
        assert target.serves()


@pytest.mark.parametrize("last", range(4))
def test_an_asker_that_dies_while_it_lets_go_of_a_call_leaves_a_guest_that_can_be_had(last: int) -> None:
    """It is killed after each of the writes that lay the way home."""

    class Dying(ProcessMemory):
        writes = 0

        def write(self, address: int, data: bytes) -> None:
            if self.writes == last:
                kill_self()
            self.writes += 1
            super().write(address, data)

    def begin_and_leave() -> None:
        memory = ProcessMemory(target.pid)
        guest = arrive(target.pid, ProcessImage(target.pid), memory).guest
        guest.begin(sleeps(target.pid), CALL_S)
        guest.memory = Dying(target.pid)
        guest.leave()

    with server() as target:
        before = thread_ids(target.pid)
        assert die_in_a_child(begin_and_leave) == (signal.SIGKILL if last < 3 else None)
        until(lambda: is_idle(target.pid, before), "the call has come back")
        with guest_in(target.pid) as arrival:
            arrival.guest.call(arrival.guest.libc.prctl, 0, timeout_s=20)
        assert thread_ids(target.pid) == before
        assert target.serves()


def is_idle(pid: int, threads: list[int]) -> bool:
    """Whether each thread but these has ended or is parked."""
    others = [sleep_of(pid, tid) for tid in thread_ids(pid) if tid not in threads]
    return all(sleep is not None and sleep.number == PAUSE for sleep in others)


@pytest.mark.parametrize("how", ["epoll", "thread"])
@pytest.mark.parametrize("local_bytes", [100_000, 5_000_000])
def test_thread_local_variables_have_room_on_the_guests_stack(local_bytes: int, how: str) -> None:
    program = build("server", f"-DLOCAL_BYTES={local_bytes}")
    with running([program, how, "2"], preload=TCMALLOC) as target:
        assert asks_tcmalloc(target.pid) > 0
        assert target.serves()


def test_thread_local_variables_that_take_too_much_of_a_stack() -> None:
    with running([build("server", "-DLOCAL_BYTES=50000000"), "read"]) as target:
        refusal = refusal_of(target.pid)
        assert refusal.why == "its thread-local variables take 47 MiB of each thread's stack"
        assert target.serves()


def test_an_asked_process_is_left_from_a_call_likewise() -> None:
    with server() as target:
        asked = AskedProcess(target.pid, force=False, on_arrival=lambda arrival: None)
        guest = asked.guest
        guest.begin(sleeps(target.pid), CALL_S)
        asked.leave()
        until(lambda: is_gone(guest), "it has left")


def test_two_memtuis_have_a_guest_each() -> None:
    with server("epoll", 2, preload=TCMALLOC) as target:
        reader, writer = os.pipe()
        go, going = os.pipe()
        other = os.fork()
        if other == 0:
            try:
                guest = arrive_in(target.pid).guest
                os.write(writer, str(guest.tid).encode())
                os.read(go, 1)
                for _ in range(100):
                    guest.call(guest.libc.prctl, 0, timeout_s=20)
                guest.leave()
                os._exit(0)
            finally:
                os._exit(1)
        theirs = int(os.read(reader, 16))
        ours = arrive_in(target.pid).guest
        assert ours.tid != theirs
        os.write(going, b"x")
        for _ in range(100):
            ours.call(ours.libc.prctl, 0, timeout_s=20)
        ours.leave()
        assert is_gone(ours)
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
        assert target.serves()
        for descriptor in (reader, writer, go, going):
            os.close(descriptor)


def test_a_program_and_a_library_that_were_deleted(open_folder: Path) -> None:
    program, tcmalloc = open_folder / "server", open_folder / TCMALLOC
    shutil.copy(build("server"), program)
    shutil.copy(library(TCMALLOC), tcmalloc)
    with running([program, "epoll", "2"], preload=tcmalloc) as target:
        expected = asks_tcmalloc(target.pid)
        program.unlink()
        tcmalloc.unlink()
        # Another program and another library lie there now.
        shutil.copy(build("plain"), program)
        shutil.copy(library("libc.so.6"), tcmalloc)
        if os.geteuid() != 0:
            pytest.skip("a deleted library is root's to read here")
        assert asks_tcmalloc(target.pid) == pytest.approx(expected, rel=0.5, abs=1 << 20)
        assert target.serves()


@needs_root
def test_an_ordinary_user_and_deleted_files(open_folder: Path) -> None:
    """The program itself he reads by /proc/PID/exe; a library that is gone he does not, and is told so if it is libc."""
    program, tcmalloc = open_folder / "server", open_folder / TCMALLOC
    shutil.copy(build("server"), program)
    shutil.copy(library(TCMALLOC), tcmalloc)
    with server(preload=tcmalloc, user=NOBODY) as target:
        tcmalloc.unlink()

        def ask() -> str:
            with guest_in(target.pid) as arrival:
                arrival.guest.call(arrival.guest.libc.prctl, 0, timeout_s=20)
            return str(ProcessImage(target.pid).address_of("tc_malloc"))

        assert as_user(NOBODY, ask) == "None"
        assert target.serves()
    libc = open_folder / "libc.so.6"
    shutil.copy(library("libc.so.6"), libc)
    with running([program, "read"], preload=libc, user=NOBODY) as target:
        libc.unlink()
        assert "its C library was replaced since it started" in as_user(NOBODY, lambda: str(refusal_of(target.pid)))
        assert target.serves()


@needs_root
def test_a_process_of_other_namespaces(open_folder: Path) -> None:
    """As a container's: its pids and its paths are others than here, and its files can be reached from its root alone."""
    files, root = open_folder / "files", open_folder / "root"
    root.mkdir()
    tcmalloc = Path(library(TCMALLOC))
    for name, path in (("server", build("server")), (TCMALLOC, tcmalloc), ("env", Path("/usr/bin/env"))):
        needed = subprocess.run(["ldd", str(path)], check=True, capture_output=True, text=True).stdout
        for found in map(Path, re.findall(r"(/\S+) \(0x", needed)):
            inside = files / found.relative_to("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found.resolve(), inside)
        shutil.copy(path, files / name)
    unshare = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c"]
    mount = f"mount -t tmpfs none {root} && cp -a {files}/. {root}"
    if subprocess.run([*unshare, mount], capture_output=True).returncode:
        pytest.skip("namespaces cannot be made here")
    command = f"{mount} && exec chroot {root} /env LD_PRELOAD=/{TCMALLOC} /server epoll 2"
    with running([*unshare, command]) as target:
        pid = int(Path(f"/proc/{target.pid}/task/{target.pid}/children").read_text().split()[0])
        assert not Path(ProcessImage(pid).modules[0].path).exists()
        assert Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[:2] == [str(pid), "1"]
        assert asks_tcmalloc(pid) > 0
        assert target.serves()


def test_a_glibc_that_is_older_than_what_was_tried() -> None:
    with server() as target:
        memory = ProcessMemory(target.pid)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("memtui_profiler.guest.libc.OLDEST_GLIBC", (9, 0))
            with pytest.raises(UserError, match="is older than what memtui was tested with: --force-guest"):
                arrive(target.pid, ProcessImage(target.pid), memory)
            arrive(target.pid, ProcessImage(target.pid), memory, force=True).guest.leave()
        memory.close()
