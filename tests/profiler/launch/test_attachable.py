"""What a process shows of itself, hostile ones included."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memtui_profiler.launch.attachable import (
    MAX_BYTES,
    command_line,
    environment_of,
    process_name,
    refuse_what_cannot_be_watched,
)
from memtui_profiler.process.sampling import ProcessSampler
from tests.fixtures.waiting import until

# Says of itself that its arguments and its environment are 64 MiB long: any process may, proc_pid_cmdline(5).
ENDLESS = """
import ctypes, mmap, sys, time
size, libc = 64 << 20, ctypes.CDLL(None)
area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area[:-4] = b"a=" * (size // 2 - 2)  # without a NUL at their end they would be taken for a title, a page at most
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
field = lambda number: int(fields[number - 3])
libc.sbrk.restype = ctypes.c_void_p
text = [start, start + size - 1]
places = [field(26), field(27), field(45), field(46), field(47), libc.sbrk(0), field(28), *text, *text]
class Map(ctypes.Structure):
    _fields_ = [
        ("places", ctypes.c_uint64 * 11),
        ("auxv", ctypes.c_void_p),
        ("auxv_bytes", ctypes.c_uint32),
        ("exe", ctypes.c_uint32),
    ]
libc.prctl(15, ctypes.c_char_p(b"fifteen-letters"))
said = Map((ctypes.c_uint64 * 11)(*places), None, 0, 0xFFFFFFFF)
failed = libc.prctl(35, 14, ctypes.byref(said), ctypes.sizeof(said), 0)
print("refused" if failed else "done", flush=True)
time.sleep(600)
"""


@contextmanager
def running(*argv: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            until(lambda: process_name(process.pid) == Path(argv[0]).resolve().name, "it has become what it is")
            until(lambda: bool(command_line(process.pid)), "the kernel has its arguments")
            yield process
        finally:
            process.kill()


def test_arguments_that_do_not_end_are_cut() -> None:
    with running(sys.executable, "-c", ENDLESS) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"done\n":
            pytest.skip("this kernel does not let a process say so")
        assert 0 < sum(map(len, command_line(process.pid))) <= MAX_BYTES
        assert 0 < sum(map(len, environment_of(process.pid).values())) <= MAX_BYTES


def test_a_path_with_a_blank_and_no_arguments_is_one_word(tmp_path: Path) -> None:
    program = tmp_path / "my app" / "server"
    program.parent.mkdir()
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    with running(str(program)) as process:
        assert command_line(process.pid) == (str(program),)


def test_bytes_of_no_encoding_come_back_as_they_were() -> None:
    environment = {"PATH": "/usr/bin:/bin", "ODD": "\udcff=\r\n"}
    argv = ("/bin/cat", "-", "\udcfe\r\n")
    with running(*argv, environment=environment) as process:
        assert (command_line(process.pid), environment_of(process.pid)) == (argv, environment)


@pytest.mark.parametrize("name", [b"((a b ) ( c d) )", b") Z 1 2 3", b"\xff\n\x1b[2J"])
def test_a_hostile_name_moves_no_field(name: bytes) -> None:
    code = f"import ctypes; ctypes.CDLL(None).prctl(15, {name!r}); print(flush=True)\nwhile True: pass"
    with running(sys.executable, "-c", code) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert Path(f"/proc/{process.pid}/comm").read_bytes() == name[:15] + b"\n"
        refuse_what_cannot_be_watched(process.pid)
        sampler = ProcessSampler(process.pid)
        until(lambda: sampler.cpu_s() > 0, "it has used CPU time")
        sampler.close()
