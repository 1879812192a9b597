"""The files of /proc/PID that the sampling loop reads: bytes in, values out (proc_pid_statm(5), proc_pid_status(5)).

Nothing here opens a file. Why these are read without psutil: memtui_profiler.process.sampling.
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
    """The figures of /proc/PID/status; None for one that the kernel left out (a zombie has no memory figures)."""

    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    swap_bytes: int | None = None
    peak_rss_bytes: int | None = None
    threads: int | None = None


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
            anon_bytes=_kilobytes(fields.get(b"RssAnon")),
            file_bytes=_kilobytes(fields.get(b"RssFile")),
            shmem_bytes=_kilobytes(fields.get(b"RssShmem")),
            swap_bytes=_kilobytes(fields.get(b"VmSwap")),
            peak_rss_bytes=_kilobytes(fields.get(b"VmHWM")),
            threads=_number(fields.get(b"Threads")),
        )
    except ValueError as error:
        raise ParseError("a figure in status is no number", excerpt=str(error)) from error


def _kilobytes(value: bytes | None) -> int | None:
    return None if value is None else int(value.removesuffix(b"kB")) * KB


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)
