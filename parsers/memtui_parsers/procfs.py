"""The files of /proc/PID that a sampler reads: bytes in, values out (proc_pid_statm(5), _status(5), _stat(5), _limits(5)).

Nothing here opens a file. A field the kernel left out (a zombie has no memory figures) is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from memtui_parsers.errors import ParseError

KB = 1024


@dataclass(frozen=True, slots=True)
class Statm:
    """``shared_bytes``: resident file and shmem pages together."""

    size_bytes: int
    resident_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """``nspids``: the pid in each pid namespace, the outermost first. ``uids``: real, effective, saved, file system."""

    rss_bytes: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    swap_bytes: int | None = None
    peak_rss_bytes: int | None = None
    threads: int | None = None
    tracer_pid: int | None = None
    uids: tuple[int, ...] = ()
    nspids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stat:
    """Times are in clock ticks (sysconf SC_CLK_TCK); ``comm`` is as the process named itself: hostile."""

    pid: int
    comm: str
    state: str
    ppid: int
    utime_ticks: int
    stime_ticks: int
    starttime_ticks: int


def parse_statm(text: bytes, page_bytes: int) -> Statm:
    """Raises ParseError."""
    fields = text.split()
    try:
        return Statm(int(fields[0]) * page_bytes, int(fields[1]) * page_bytes, int(fields[2]) * page_bytes)
    except (IndexError, ValueError) as error:
        raise ParseError("no statm", excerpt=text) from error


def parse_status(text: bytes) -> Status:
    """Raises ParseError when a figure it needs is not one; unknown lines are passed over."""
    fields: dict[bytes, bytes] = {}
    for line in text.split(b"\n"):
        key, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(key, value)
    try:
        return Status(
            rss_bytes=_kilobytes(fields.get(b"VmRSS")),
            anon_bytes=_kilobytes(fields.get(b"RssAnon")),
            file_bytes=_kilobytes(fields.get(b"RssFile")),
            shmem_bytes=_kilobytes(fields.get(b"RssShmem")),
            swap_bytes=_kilobytes(fields.get(b"VmSwap")),
            peak_rss_bytes=_kilobytes(fields.get(b"VmHWM")),
            threads=_number(fields.get(b"Threads")),
            tracer_pid=_number(fields.get(b"TracerPid")),
            uids=_numbers(fields.get(b"Uid")),
            nspids=_numbers(fields.get(b"NSpid")),
        )
    except ValueError as error:
        raise ParseError("a figure in status is no number", excerpt=str(error)) from error


def parse_stat(text: bytes) -> Stat:
    """Raises ParseError. The name may hold blanks and brackets, so it ends at the last ``)``."""
    head, close, tail = text.rpartition(b")")
    pid, opening, comm = head.partition(b"(")
    fields = tail.split()
    try:
        if not (close and opening):
            raise ValueError("no name in brackets")
        return Stat(
            pid=int(pid),
            comm=comm.decode("utf-8", "replace"),
            state=fields[0].decode("ascii"),
            ppid=int(fields[1]),
            utime_ticks=int(fields[11]),
            stime_ticks=int(fields[12]),
            starttime_ticks=int(fields[19]),
        )
    except (IndexError, ValueError) as error:
        raise ParseError("no stat", excerpt=text) from error


def address_space_limit(text: bytes) -> int | None:
    """The soft limit ``Max address space`` of a limits file in bytes; None: unlimited, or the line is not there."""
    for line in text.split(b"\n"):
        if line.startswith(b"Max address space"):
            soft = line[len(b"Max address space") :].split()[:1]
            return int(soft[0]) if soft and soft[0].isdigit() and len(soft[0]) <= 20 else None
    return None


def _kilobytes(value: bytes | None) -> int | None:
    return None if value is None else int(value.removesuffix(b"kB")) * KB


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _numbers(value: bytes | None) -> tuple[int, ...]:
    return tuple(int(field) for field in (value or b"").split())
