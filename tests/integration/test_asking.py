"""A recorder asks real processes: what their allocators keep, to give it back, to check themselves for leaks, to end cleanly."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memtui_parsers.values import LeakReport
from memtui_profiler.allocators.tcmalloc import RATE_FLAG
from memtui_profiler.events import EventKind
from memtui_profiler.process.image import ProcessImage
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import AllocatorSample, GuestRow, ReportEnd, ReportNote, ReportRow, SymbolsEnd
from tests.fixtures.leaky import build
from tests.fixtures.live import Live, record
from tests.fixtures.request_server import LEAKING_LINE, SESSION_BYTES, Client
from tests.fixtures.waiting import until

MIB = 1 << 20
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"


@contextmanager
def serving(root: Path, *, program: str = "request_server", **options: Any) -> Iterator[tuple[Live, Client]]:
    path = root / "s"
    with record(root, build(program).path, path, cwd=root, **options) as live:
        client = Client(path)
        try:
            yield live, client
        finally:
            client.close()


def asked(live: Live) -> AllocatorSample:
    return until(lambda: next(reversed(live.reader.rows(AllocatorSample)), None), "the process was asked")


def newest_after(live: Live, sample: AllocatorSample) -> AllocatorSample:
    rows = until(lambda: live.reader.rows(AllocatorSample, after=sample.id), "it was asked again")
    return rows[-1]


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def live_reports(live: Live, count: int) -> list[LeakReport]:
    """The reports of the session, once ``count`` of them are named."""

    def named() -> list[ReportRow] | None:
        done = {row.report for row in live.reader.rows(SymbolsEnd)}
        rows = [row for row in live.reader.rows(ReportRow) if row.id in done]
        return rows if len(rows) >= count else None

    return [load_report(live.reader, row.id) for row in until(named, f"{count} reports are in", deadline_s=60.0)]


def leaked_at(report: LeakReport, line: int) -> int:
    return sum(leak.size_bytes for leak in report.leaks if any(frame.line == line for frame in leak.stack))


@pytest.mark.parametrize(
    ("allocator", "options"),
    [
        ("tcmalloc", {}),
        ("glibc malloc", {"tcmalloc": "off"}),
        ("jemalloc", {"tcmalloc": "off", "environment": {"LD_PRELOAD": JEMALLOC}}),
    ],
)
def test_what_was_freed_and_kept_is_given_back_on_demand(
    allocator: str, options: dict[str, Any], tmp_path: Path
) -> None:
    with serving(tmp_path, **options) as (live, client):
        pid = live.launched_pid
        # Blocks too large for tcmalloc's thread caches, which no release gives back, and too small for glibc's mmap.
        client.ask("burst 400 512" if allocator == "tcmalloc" else "burst 400")
        before = asked(live)
        assert before.allocator == allocator
        reply = live.ask("release")
        assert reply.ok, reply.error
        until(lambda: rss_bytes(pid) < 20 * MIB, "RSS falls", deadline_s=5.0)
        (event,) = until(lambda: live.events(EventKind.RELEASED), "the release is an event")
        assert "released" in event.text
        if allocator != "glibc malloc":  # that goes on counting as free what the kernel has back
            assert newest_after(live, before).free_bytes < 20 * MIB
        client.ask("ping")


def test_the_page_heap_is_what_the_program_freed(tmp_path: Path) -> None:
    with serving(tmp_path) as (live, client):
        first = asked(live)
        client.ask("burst 400")
        sample = until(lambda: _with_free(live, 380 * MIB), "the page heap holds what was freed")
        assert sample.in_use_bytes == pytest.approx(first.in_use_bytes, abs=2 * MIB)
        assert rss_bytes(live.launched_pid) > 380 * MIB
        row = until(
            lambda: next((s for s in reversed(live.samples()) if (s.kept_bytes or 0) > 380 * MIB), None),
            "samples carry the split",
        )
        assert row.in_use_bytes is not None and row.in_use_bytes + (row.kept_bytes or 0) < row.rss_bytes + 8 * MIB


def test_a_burst_is_asked_about_while_it_lasts(tmp_path: Path) -> None:
    """The parts of RSS a second ago say nothing of what is being allocated now."""
    with serving(tmp_path) as (live, client):
        asked(live)
        before = len(live.reader.rows(AllocatorSample))
        for _ in range(8):
            client.ask("burst 400 512")
        rows = until(lambda: live.reader.rows(AllocatorSample)[before:] or None, "it was asked")
        until(
            lambda: any(
                later.at_s - sooner.at_s < 0.9
                for sooner, later in itertools.pairwise(live.reader.rows(AllocatorSample)[before:])
            ),
            "sooner than each second",
        )
        assert all(row.cost_s < 1 for row in rows)


def _with_free(live: Live, least_bytes: int) -> AllocatorSample | None:
    return next((row for row in live.reader.rows(AllocatorSample) if row.free_bytes >= least_bytes), None)


def test_the_rate_is_set_in_the_running_process(tmp_path: Path) -> None:
    with serving(tmp_path) as (live, client):
        pid = live.launched_pid
        assert live.ask("rate", release_rate=7.25).ok
        address = ProcessImage(pid).address_of(RATE_FLAG)
        assert address is not None
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(address)
            assert struct.unpack("<d", memory.read(8)) == (7.25,)
        (event,) = until(lambda: live.events(EventKind.RATE_SET), "the rate is an event")
        assert "7.25" in event.text
        assert "frees" in event.text
        client.ask("ping")
        assert rss_bytes(pid) > 0
        for wrong in ("nan", -1, "much", None):
            assert live.ask("rate", release_rate=wrong).error is not None


def test_a_rate_that_somebody_else_sets_is_noticed(tmp_path: Path) -> None:
    with serving(tmp_path) as (live, _):
        before = asked(live)
        assert before.release_rate == 1.0
        address = ProcessImage(live.launched_pid).address_of(RATE_FLAG)
        assert address is not None
        with open(f"/proc/{live.launched_pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            memory.write(struct.pack("<d", 3.0))
        (event,) = until(lambda: live.events(EventKind.RATE_CHANGED), "the change is an event")
        assert "1 -> 3" in event.text


@pytest.mark.heap_checker
def test_live_checks_name_the_leaking_line_and_its_growth(tmp_path: Path) -> None:
    with serving(tmp_path, mode="normal") as (live, client):
        client.ask("leak 100")
        assert live.ask("check", deadline_s=60.0).ok
        client.ask("leak 50")
        assert live.ask("check", deadline_s=60.0).ok
        client.ask("ping")
        first, second = live_reports(live, 2)
        # A stale pointer in a register or on a stack keeps the last one or two reachable (FACTS.md).
        assert 95 * SESSION_BYTES <= leaked_at(first, LEAKING_LINE) <= 100 * SESSION_BYTES
        growth = leaked_at(second, LEAKING_LINE) - leaked_at(first, LEAKING_LINE)
        assert 45 * SESSION_BYTES <= growth <= 55 * SESSION_BYTES
        assert all(row.origin == "live" for row in live.reader.rows(ReportRow))
        # The guest's own stack is no news.
        assert not any("stack lies where" in note.text for note in live.reader.rows(ReportNote))
        assert len(live.events(EventKind.LEAK_CHECK)) == 2


@pytest.mark.heap_checker
def test_a_live_check_without_leaks_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, mode="normal") as (live, client):
        client.ask("hold 1000")
        assert live.ask("check", deadline_s=60.0).ok
        (report,) = live_reports(live, 1)
        assert report.status.value == "complete"
        assert report.total_bytes == 0


@pytest.mark.parametrize("obstacle", ["fifo", "link", "folder", "deleted"])
@pytest.mark.heap_checker
def test_a_live_check_whose_log_cannot_be_written_harms_nobody(obstacle: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    with serving(tmp_path, mode="normal") as (live, client):
        client.ask("ping")
        log = live.folder / "runs" / "1" / "live-1.log"
        if obstacle == "fifo":
            os.mkfifo(log)
        elif obstacle == "link":
            log.symlink_to(victim)
        elif obstacle == "folder":
            log.mkdir()
        else:
            shutil.rmtree(log.parent)
        live.ask("check", deadline_s=60)
        until(lambda: live.events(EventKind.FAILED) or live.events(EventKind.REFUSED), "it is told")
        assert live.ask("watch").ok
        until(lambda: newest_after(live, asked(live)), "it is asked again")
    assert victim.read_text() == "untouched"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk here")
@pytest.mark.heap_checker
def test_a_live_check_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        path = tmp_path / "s"
        with record(disk / "sessions", build("request_server").path, path, cwd=tmp_path, mode="normal") as live:
            client = Client(path)
            client.ask("leak 1")
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
            live.ask("check", deadline_s=60)
            assert live.ask("watch").ok
            (disk / "filler").unlink()
            assert live.ask("check", deadline_s=60).ok
            client.close()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.heap_checker
def test_without_a_check_mode_a_live_check_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with serving(tmp_path) as (live, client):
        error = live.ask("check").error
        assert error is not None
        assert "no heap check is on" in error.why
        assert error.todo
        until(lambda: len(live.events(EventKind.REFUSED)) == 1, "the refusal is an event")
        client.ask("ping")


@pytest.mark.parametrize("mode", ["normal", "draconian"])
@pytest.mark.heap_checker
def test_a_server_that_handles_no_signal_ends_with_its_report(mode: str, tmp_path: Path) -> None:
    """SIGTERM kills it without one: it is checked before."""
    with serving(tmp_path, mode=mode) as (live, client):
        client.ask("leak 100")
        client.close()
        assert live.ask("stop").ok
        end = live.end(1)
        assert end.signal == "SIGTERM", end
        live.settled(1)
        (report,) = live_reports(live, 1)
        assert leaked_at(report, LEAKING_LINE) >= 95 * SESSION_BYTES


def test_snapshots_of_a_process_that_was_started_without_a_profiler(tmp_path: Path) -> None:
    with serving(tmp_path) as (live, client):
        assert live.ask("snapshot", deadline_s=60.0).result["started"]
        client.ask("leak 100")
        assert live.ask("snapshot", deadline_s=60.0).ok
        client.ask("leak 60")
        assert live.ask("snapshot", deadline_s=60.0).ok
        first, second = live_reports(live, 2)
        assert first.leaks[0].kind.value == "in-use"
        assert leaked_at(first, LEAKING_LINE) == 100 * SESSION_BYTES
        assert leaked_at(second, LEAKING_LINE) == 160 * SESSION_BYTES
        assert [row.checker for row in live.reader.rows(ReportRow)] == ["heapprofile"] * 2
        folder = live.folder / "runs" / "1"
        assert not list(folder.glob("heap.*.heap")), "what the target wrote was fetched"


def test_a_process_of_one_thread_is_left_alone_until_it_is_asked(tmp_path: Path) -> None:
    with record(tmp_path, build("server").path, "ignore") as live:
        until(lambda: [row for row in live.reader.rows(GuestRow) if row.state == "waiting"], "it waits to be asked")
        assert len(os.listdir(f"/proc/{live.launched_pid}/task")) == 1
        assert not live.reader.rows(AllocatorSample)
        assert live.ask("ask").ok
        asked(live)
        assert len(os.listdir(f"/proc/{live.launched_pid}/task")) == 2


def test_no_guest_means_none(tmp_path: Path) -> None:
    with serving(tmp_path, no_guest=True) as (live, client):
        (row,) = until(lambda: live.reader.rows(GuestRow), "that is said")
        assert row.state == "off"
        error = live.ask("release").error
        assert error is not None
        assert "--no-guest" in error.why
        assert live.ask("rate", release_rate=2.0).ok, "the rate takes no thread"
        assert b"memtui" not in b"".join(p.read_bytes() for p in Path(f"/proc/{live.launched_pid}/task").glob("*/comm"))
        client.ask("ping")


def test_a_tcmalloc_that_is_linked_in_answers_by_its_symbols(tmp_path: Path) -> None:
    with serving(tmp_path, program="tcmalloc_inside", tcmalloc="off") as (live, client):
        client.ask("burst 100")
        until(lambda: _with_free(live, 90 * MIB), "its page heap is known")
        assert live.ask("release").ok
        until(lambda: rss_bytes(live.launched_pid) < 20 * MIB, "RSS falls", deadline_s=5.0)


@pytest.mark.heap_checker
def test_an_ended_report_stays_whole_when_the_process_dies_in_a_check(tmp_path: Path) -> None:
    with serving(tmp_path, mode="normal") as (live, client):
        client.ask("hold 200000")
        identifier = live.control.send("check")
        os.kill(live.launched_pid, 9)
        reply = until(
            lambda: next((reply for reply in live.control.poll() if reply.id == identifier), None), "it is answered"
        )
        assert reply.ok or (reply.error is not None and reply.error.todo)
        assert live.end(1).signal == "SIGKILL"
        live.settled(1)
        assert all(end.status for end in live.reader.rows(ReportEnd))
