"""A real process, asked by a real recorder: what the screen's verdict says of it, and that the key it names keeps its promise."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memtui.session.follower import SessionFollower
from memtui.session.status_line import StatusLine
from memtui_profiler.session.folders import is_live
from tests.fixtures.live import Live, record
from tests.fixtures.memory_shapes import silent
from tests.fixtures.waiting import until

MIB = 1 << 20
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
ALLOCATORS: dict[str, dict[str, Any]] = {
    "tcmalloc": {},
    "glibc malloc": {"tcmalloc": "off"},
    "jemalloc": {"tcmalloc": "off", "environment": {"LD_PRELOAD": JEMALLOC}},
}


def lines_when(live: Live, says: Callable[[tuple[StatusLine, ...]], bool], what: str) -> tuple[StatusLine, ...]:
    """The verdict as a viewer has it, once it says this."""
    with closing(SessionFollower(live.folder)) as follower:

        def lines() -> tuple[StatusLine, ...] | None:
            state = follower.poll(time.time(), live=is_live(live.folder))
            return state.diagnoses if says(state.diagnoses) else None

        return until(lines, what, deadline_s=60.0, every_s=0.25)


def words(lines: tuple[StatusLine, ...]) -> list[str]:
    return [line.word for line in lines]


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_what_is_kept_is_found_and_given_back(allocator: str, tmp_path: Path) -> None:
    with record(tmp_path, silent("retention_idle"), **ALLOCATORS[allocator]) as live:
        found = lines_when(live, lambda lines: "RETENTION" in words(lines), f"{allocator} keeps what was freed")
        retention = next(line for line in found if line.word == "RETENTION")
        assert f"of RSS is free memory {allocator} keeps" in retention.sentence
        assert retention.key == "x"
        promised = float(retention.key_words.removeprefix("returns ~").removesuffix(" MiB")) * MIB
        assert promised > 100 * MIB
        before = live.samples()[-1]
        live.ask("release")
        after = until(
            lambda: next((row for row in live.samples()[before.id :] if row.rss_bytes < 32 * MIB), None), "RSS fell"
        )
        assert before.rss_bytes - after.rss_bytes == pytest.approx(promised, rel=0.05)
        said = lines_when(live, lambda lines: "RELEASED" in words(lines), "what came of it is said")
        assert "RETENTION" not in words(said)


def test_fragmentation_of_a_real_process(tmp_path: Path) -> None:
    with record(tmp_path, silent("fragmentation")) as live:
        found = lines_when(live, lambda lines: "FRAGMENTATION" in words(lines), "fragmentation is found")
        assert "RETENTION" not in words(found)


def test_stacks_of_a_real_process(tmp_path: Path) -> None:
    with record(tmp_path, silent("outside_stacks")) as live:
        found = lines_when(live, lambda lines: "OUTSIDE THE HEAP" in words(lines), "it is found outside")
        assert "stacks" in found[0].sentence
