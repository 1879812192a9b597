"""Programs whose growth is known: the right stack is named, in the right size, or it is said that it cannot be told."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.growing import NamedStack, Watcher, growing, named_stacks, skip_if_forbidden, watcher
from tests.fixtures.servers import Redis, redis

SECONDS = 8.0
# Beside a tenth of the growth: the kernel counts RSS in batches for each processor.
RSS_BATCH_BYTES = (512 << 10) * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Case:
    """``function``: through which all growth comes about, and ``least_share`` is to be given to it.

    ``may_not_tell``: the kernel's samples may be too few.
    """

    kind: str
    function: str
    preload: str = ""
    may_not_tell: bool = False
    least_share: float = 0.75

    @property
    def name(self) -> str:
        return f"{self.kind} {self.preload}".strip()


CASES = (
    Case("server", "leak_session"),
    Case("server", "leak_session", "libtcmalloc.so.4"),
    Case("server", "leak_session", "libjemalloc.so.2"),
    Case("server", "leak_session", "libmimalloc.so.2"),
    Case("map", "remember"),
    Case("arena", "parse_request"),
    # mremap(2) moves pages without a fault: they are seen at their new place, and nobody was seen to touch them there.
    Case("realloc", "append_log", may_not_tell=True),
    Case("churn", "keep_small", may_not_tell=True),
    # What it has at the moment is no growth, but some of it has been at the same addresses whenever somebody looked.
    Case("slow_churn", "keep_small", may_not_tell=True, least_share=0.5),
    Case("burst", "keep_small", may_not_tell=True),
    Case("threads", "keep_small", may_not_tell=True),
    Case("fork", "keep_small", may_not_tell=True),
    Case("library", "deflateInit"),
    Case("steady", ""),
)


@contextlib.contextmanager
def watched(pid: int, folder: Path) -> Iterator[Watcher]:
    # Each program is one of many here, and the machine is busy: what it costs is no reason to refuse.
    with watcher(pid, folder, seconds=SECONDS, anyway=True) as watching:
        first = watching.event()
        skip_if_forbidden(first.get("why", ""))
        assert first["event"] == "started", first
        yield watching


def wrong_in(case: Case, report: dict[str, Any], stacks: list[NamedStack]) -> str:
    """What a report says that is not so; '' for a true one."""
    if not case.function:
        return "" if report["outcome"] == "nothing grew" else "something grew"
    net_bytes = report["grown_bytes"] - report["given_back_bytes"] + report["file_bytes"]
    if report["outcome"] == "nothing grew":
        # What comes and goes may have been there at the start, and not at the end.
        return "" if case.may_not_tell and net_bytes <= 0 else "nothing grew"
    rss_bytes = report["rss_now"] - report["rss_before"]
    if abs(net_bytes - rss_bytes) > 0.1 * abs(rss_bytes) + RSS_BATCH_BYTES:
        return f"{net_bytes} bytes, where RSS grew by {rss_bytes}"
    if report["outcome"] == "cannot tell":
        return "" if case.may_not_tell else "cannot tell"
    if not stacks[0].runs(case.function):
        return f"the first is {stacks[0]}"
    kept_bytes = report["grown_bytes"] - report["passing_bytes"]
    share = sum(stack.size_bytes for stack in stacks if stack.runs(case.function)) / kept_bytes
    return "" if share >= case.least_share else f"a share of {share:.2f}"


def test_the_right_stack_is_named_or_none(tmp_path: Path) -> None:
    """All of them at once, as the time it takes is mostly that of waiting."""
    found = []
    with contextlib.ExitStack() as stack:
        running = []
        for number, case in enumerate(CASES):
            pid = stack.enter_context(growing(case.kind, preload=case.preload))
            running.append((case, pid, stack.enter_context(watched(pid, tmp_path / str(number)))))
        for case, pid, watching in running:
            found.append((case, pid, watching.next("report")))
        # Their files are theirs while they run; nothing is asked of the process itself.
        named = [(case, report, named_stacks(report["path"], pid)) for case, pid, report in found]
    wrong = {case.name: (what, report) for case, report, stacks in named if (what := wrong_in(case, report, stacks))}
    assert not wrong


def filled(server: Redis, seconds: float) -> None:
    """About 3 MiB a second of new values."""
    began, stored = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        while stored < elapsed * 3000:
            server.store(stored, 100, 900)
            stored += 100
        time.sleep(0.01)


def test_a_redis_that_fills_is_seen_to_grow_where_it_stores(tmp_path: Path) -> None:
    with redis(tmp_path) as server, watched(server.pid, tmp_path / "growth") as watching:
        filled(server, SECONDS)
        report = watching.next("report")
        stacks = named_stacks(report["path"], server.pid)
    net_bytes, rss_bytes = report["grown_bytes"] - report["given_back_bytes"], report["rss_now"] - report["rss_before"]
    assert abs(net_bytes + report["file_bytes"] - rss_bytes) <= 0.1 * rss_bytes + RSS_BATCH_BYTES, report
    assert rss_bytes > 8 << 20
    assert report["outcome"] == "stacks", report
    # The server's file has no names of its own functions; what all its commands run below has one.
    through_main = sum(stack.size_bytes for stack in stacks if stack.runs("__libc_start_main"))
    assert through_main >= 0.9 * report["grown_bytes"], stacks[:3]
