"""What is mapped in real processes, and where their functions are: as the processes say themselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memtui_profiler.guest.libc import find_libc
from memtui_profiler.process.image import LoadedModule, ProcessImage, mapping_at, open_mapped
from tests.fixtures.guest import NOBODY, Target, as_user, build, running

HOW = {
    "pie": ("-pie", "-fPIE"),
    "no pie": ("-no-pie", "-fno-pie"),
    "static": ("-static", "-DSTATIC"),
    "static pie": ("-static-pie", "-fPIE", "-DSTATIC"),
}
ANY_OF_LIBC = "getenv"


@contextmanager
def symbols(program: Path, *, user: int | None = None) -> Iterator[tuple[Target, dict[str, int]]]:
    """The process and what it says of itself."""
    with running([program], ready="", user=user) as target:
        said = {}
        while (line := target.answer()) != "all":
            name, address = line.split()
            said[name] = int(address, 16)
        yield target, said


def module_of(image: ProcessImage, address: int) -> LoadedModule | None:
    return next((m for m in image.modules if mapping_at(m.mappings, address)), None)


@pytest.mark.parametrize("how", list(HOW))
def test_addresses_are_those_that_the_program_finds(how: str) -> None:
    path = build("symbols", *HOW[how])
    with symbols(path) as (target, said):
        image = ProcessImage(target.pid)
        assert {name: image.address_of(name) for name in said} == said
        assert {name: image.address_of(name) for name in said} == said
        assert image.address_of("no_such_function_anywhere") is None
        program = image.modules[0]
        assert program.path == str(path)
        assert image.addresses_in(program, ["main", "no_such_function_anywhere"]) == {"main": said["main"]}
        assert module_of(image, said["main"]) == program
        of_libc = module_of(image, said[ANY_OF_LIBC])
        assert of_libc is not None
        assert (of_libc == program) == how.startswith("static")


def test_what_lies_at_an_address() -> None:
    with symbols(build("symbols")) as (target, said):
        image = ProcessImage(target.pid)
        code, data = (
            mapping_at(image.mappings, said["main"]),
            mapping_at(image.mappings, said["a_variable_of_the_program"]),
        )
        assert code is not None
        assert data is not None
        assert (code.permissions, data.permissions) == ("r-xp", "rw-p")
        assert mapping_at(image.mappings, 0) is None
        assert module_of(image, 0) is None
        parts = dict(image.code_of(image.modules[0]))
        assert code.start in parts
        with open(f"/proc/{target.pid}/mem", "rb") as memory:
            memory.seek(said["main"])
            at = said["main"] - code.start
            assert parts[code.start][at : at + 64] == memory.read(64)


def test_the_c_library_is_found_in_it() -> None:
    with symbols(build("symbols")) as (target, said):
        libc = find_libc(ProcessImage(target.pid))
        for name in ("pause", "prctl", "exit", "pthread_create"):
            assert getattr(libc, name) == said[name]
        with open(f"/proc/{target.pid}/mem", "rb") as memory:
            memory.seek(libc.system_call)
            assert memory.read(5) == bytes.fromhex("0f05 4885c0")  # syscall; test %rax, %rax
            memory.seek(libc.ret)
            assert memory.read(1) == b"\xc3"
            memory.seek(libc.restorer)
            assert memory.read(9) == bytes.fromhex("48c7c00f000000 0f05")  # mov $15, %rax; syscall
        assert said["clone"] < libc.system_call < libc.ret < said["clone"] + 256
        version = os.confstr("CS_GNU_LIBC_VERSION")
        assert version is not None
        assert libc.version == tuple(map(int, version.split()[1].split(".")))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_program_whose_file_is_gone(tmp_path: Path, replaced: bool) -> None:
    program = tmp_path / "symbols"
    shutil.copy(build("symbols"), program)
    with symbols(program) as (target, said):
        program.unlink()
        if replaced:
            shutil.copy(build("plain"), program)
        image = ProcessImage(target.pid)
        assert {name: image.address_of(name) for name in said} == said
        with image.open(image.modules[0]) as stream:
            assert stream.read() == build("symbols").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user takes root here")
def test_an_ordinary_user_takes_no_file_that_lies_there_now(tmp_path: Path) -> None:
    """He may not open map_files; /proc/PID/exe serves for the program alone."""
    with symbols(build("symbols"), user=NOBODY) as (target, said):

        def look() -> str:
            image = ProcessImage(target.pid)
            return " ".join(f"{name}={image.address_of(name):x}" for name in said)

        assert as_user(NOBODY, look) == " ".join(f"{name}={address:x}" for name, address in said.items())


def test_a_mapping_of_no_file_cannot_be_opened() -> None:
    with symbols(build("symbols")) as (target, _):
        stack = next(m for m in ProcessImage(target.pid).mappings if m.path == "[stack]")
        with pytest.raises(OSError):
            open_mapped(target.pid, stack)


def test_a_process_that_is_not_there() -> None:
    with symbols(build("symbols")) as (target, _):
        pid = target.pid
    with pytest.raises(FileNotFoundError):
        ProcessImage(pid)
