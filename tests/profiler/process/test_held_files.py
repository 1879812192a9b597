"""The files that a process runs are held on to where its paths lead to others."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from memtui_profiler.process.held_files import MAX_FILES, HeldFiles
from tests.fixtures.attached import running
from tests.fixtures.waiting import until


def maps_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/maps").read_bytes()


def test_nothing_is_held_of_what_is_where_it_was() -> None:
    files = HeldFiles()
    files.look(os.getpid(), maps_of(os.getpid()))
    assert files.paths == {}


@pytest.mark.parametrize("again", [False, True])
def test_a_deleted_program_can_be_read_even_after_its_end(tmp_path: Path, again: bool) -> None:
    program = Path(shutil.copy("/bin/sleep", tmp_path / "program"))
    content = program.read_bytes()
    files = HeldFiles()
    with running([program, "600"], preload="") as process:
        until(lambda: re.search(rb" r-xp .* %b\n" % os.fsencode(program), maps_of(process.pid)), "it runs")
        program.unlink()
        if again:
            shutil.copy("/bin/true", program)
        files.look(process.pid, maps_of(process.pid))
        files.look(process.pid, maps_of(process.pid))
    held = files.paths[f"{program} (deleted)"]
    assert Path(held).read_bytes() == content
    files.close()
    assert not files.paths and not os.path.exists(held)


def test_two_files_that_were_deleted_at_one_path_are_none() -> None:
    """An address in one of them must not be named by the other."""
    files = HeldFiles()
    line = b"%x-%x r-xp 00000000 08:01 %d /bin/sleep (deleted)\n"
    own = next(line for line in maps_of(os.getpid()).splitlines() if b" r-xp " in line and b"python" in line)
    start, _, end = own.split()[0].partition(b"-")
    inode = int(own.split()[4])
    files.look(os.getpid(), line % (int(start, 16), int(end, 16), inode))
    if not files.paths:
        pytest.skip("only root may open what is mapped here")
    files.look(os.getpid(), line % (0x1000, 0x2000, inode + 1))
    assert files.paths == {}
    files.close()


def test_what_a_hostile_process_maps_costs_no_more_than_so_many_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    files = HeldFiles()
    own = next(line for line in maps_of(os.getpid()).splitlines() if b" r-xp " in line and b"python" in line)
    span, rest = own.split(b" ", 1)
    text = b"".join(b"%s %s.%d (deleted)\n" % (span, rest, number) for number in range(10 * MAX_FILES))
    files.look(os.getpid(), b"not a line\n1-2 r-xp /\n/\n\n" + text)
    assert len(files.paths) <= MAX_FILES
    assert len(os.listdir("/proc/self/fd")) <= before + MAX_FILES
    files.close()
