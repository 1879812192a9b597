"""Which pages of a process are there, resident or swapped out, from /proc/PID/pagemap (admin-guide/mm/pagemap.rst).

Whoever may read the process's maps may read it (ptrace read access); numbers of frames, which only root sees, are not needed. The
ioctl PAGEMAP_SCAN of Linux 6.7 gives ranges, tells huge pages, and skips what is not there: 4 ms per GiB. Before, 8 bytes a page
are read, and mappings beyond 64 GiB are left out.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import re
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import parse_mapping
from memtui_parsers.values import Mapping
from memtui_profiler.errors import UserError
from memtui_profiler.growth.ranges import Range
from memtui_profiler.growth.refusals import WHAT, refusal

PAGE_BYTES = mmap.PAGESIZE
HUGE_BYTES = 2 << 20
# A process whose pages lie in more pieces would take hundreds of MiB here.
MAX_RANGES = 500_000
# 65,000 mappings, as many as the kernel lets a process have, take 6 MiB; paths of 4 KiB each would take 260.
MAPS_BYTES = 32 << 20

_PAGEMAP_SCAN = 0xC0606610
_IS_FILE, _IS_PRESENT, _IS_SWAPPED, _IS_ZERO, _IS_HUGE = 4, 8, 16, 32, 64
_ROOM = 8192
# The target's mmap(2) waits for each look: a GiB takes 4 ms.
_AT_ONCE_BYTES = 1 << 30
_LARGEST_READ_BYTES = 64 << 30
_READ_ENTRIES = 1 << 17
_NEAR_BYTES = 16 * PAGE_BYTES
_USER_SPACE_END = 1 << 47
# The highest byte of an entry: bit 63 present, 62 swapped, 61 of a file or shared.
_THERE, _PRESENT = 0xC0, 0x80
_OF_FILE = 0x20
_RUNS = re.compile(rb"[\x60-\x7f\xa0-\xbf\xe0-\xff]+|[\x40-\x5f\x80-\x9f\xc0-\xdf]+")
_ENTRIES_OF_HUGE = HUGE_BYTES // PAGE_BYTES


class Residency(Protocol):
    """The pages of one process. All of it raises OSError when the kernel refuses, as it does once the process has ended."""

    @property
    def skipped(self) -> Sequence[tuple[int, int]]:
        """Mappings of which nothing is known: (start, end)."""

    def is_alive(self) -> bool:
        """Whether the memory still belongs to a process: it has neither ended nor become another program."""

    def page_bytes(self, address: int) -> int:
        """The size of the page at ``address``; 0 where there is none."""

    def present(self, pages: Sequence[int]) -> list[bool]:
        """Whether each of these sorted addresses has a page. Raises ProcessLookupError once the process has ended."""

    def ranges(self, mappings: Iterable[Mapping]) -> list[Range]:
        """All that is there, in order. Raises UserError for a process in too many pieces."""

    def close(self) -> None:
        """Give the file back."""


def open_residency(pid: int, *, scan: bool = True) -> Residency:
    """The pages of ``pid``. ``scan`` False: as on kernels before 6.7. Raises UserError."""
    try:
        descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise refusal(pid, error) from None
    if scan:
        scanned = _Scanned(descriptor)
        try:
            scanned.page_bytes(0)
        except OSError:
            pass  # ENOTTY: an older kernel
        else:
            return scanned
    return _Read(descriptor, pid)


def mappings_of(pid: int) -> tuple[list[Mapping], list[bytes]]:
    """What a process has mapped, and the lines that say so. Raises OSError."""
    with open(f"/proc/{pid}/maps", "rb") as file:
        # Whole lines only, of a process that maps more than anybody needs.
        lines = file.read(MAPS_BYTES).rpartition(b"\n")[0].split(b"\n")
    mappings, kept = [], []
    for line in lines:
        try:
            mappings.append(parse_mapping(line))
        except ParseError:
            continue
        kept.append(line)
    return mappings, kept


class _Pagemap:
    """What both ways of looking share."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._skipped: list[tuple[int, int]] = []

    @property
    def skipped(self) -> Sequence[tuple[int, int]]:
        return self._skipped

    def is_alive(self) -> bool:
        try:
            # Of an address with nothing mapped there is an entry, too; without the memory there is none.
            return len(os.pread(self._descriptor, 8, 0)) == 8
        except OSError:
            return False

    def present(self, pages: Sequence[int]) -> list[bool]:
        answers: list[bool] = []
        at = 0
        while at < len(pages):  # neighbours are read at once: a read takes 3 us, and each entry 0.1
            first = pages[at]
            stop = at + 1
            while (
                stop < len(pages) and pages[stop] - pages[stop - 1] <= _NEAR_BYTES and pages[stop] - first < HUGE_BYTES
            ):
                stop += 1
            entries = (pages[stop - 1] - first) // PAGE_BYTES + 1
            there = self._highest_bytes(first, entries)
            if len(there) < entries:
                # Not that the pages were given back: the memory belongs to no process any more.
                raise ProcessLookupError(errno.ESRCH, "the process has ended")
            answers += [there[(page - first) // PAGE_BYTES] & _THERE != 0 for page in pages[at:stop]]
            at = stop
        return answers

    def close(self) -> None:
        os.close(self._descriptor)

    def _highest_bytes(self, address: int, entries: int) -> bytes:
        return os.pread(self._descriptor, entries * 8, address // PAGE_BYTES * 8)[7::8]


class _ScanArgument(ctypes.Structure):
    """struct pm_scan_arg of linux/fs.h."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages",
            "category_inverted", "category_mask", "category_anyof_mask", "return_mask",
        )
    ]  # fmt: skip


class _Scanned(_Pagemap):
    """By PAGEMAP_SCAN."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._found = (ctypes.c_uint64 * (3 * _ROOM))()
        self._argument = _ScanArgument(
            size=ctypes.sizeof(_ScanArgument),
            vec=ctypes.addressof(self._found),
            category_anyof_mask=_IS_PRESENT | _IS_SWAPPED,
        )

    def page_bytes(self, address: int) -> int:
        page = address & -PAGE_BYTES
        if not self._scan(page, page + PAGE_BYTES, 1, _IS_HUGE):
            return 0
        categories = self._found[2]
        if categories & _IS_ZERO:
            return 0  # the kernel's page of zeros, which reading maps: it takes no memory
        return HUGE_BYTES if categories & _IS_HUGE else PAGE_BYTES

    def ranges(self, mappings: Iterable[Mapping]) -> list[Range]:
        found: list[Range] = []
        for mapping in mappings:
            # Whether a page is a file's takes 17 times longer to tell: it is asked where it can be.
            may_be_file = mapping.path.startswith("/") or mapping.permissions[3] == "s"
            wanted = _IS_FILE if may_be_file else _IS_PRESENT
            start, end = mapping.start, min(mapping.end, _USER_SPACE_END)
            while start < end:
                count = self._scan(start, min(end, start + _AT_ONCE_BYTES), _ROOM, wanted)
                entries = self._found[: 3 * count]
                triples = zip(entries[::3], entries[1::3], entries[2::3], strict=True)
                found += [(low, high, bool(kinds & _IS_FILE)) for low, high, kinds in triples if not kinds & _IS_ZERO]
                _bounded(found)
                if self._argument.walk_end <= start:
                    break
                start = self._argument.walk_end
        return found

    def _scan(self, start: int, end: int, room: int, wanted: int) -> int:
        argument = self._argument
        argument.start, argument.end, argument.vec_len, argument.return_mask = start, end, room, wanted | _IS_ZERO
        return int(fcntl.ioctl(self._descriptor, _PAGEMAP_SCAN, argument))


class _Read(_Pagemap):
    """By reading each entry, on kernels before 6.7."""

    def __init__(self, descriptor: int, pid: int) -> None:
        super().__init__(descriptor)
        self._pid = pid
        self._huge_read_at = 0.0
        self._huge: list[tuple[int, int]] = []

    def page_bytes(self, address: int) -> int:
        there = self._highest_bytes(address & -HUGE_BYTES, _ENTRIES_OF_HUGE)
        at = address % HUGE_BYTES // PAGE_BYTES
        if at >= len(there) or not there[at] & _THERE:
            return 0
        whole = len(there) == _ENTRIES_OF_HUGE and min(there) >= _PRESENT
        return HUGE_BYTES if whole and self._maps_huge(address) else PAGE_BYTES

    def ranges(self, mappings: Iterable[Mapping]) -> list[Range]:
        found: list[Range] = []
        for mapping in mappings:
            start, end = mapping.start, min(mapping.end, _USER_SPACE_END)
            if end - start > _LARGEST_READ_BYTES:  # 8 bytes a page, there or not
                if (start, end) not in self._skipped:
                    self._skipped.append((start, end))
                continue
            while start < end:
                there = self._highest_bytes(start, min(_READ_ENTRIES, (end - start) // PAGE_BYTES))
                for run in _RUNS.finditer(there):
                    low, high = start + run.start() * PAGE_BYTES, start + run.end() * PAGE_BYTES
                    found.append((low, high, there[run.start()] & _OF_FILE != 0))
                _bounded(found)
                start = start + len(there) * PAGE_BYTES if there else end
        return found

    def _maps_huge(self, address: int) -> bool:
        """Whether the mapping has any huge page: by smaps, at most once a second."""
        if not self._huge_read_at or time.monotonic() - self._huge_read_at > 1:
            self._huge, span = [], (0, 0)
            with open(f"/proc/{self._pid}/smaps", "rb") as file:
                for line in file:
                    if head := _SMAPS_HEAD.match(line):
                        span = int(head[1], 16), int(head[2], 16)
                    elif line.startswith(b"AnonHugePages:") and line.split()[1] != b"0":
                        self._huge.append(span)
            self._huge_read_at = time.monotonic()
        return any(start <= address < end for start, end in self._huge)


_SMAPS_HEAD = re.compile(rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ")


def _bounded(found: list[Range]) -> None:
    if len(found) > MAX_RANGES:
        why = f"the memory of the process lies in more than {MAX_RANGES} pieces"
        raise UserError(WHAT, why, "look at its mappings instead")
