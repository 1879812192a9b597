"""smaps as this kernel writes it, against smaps_rollup and psutil; in pieces, damaged, hostile."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import psutil
import pytest

from memtui_parsers.procfs.smaps import ResidentMapping, memory_devices, resident_mappings, stack_pointer

KB = 1024
ENTRY = b"""\
7f0412ef0000-7f04136f0000 rw-p 00000000 00:00 0 
Size:               8192 kB
Rss:                 200 kB
Pss:                 100 kB
Shared_Clean:          4 kB
Shared_Dirty:          8 kB
Private_Dirty:       180 kB
AnonHugePages:      2048 kB
FilePmdMapped:      4096 kB
Swap:                 12 kB
VmFlags: rd wr mr mw me gu ac nh 
"""  # noqa: W291  as the kernel writes it


def figure(text: str, name: str) -> int:
    return next(int(line.split()[1]) * KB for line in text.splitlines() if line.startswith(f"{name}:"))


def test_an_entry_in_pieces_of_any_size() -> None:
    text = ENTRY + ENTRY.replace(b"gu ", b"").replace(b"00:00 0 ", b"fe:1f 9 /srv/a b")
    whole = list(resident_mappings([text]))
    assert [list(resident_mappings(text[at : at + n] for at in range(0, len(text), n))) for n in (1, 7, 300)] == [
        whole
    ] * 3
    first, second = whole
    assert first[1:] == ((0, 0), 200 * KB, 100 * KB, 12 * KB, 188 * KB, 2048 * KB, True)
    assert (second.mapping.path, second.device, second.has_guards) == ("/srv/a b", (254, 31), False)


def test_it_adds_up_to_what_the_kernel_says_of_the_whole() -> None:
    with mmap.mmap(-1, 3 << 20) as shared:
        shared.write(b"x" * (3 << 20))
        entries = list(resident_mappings([Path("/proc/self/smaps").read_bytes()]))
        rollup = Path("/proc/self/smaps_rollup").read_text()
        theirs = {(row.path, row.addr): row for row in psutil.Process().memory_maps(grouped=False)}
    sums = [sum(sizes) for sizes in zip(*([e.rss_bytes, e.pss_bytes, e.huge_bytes] for e in entries), strict=True)]
    for name, mine in zip(("Rss", "Pss", "AnonHugePages"), sums, strict=True):
        assert mine == pytest.approx(figure(rollup, name), abs=2 << 20)
    common = [
        (entry, theirs[key])
        for entry in entries
        if (key := (entry.mapping.path or "[anon]", f"{entry.mapping.start:08x}-{entry.mapping.end:08x}")) in theirs
        and entry.mapping.path.endswith((".so", "/dev/zero (deleted)"))
    ]
    assert len(common) > 10, "psutil sees the same libraries"
    assert [(entry.rss_bytes, entry.swap_bytes) for entry, _ in common] == [(row.rss, row.swap) for _, row in common]


@pytest.mark.parametrize("text", [b"", b"\n\n", b"Rss: 4 kB\n", b"zz-yy rw-p 0 0:0 0\nRss: 4 kB\n", b"\xff" * 300_000])
def test_what_is_no_mapping_is_skipped(text: bytes) -> None:
    assert list(resident_mappings(text[at : at + 4096] for at in range(0, len(text), 4096))) == []


def test_a_path_that_looks_like_a_mapping_or_a_figure_is_none() -> None:
    """A newline in a path is written as \\012, so no path begins a line."""
    hostile = b"/tmp/x\\0127f00-7f01 rw-p 0 00:00 0\\012Rss: 99999 kB"
    (entry,) = resident_mappings([ENTRY.replace(b"00:00 0 ", b"08:01 5 " + hostile)])
    assert entry.rss_bytes == 200 * KB and entry.mapping.path.startswith("/tmp/x\n7f00-")


def test_file_systems_in_memory() -> None:
    text = Path("/proc/self/mountinfo").read_text()
    status = os.stat("/dev/shm")
    assert (os.major(status.st_dev), os.minor(status.st_dev)) in memory_devices(text)
    root = os.stat("/")
    assert (os.major(root.st_dev), os.minor(root.st_dev)) not in memory_devices(text)
    assert memory_devices("36 35 98:0 /a - b /c rw shared:1\nnonsense\n1 2 a:b / - tmpfs\n") == frozenset()


def test_stack_pointers() -> None:
    assert stack_pointer("202 0x1 0x80 0x0 0x0 0x0 0x0 0x7ffd5536df60 0x45ef23\n") == 0x7FFD5536DF60
    assert stack_pointer("-1 0x7ffd5536df60 0x45ef23\n") == 0x7FFD5536DF60
    assert [stack_pointer(text) for text in ("running\n", "", "a b c")] == [None] * 3


def test_default_figures_are_zero() -> None:
    (entry,) = resident_mappings([ENTRY.split(b"\n")[0] + b"\n"])
    assert entry == ResidentMapping(entry.mapping)
