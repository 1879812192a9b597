"""What the process that watches growth says, read line by line, and the process itself where there is nothing to watch."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_parsers.values import GrowthFacts, GrowthOutcome
from memtui_profiler.recorder.growth_job import Ended, GrowthEvent, GrowthJob, Refused, Reported, Started, event_in

REPORT = {
    "event": "report",
    "path": "/s/runs/1/growth-1/growth-0001.heap",
    "last": True,
    "outcome": "nothing grew",
    "seconds": 10.5,
    "rss_before": 1000,
    "rss_now": 3000,
    "grown_bytes": 2600,
    "passing_bytes": 100,
    "seen_bytes": 2400,
    "given_back_bytes": 500,
    "samples": 20,
    "lost": 1,
    "notes": ["first", "second"],
}


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_each_event_is_read() -> None:
    assert event_in(line(event="started", price={"share": 0.01})) == Started({"share": 0.01})
    assert event_in(line(event="started")) == Started({})
    assert event_in(line(event="ended", why="its time is over")) == Ended("its time is over")
    growth = GrowthFacts(10.5, 2500, 2400, 500, 1000, 3000, 20, 1, GrowthOutcome.NOTHING_GREW, 100)
    assert event_in(line(**REPORT)) == Reported(Path(str(REPORT["path"])), growth, ("first", "second"), last=True)
    refused = event_in(line(event="refused", what="not watched", why="a reason", todo="do", for_its_price=True))
    assert isinstance(refused, Refused) and refused.for_its_price
    assert (refused.error.what, refused.error.why, refused.error.todo) == ("not watched", "a reason", "do")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"1",
        b'"started"',
        b"{}",
        b'{"event": "sung"}',
        b'{"event": "refused"}',
        b'{"event": "ended"}',
        b"[" * 100_000,
        *(line(**{name: value for name, value in REPORT.items() if name != left}) for left in REPORT),
        line(**{**REPORT, "seconds": "soon"}),
        line(**{**REPORT, "seconds": float("nan")}),
        line(**{**REPORT, "grown_bytes": float("inf")}),
        line(**{**REPORT, "outcome": "whatever"}),
        line(**{**REPORT, "notes": 5}),
    ],
)
def test_what_says_nothing_is_an_error(nonsense: bytes) -> None:
    with pytest.raises(ValueError, match="event"):
        event_in(nonsense)


def events_of(job: GrowthJob) -> list[GrowthEvent]:
    """All that it says, until it has ended."""
    found: list[GrowthEvent] = []
    with selectors.DefaultSelector() as selector:
        selector.register(job.descriptor, selectors.EVENT_READ)
        while not job.done:
            assert selector.select(60.0), f"silent after {found}"
            found += job.events()
    return found


def test_a_process_that_has_ended_is_refused(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    job = GrowthJob(process.pid, tmp_path / "watch", sys.stderr.fileno(), seconds=None, anyway=False)
    try:
        (refused,) = events_of(job)
    finally:
        job.close()
    assert isinstance(refused, Refused) and not refused.for_its_price


def test_it_ends_when_it_is_told_to_and_its_report_is_the_last(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        job = GrowthJob(process.pid, tmp_path / "watch", sys.stderr.fileno(), seconds=None, anyway=False)
        try:
            job.end()
            started, reported, ended = events_of(job)
        finally:
            job.close()
            process.kill()
    assert isinstance(started, Started) and isinstance(ended, Ended)
    assert isinstance(reported, Reported) and reported.last
    assert reported.dump.parent == tmp_path / "watch", "a folder that it makes itself: the recorder waits for no disk"
    assert not os.path.exists(f"/proc/{job.pid}")
