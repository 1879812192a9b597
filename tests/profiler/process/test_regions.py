"""What real processes have mapped, by kind; and the marks of runtimes, as their processes were seen to have them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memtui_parsers.procfs.maps import parse_mapping
from memtui_parsers.procfs.smaps import ResidentMapping
from memtui_profiler.process.foreign_memory import nothing
from memtui_profiler.process.regions import MAX_REGIONS, Region, look_at_regions
from memtui_profiler.process.runtimes import runtime_of
from memtui_profiler.region_kinds import RegionKind
from tests.fixtures import mapped_memory
from tests.fixtures.leaky import BUILT
from tests.fixtures.mapped_memory import holding

MIB = 1 << 20


def region(pid: int, kind: RegionKind, name: str = "") -> Region:
    found = next((one for one in look_at_regions(pid).regions if (one.kind, one.name) == (kind, name)), None)
    assert found is not None, look_at_regions(pid).regions
    return found


def rollup(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def test_the_regions_add_up_to_what_the_kernel_says() -> None:
    with holding("stacks") as pid:
        look = look_at_regions(pid)
        assert look.whole.rss_bytes == pytest.approx(rollup(pid, "Rss"), abs=MIB)
        assert look.whole.rss_bytes == sum(one.rss_bytes for one in look.regions)
        assert look.whole.mappings == sum(one.mappings for one in look.regions)
        assert [one.rss_bytes for one in look.regions] == sorted((one.rss_bytes for one in look.regions), reverse=True)


def test_huge_pages_are_those_of_this_very_process() -> None:
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    with holding("huge") as pid, holding("small") as other:
        look = look_at_regions(pid)
        assert look.whole.huge_bytes == rollup(pid, "AnonHugePages")
        if "[never]" not in enabled:
            assert look.whole.huge_bytes >= mapped_memory.HUGE_BYTES / 2
        assert look_at_regions(other).whole.huge_bytes == rollup(other, "AnonHugePages") == 0


def test_thread_stacks_are_counted_and_nothing_else_is_one() -> None:
    with holding("stacks") as pid, holding("many") as other:
        stacks = region(pid, RegionKind.STACKS)
        assert stacks.mappings == mapped_memory.THREADS
        assert stacks.rss_bytes / stacks.mappings == pytest.approx(mapped_memory.TOUCHED_BYTES, rel=0.1)
        looks_alike = look_at_regions(other)  # pages behind guards, and one thread alone
        assert not any(one.kind is RegionKind.STACKS for one in looks_alike.regions)


@pytest.mark.parametrize(("kind", "name"), [("memfd", "/memfd:cache of ours"), ("shared", "")])
def test_shared_memory(kind: str, name: str) -> None:
    with holding(kind) as pid:
        assert region(pid, RegionKind.SHARED, name).rss_bytes == mapped_memory.SHARED_BYTES


def test_a_file_in_tmpfs_is_shared_memory_and_one_on_a_disk_is_a_file() -> None:
    script = """import mmap, sys
files = [open(path, "r+b") for path in sys.argv[1:]]
maps = [mmap.mmap(file.fileno(), 0) for file in files]
print([one.read() for one in maps] and "ready", flush=True)
input()"""
    # Not below /tmp, which is a tmpfs on some machines.
    BUILT.mkdir(exist_ok=True)
    paths = [Path(f"/dev/shm/memtui-test-{os.getpid()}"), BUILT / f"file-{os.getpid()}"]
    try:
        for path in paths:
            path.write_bytes(b"x" * MIB)
        with subprocess.Popen(
            [sys.executable, "-c", script, *map(str, paths)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            kinds = {one.name: one.kind for one in look_at_regions(process.pid).regions}
            process.kill()
    finally:
        for path in paths:
            path.unlink()
    assert (kinds[str(paths[0])], kinds.get(str(paths[1]), RegionKind.FILE)) == (RegionKind.SHARED, RegionKind.FILE)


def test_pythons_own_arenas() -> None:
    script = "a=[[n] for n in range(400000)];print(1,flush=True);input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        arenas = region(process.pid, RegionKind.RUNTIME, "Python objects (arenas)")
        process.kill()
    # 400,000 lists of one number take 56 bytes each, besides the numbers; some arenas lie beside other mappings.
    assert 10 * MIB <= arenas.rss_bytes <= 80 * MIB


def test_what_another_allocator_maps_in_python_is_not_pythons() -> None:
    """Multiples of 1 MiB, as jemalloc maps them in duckdb and pyarrow: empty, and with content."""
    script = """import mmap
