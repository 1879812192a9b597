"""The loader's order of modules: as glibc's own loader prints it, and with memory that lies."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from memtui_profiler.process.foreign_memory import nothing
from memtui_profiler.process.image import ProcessImage
from memtui_profiler.process.load_order import MAX_MODULES, biases_in_load_order
from tests.fixtures.call_server import library, running

PRELOAD = "libtcmalloc.so.4:libjemalloc.so.2"


def order_by_the_loader(program: str) -> list[str]:
    """What ld.so prints instead of running the program (ld.so(8))."""
    environment = {**os.environ, "LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": PRELOAD}
    printed = subprocess.run([program], env=environment, capture_output=True, text=True, check=True).stdout
    paths = [word for line in printed.splitlines() for word in line.split() if word.startswith("/")]
    return [os.path.realpath(path) for path in paths]


def test_modules_are_in_the_order_of_loading() -> None:
    assert all("/" in library(name) for name in PRELOAD.split(":"))
    for _ in range(5):  # each has its own random addresses
        with running(preload=PRELOAD) as server:
            program, *libraries = [module.path for module in ProcessImage(server.pid).modules]
            assert Path(program).name == Path(os.readlink(f"/proc/{server.pid}/exe")).name
            assert libraries == order_by_the_loader(program)


def test_memory_that_cannot_be_read_tells_no_order() -> None:
    with running() as server:
        program = ProcessImage(server.pid).modules[0]
        assert biases_in_load_order(program.image, program.bias, nothing) == []


def test_an_endless_chain_ends() -> None:
    def circle(address: int, size: int) -> bytes:
        return struct.pack("<Q", 21) * (size // 8)  # each entry is DT_DEBUG, each pointer leads here again

    with running() as server:
        program = ProcessImage(server.pid).modules[0]
        assert len(biases_in_load_order(program.image, program.bias, circle)) == MAX_MODULES
