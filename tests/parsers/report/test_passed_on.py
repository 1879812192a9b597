"""Functions of one report that only pass allocations on: by its figures, and by the user's patterns."""

from __future__ import annotations

import time

import pytest

from memtui_parsers.report.passed_on import CALLERS, is_named_by, wrappers
from memtui_parsers.values import Frame, LeakKind, LeakRecord, Module

PROGRAM = Module("/srv/bin/server")


def frame(function: str, line: int = 3, file: str = "/src/server.c") -> Frame:
    return Frame(0x100 + line, PROGRAM, line, function=function, file=file, line=line)


def record(size_bytes: int, *stack: Frame) -> LeakRecord:
    return LeakRecord(str(size_bytes), size_bytes, 1, LeakKind.NOT_FREED, stack)


def found(*records: LeakRecord) -> list[str]:
    stacks, sizes = [one.stack for one in records], [one.size_bytes for one in records]
    return list(wrappers(stacks, sizes, [0 if stack else None for stack in stacks], lambda _: True))


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("Session* pool::take<Session>(unsigned long)", True),
        ("pool::take<Session>", True),
        ("pool::take", True),
        ("pool::*", True),
        ("*take*", True),
        ("take", False),
        ("pool::take<*>(int)", False),
        ("server.cpp", True),
        ("src/server.cpp", True),
        ("rver.cpp", False),
        ("src/*", True),
        ("server", True),
        ("/srv/bin/server", True),
        ("*", True),
        ("**", True),
    ],
)
def test_a_pattern_is_of_a_function_a_file_or_a_library(pattern: str, named: bool) -> None:
    function = "Session* pool::take<Session>(unsigned long)"
    assert (
        is_named_by(Frame(1, PROGRAM, 1, function=function, file="/home/me/src/server.cpp", line=3), pattern) is named
    )


def test_a_name_with_stars_is_its_own_pattern() -> None:
    name = "copy(char const*, int*)"
    assert is_named_by(frame(name), name)


def test_no_pattern_is_slow() -> None:
    began = time.process_time()
    is_named_by(frame("a" * 100_000), "*a" * 190 + "*b")
    assert time.process_time() - began < 1


def test_a_function_that_nearly_all_goes_through_from_many_callers_is_a_wrapper() -> None:
    wrapper = frame("grab")
    records = [record(100, wrapper, frame(f"use_{n}")) for n in range(CALLERS)]
    assert found(*records) == ["grab"]
    assert found(*records, record(5, frame("other"))) == ["grab"]
    assert found(*records, record(500, frame("other"))) == []
    assert found(*records[1:]) == []


def test_a_wrapper_around_a_wrapper_is_found_too() -> None:
    records = [record(100, frame("grab"), frame("take"), frame(f"use_{n}")) for n in range(CALLERS)]
    assert found(*records) == []  # grab has one caller: it may be anything
    two_ways = [
        record(100, frame("grab"), *([frame("take")] if n % 2 else []), frame(f"use_{n}")) for n in range(2 * CALLERS)
    ]
    assert found(*two_ways) == ["grab"]


def test_main_an_event_loop_and_a_busy_function_are_no_wrappers() -> None:
    # One caller that matters.
    assert (
        found(
            record(10_000, frame("grab"), frame("big")), *(record(9, frame("grab"), frame(f"f{n}")) for n in range(9))
        )
        == []
    )
    # Many lines of its own that allocate.
    assert found(*(record(100, frame("step", n), frame(f"from_{n}")) for n in range(20))) == []
    # Called by nothing.
    assert found(*(record(100, frame("main", 1)) for _ in range(20))) == []
    # A function that calls itself has no other caller by that.
    assert found(*(record(100, frame("walk"), frame("walk"), frame("main")) for _ in range(20))) == []
    assert found(record(5), record(7)) == []
