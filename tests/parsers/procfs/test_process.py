from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.process import Statm, Status, parse_statm, parse_status

STATUS = (
    b"Name:\tevil\\nVmSwap: 9 kB\nUmask:\t0022\nState:\tS (sleeping)\nTracerPid:\t42\nUid:\t1000\t1001\t1002\t1003\n"
    b"NSpid:\t4343\t7\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t  512 kB\nRssFile:\t  256 kB\n"
    b"RssShmem:\t  128 kB\nVmSwap:\t  64 kB\nThreads:\t12\n"
)


def test_statm_is_in_pages() -> None:
    assert parse_statm(b"1000 500 100 4 0 300 0\n", 4096) == Statm(4096000, 2048000, 409600)


def test_status_is_in_kilobytes() -> None:
    assert parse_status(STATUS) == Status(
        anon_bytes=512 << 10,
        file_bytes=256 << 10,
        shmem_bytes=128 << 10,
        swap_bytes=64 << 10,
        peak_rss_bytes=2 << 20,
        threads=12,
    )


def test_a_zombie_has_no_memory_figures() -> None:
    status = parse_status(b"Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n")
    assert (status.anon_bytes, status.threads) == (None, 1)


def test_our_own_files_agree_with_what_we_know() -> None:
    status = parse_status(Path("/proc/self/status").read_bytes())
    statm = parse_statm(Path("/proc/self/statm").read_bytes(), os.sysconf("SC_PAGESIZE"))
    assert statm.size_bytes > statm.resident_bytes > statm.shared_bytes > 0
    assert status.anon_bytes and status.anon_bytes < statm.resident_bytes


@given(st.binary(max_size=200))
def test_only_parse_errors_are_raised(text: bytes) -> None:
    for parse in (parse_status, lambda t: parse_statm(t, 4096)):
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
        parse_status(b"RssAnon:\tmany kB\n")
