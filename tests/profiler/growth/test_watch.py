"""Watching a real process, with the privileges of root and of an ordinary user."""

from __future__ import annotations

import contextlib
import os
import time
from itertools import pairwise

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.growth.report_words import Outcome, notes_of, outcome_of
from memtui_profiler.growth.watch import GrowthWatch, Watched
from tests.fixtures.growing import growing, skip_if_forbidden
from tests.fixtures.guest import NOBODY, as_user

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def opened(pid: int) -> GrowthWatch:
    try:
        return GrowthWatch(pid, anyway=True)
    except UserError as error:
        skip_if_forbidden(error.why)
        raise


def watched(pid: int, seconds: float) -> Watched:
    with contextlib.closing(opened(pid)) as watch:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            watch.step(0.1)
        return watch.report()


def test_recursion_and_callers_make_one_stack() -> None:
    with growing("arena") as pid:
        found = watched(pid, 2.0)
    assert outcome_of(found) is Outcome.STACKS
    stack = found.growth.rows[0].stack
    assert len(stack) > 3 and all(inner != outer for inner, outer in pairwise(stack[1:]))
    assert any(line.endswith(b"/growing") for line in found.maps)
    assert found.rss_now > found.rss_before > 0 and found.sampled.samples >= found.growth.samples


def test_descriptors_are_given_back() -> None:
    before = os.listdir("/proc/self/fd")
    with growing("server") as pid:
        with contextlib.closing(opened(pid)):
            assert len(os.listdir("/proc/self/fd")) > len(before)
        with pytest.raises(UserError, match="has ended"):
            GrowthWatch(1 << 22)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@needs_root
def test_an_ordinary_user_watches_a_process_of_his_own() -> None:
    def said() -> str:
        found = watched(pid, 2.5)
        notes = [note for note in notes_of(found) if "system calls" in note]
        return f"{outcome_of(found).value}; {notes}"

    with growing("arena", user=NOBODY) as pid:
        outcome, _, notes = as_user(NOBODY, said).partition("; ")
    assert outcome == "stacks"
    assert "is not seen without root or perf_event_paranoid 1" in notes


@needs_root
def test_another_users_process_is_refused() -> None:
    def said() -> str:
        try:
            GrowthWatch(pid)
        except UserError as error:
            return str(error)
        return "nothing"

    with growing("arena") as pid:
        assert as_user(NOBODY, said) == (
            f"growth is not watched: process {pid} is another user's, or hides its memory: "
            "run memtui as the user of that process, or as root"
        )
