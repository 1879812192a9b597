"""memtui attach over processes that are large outside the heap: what fills them has its name and its true figures."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from memtui_profiler.process.regions import look_at_regions
from tests.fixtures import mapped_memory
from tests.fixtures.command_line import start_memtui
from tests.fixtures.mapped_memory import holding

MIB = 1 << 20
NAMED = "huge pages", "thread stacks"


def test_huge_pages_and_thread_stacks_are_named(tmp_path: Path) -> None:
    """Both at once: each takes as long as a verdict on growth does."""
    with ExitStack() as stack:
        pids = [stack.enter_context(holding(kind)) for kind in ("huge", "growing")]
        huge = look_at_regions(pids[0]).whole.huge_bytes
        watching = []
        for number, pid in enumerate(pids):
            (home := tmp_path / str(number)).mkdir()
            watching.append(start_memtui(home, ["attach", "--plain", "--for", "22", str(pid)]))
        with_huge, growing = (process.communicate(timeout=60)[0] for process in watching)
    if huge >= mapped_memory.HUGE_BYTES / 2:  # this machine gives huge pages
        assert re.search(
            rf" diagnosis huge pages: {huge / MIB:.1f} MiB of RSS \(\d+ %\) in transparent huge pages: ", with_huge
        )
        assert "; what helps: prctl(PR_SET_THP_DISABLE)" in with_huge
        assert " diagnosis stable: " not in with_huge, "it would read as if the huge pages were gone"
    assert re.search(
        r" diagnosis growing: \+\S+ MiB/s over \d+ s, most of it thread stacks: \d+ threads, \d+ more a second", growing
    )
    each = re.search(r", ([\d.]+) KiB resident each", growing)
    assert each is not None and abs(float(each[1]) * 1024 - mapped_memory.TOUCHED_BYTES) < 30_000
    assert re.search(r" regions rss \S+, huge pages \S+: thread stacks \S+ in \d+, ", growing)