held = [mmap.mmap(-1, size << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for size in (8, 24, 32)]
for number, one in enumerate(held):
    one.write(bytes([number]) * len(one))
print(1, flush=True)
input()"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        regions = look_at_regions(process.pid).regions
        process.kill()
    assert sum(one.rss_bytes for one in regions if one.kind is RegionKind.RUNTIME) < 24 * MIB
    assert next(one for one in regions if (one.kind, one.name) == (RegionKind.ANONYMOUS, "")).rss_bytes >= 64 * MIB


def test_so_many_mappings_take_seconds_at_most_and_end_at_the_deadline() -> None:
    with holding("many") as pid:
        began = time.process_time()
        look = look_at_regions(pid)
        assert time.process_time() - began < 8
        assert look.whole.mappings >= mapped_memory.MANY and len(look.regions) <= MAX_REGIONS + 1
        with pytest.raises(TimeoutError):
            look_at_regions(pid, deadline_s=0.0)


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(OSError):
        look_at_regions(process.pid)


def seen(line: str, rss_kib: int = 100) -> ResidentMapping:
    return ResidentMapping(parse_mapping(line.encode()), rss_bytes=rss_kib * 1024)


# Lines of Go 1.19, OpenJDK 17, Node 20 and Python 3.11 as they ran on this project's machines, and what is beside them.
GO = "c000000000-c003400000 rw-p 00000000 00:00 0"
JAVA_LIBRARY = "7fcdcc251000-7fcdccfa4000 r-xp 00251000 fe:00 328261 /usr/lib/jvm/java-17/lib/server/libjvm.so"
JAVA_HEAP = "f0000000-ffe00000 rw-p 00000000 00:00 0"
JAVA_CODE = "7fcdb0000000-7fcdb0270000 rwxp 00000000 00:00 0"
V8_HEAP = "19f219480000-19f219774000 rw-p 00000000 00:00 0"
ADDON = "7ff12b000000-7ff12b19f000 r-xp 00000000 fe:00 12 /srv/node_modules/rolldown/binding.node"
V8_CODE = "7ff1400c0000-7ff140100000 r-xp 00000000 00:00 0"
ELSEWHERE = "7ff12c000000-7ff12c19f000 rw-p 00000000 00:00 0"


@pytest.mark.parametrize(
    ("program", "lines", "names"),
    [
        ("server", [GO, ELSEWHERE], ["Go heap", ""]),
        ("java", [JAVA_LIBRARY, JAVA_HEAP, JAVA_CODE, ELSEWHERE], ["", "Java heap or classes", "Java code (JIT)", ""]),
        ("node", [V8_HEAP, V8_CODE, ELSEWHERE], ["V8 heap", "V8 code (JIT)", ""]),
        ("node", [V8_HEAP, ADDON], ["V8 heap or another allocator's", ""]),
        ("chrome", [V8_HEAP], ["V8 heap or another allocator's"]),
        ("python3.11", ["7faf1cf66000-7faf1d566000 rw-p 00000000 00:00 0"], [""]),  # whose memory may not be read
    ],
)
def test_runtimes_are_known_by_their_addresses(program: str, lines: list[str], names: list[str]) -> None:
    entries = [seen(line) for line in lines]
    runtime = runtime_of(program, entries, nothing)
    assert runtime is not None
    assert [runtime.name_of(entry) for entry in entries] == names


@pytest.mark.parametrize("line", [V8_HEAP, JAVA_HEAP, JAVA_CODE, "7faf1cf66000-7faf1d566000 rw-p 00000000 00:00 0"])
def test_without_its_runtime_such_memory_has_no_name(line: str) -> None:
    assert runtime_of("server", [seen(line)], nothing) is None


# As libsodium and hardened allocators map a block that overflows must not leave.
GUARDED_BLOCK = ("7f0020000000-7f0020001000 ---p 00000000 00:00 0", "7f0020001000-7f0020009000 rw-p 00000000 00:00 0")


@pytest.mark.parametrize(("head", "arenas"), [(b"", 1), (0x4000030, 1), (0x8000020, 1), (0, 0), (7, 0)])
def test_an_arena_begins_with_the_address_of_its_head(tmp_path: Path, head: int | bytes, arenas: int) -> None:
    """mimalloc maps memory of that size and alignment, too. b"": the memory may not be read."""
    (tmp_path / "7" / "task" / "7").mkdir(parents=True)
    lines = ["4000000-4021000 rw-p 00000000 00:00 0", "4021000-8000000 ---p 00000000 00:00 0"]
    (tmp_path / "7" / "smaps").write_text("".join(f"{line}\nRss: 8 kB\n" for line in lines))
    if isinstance(head, int):
        with open(tmp_path / "7" / "mem", "wb") as stream:
            stream.seek(0x4000000)
            stream.write(head.to_bytes(8, "little"))
    found = [
        one for one in look_at_regions(7, proc=tmp_path).regions if (one.kind, one.name) == (RegionKind.HEAP, "arenas")
    ]
    assert len(found) == arenas


def test_a_stack_may_begin_where_an_arena_would(tmp_path: Path) -> None:
    """Both are plain memory behind memory without rights; an arena has the rest of its 64 MiB behind it."""
    lines = [
        "7f0000fff000-7f0004000000 ---p 00000000 00:00 0",  # the rest of another arena
        "7f0004000000-7f0004021000 rw-p 00000000 00:00 0",  # an arena
        "7f0004021000-7f0008000000 ---p 00000000 00:00 0",
        "7f0013fff000-7f0014000000 ---p 00000000 00:00 0",
        "7f0014000000-7f0014800000 rw-p 00000000 00:00 0",  # a stack
        "7f0014800000-7f0014801000 ---p 00000000 00:00 0",
        "7f0014801000-7f0015001000 rw-p 00000000 00:00 0",  # a stack
    ]
    process = tmp_path / "7"
    for thread, pointer in (("7", "0x7ffe00000000"), ("8", "0x7f00147ff000")):
        (process / "task" / thread).mkdir(parents=True)
        (process / "task" / thread / "syscall").write_text(f"34 0x0 {pointer} 0x1\n")
    (process / "smaps").write_text("".join(f"{line}\nRss: 8 kB\n" for line in lines))
    regions = {(one.kind, one.name): one.mappings for one in look_at_regions(7, proc=tmp_path).regions}
    assert regions[RegionKind.STACKS, ""] == 2 and regions[RegionKind.HEAP, "arenas"] == 1
    (process / "task" / "8" / "syscall").write_text("34 0x0 0xc000047da8 0x1\n")  # as of Go's threads
    assert all(one.kind is not RegionKind.STACKS for one in look_at_regions(7, proc=tmp_path).regions)
    (process / "task" / "8" / "syscall").write_text("34 0x0 0x7f00147ff000 0x1\n")
    (process / "smaps").write_text("".join(f"{line}\nRss: 8 kB\n" for line in (*lines, *GUARDED_BLOCK)))
    regions = {(one.kind, one.name): one.mappings for one in look_at_regions(7, proc=tmp_path).regions}
    assert regions[RegionKind.STACKS, ""] == 2, "memory behind a guard that is not of a stack's size is none"
