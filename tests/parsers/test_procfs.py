from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs import Statm, Status, address_space_limit, parse_stat, parse_statm, parse_status

STATUS = (
    b"Name:\tevil\\nVmSwap: 9 kB\nUmask:\t0022\nState:\tS (sleeping)\nTracerPid:\t42\nUid:\t1000\t1001\t1002\t1003\n"
    b"NSpid:\t4343\t7\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t  512 kB\nRssFile:\t  256 kB\n"
    b"RssShmem:\t  128 kB\nVmSwap:\t  64 kB\nThreads:\t12\n"
)


def test_statm_is_in_pages() -> None:
    assert parse_statm(b"1000 500 100 4 0 300 0\n", 4096) == Statm(4096000, 2048000, 409600)


def test_status_is_in_kilobytes() -> None:
    assert parse_status(STATUS) == Status(
        rss_bytes=1 << 20,
        anon_bytes=512 << 10,
        file_bytes=256 << 10,
        shmem_bytes=128 << 10,
        swap_bytes=64 << 10,
        peak_rss_bytes=2 << 20,
        threads=12,
        tracer_pid=42,
        uids=(1000, 1001, 1002, 1003),
        nspids=(4343, 7),
    )


def test_a_zombie_has_no_memory_figures() -> None:
    status = parse_status(b"Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n")
    assert (status.rss_bytes, status.anon_bytes, status.threads) == (None, None, 1)


@pytest.mark.parametrize("comm", [b"((a b ) ( c d) )", b") S 1 2 3", b"", b"\xff\n\x1b[2J"])
def test_a_hostile_name_moves_no_field(comm: bytes) -> None:
    stat = parse_stat(b"584 (" + comm + b") R 1 2 3 4 5 6 7 8 9 10 111 222 13 14 15 16 17 18 9999 20 21\n")
    assert (stat.pid, stat.state, stat.ppid) == (584, "R", 1)
    assert (stat.utime_ticks, stat.stime_ticks, stat.starttime_ticks) == (111, 222, 9999)
    assert stat.comm == comm.decode("utf-8", "replace")


def test_our_own_files_agree_with_what_we_know() -> None:
    stat = parse_stat(Path("/proc/self/stat").read_bytes())
    status = parse_status(Path("/proc/self/status").read_bytes())
    statm = parse_statm(Path("/proc/self/statm").read_bytes(), os.sysconf("SC_PAGESIZE"))
    assert (stat.pid, stat.ppid) == (os.getpid(), os.getppid())
    assert status.uids[0] == os.getuid()
    assert status.tracer_pid is not None
    assert statm.size_bytes > statm.resident_bytes > statm.shared_bytes > 0
    assert status.anon_bytes and status.rss_bytes and status.anon_bytes < status.rss_bytes


def test_the_address_space_limit() -> None:
    assert (
        address_space_limit(b"Max address space         8589934592           unlimited            bytes\n") == 8 << 30
    )
    assert address_space_limit(b"Max address space         unlimited            unlimited            bytes\n") is None
    assert address_space_limit(Path("/proc/self/limits").read_bytes()) is None


@given(st.binary(max_size=200))
def test_only_parse_errors_are_raised(text: bytes) -> None:
    for parse in (parse_stat, parse_status, lambda t: parse_statm(t, 4096), address_space_limit):
        try:
            parse(text)
        except ParseError as error:
            assert error.reason


@pytest.mark.parametrize("text", [b"", b"1 2", b"a b c"])
def test_what_is_no_statm_is_refused(text: bytes) -> None:
    with pytest.raises(ParseError):
        parse_statm(text, 4096)


def test_a_figure_that_is_none_is_refused() -> None:
    with pytest.raises(ParseError):
        parse_status(b"VmRSS:\tmany kB\n")
