"""Checks while the target runs, by the checkers that are not gperftools': memcheck through vgdb, LeakSanitizer, the profiler."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.report.difference import difference
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import GuestRow, ReportRow
from tests.fixtures.gperftools import reference_pprof
from tests.fixtures.leaky import build
from tests.fixtures.live import environment_of
from tests.fixtures.request_server import LEAKING_LINE, SESSION_BYTES
from tests.fixtures.waiting import until
from tests.integration.test_asking import leaked_at, live_reports, serving


def test_memcheck_answers_through_vgdb_and_reports_a_killed_program(tmp_path: Path) -> None:
    with serving(tmp_path, mode="memcheck") as (live, client):
        client.ask("leak 100")
        assert live.ask("check", deadline_s=120.0).ok
        client.ask("leak 50")
        assert live.ask("check", deadline_s=120.0).ok
        first, second = live_reports(live, 2)
        assert (first.checker, second.checker) == ("memcheck", "memcheck")
        assert leaked_at(first, LEAKING_LINE) == 100 * SESSION_BYTES
        assert leaked_at(second, LEAKING_LINE) == 150 * SESSION_BYTES
        # Code that valgrind runs takes no hijacked call.
        refused = until(
            lambda: [row for row in live.reader.rows(GuestRow) if row.state == "refused"], "no guest is made"
        )
        assert "valgrind" in refused[0].why
        client.close()
        assert live.ask("stop").ok
        live.end(1, deadline_s=60.0)
        live.settled(1)
        last = live_reports(live, 3)[-1]
        assert leaked_at(last, LEAKING_LINE) == 150 * SESSION_BYTES
        assert {leak.leak_id for leak in second.leaks if leak.kind.value == "definitely-lost"} & {
            leak.leak_id for leak in last.leaks
        }


def test_leak_sanitizer_is_asked_again_and_again_and_at_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, mode="lsan") as (live, client):
        client.ask("hold 10")
        assert live.ask("check", deadline_s=60.0).ok
        client.ask("leak 100")
        assert live.ask("check", deadline_s=60.0).ok
        client.ask("leak 50")
        client.close()
        assert live.ask("stop").ok
        live.end(1)
        live.settled(1)
        none, some, at_exit = live_reports(live, 3)
        assert (none.total_bytes, none.status.value) == (0, "complete")
        assert leaked_at(some, LEAKING_LINE) >= 98 * SESSION_BYTES
        assert leaked_at(at_exit, LEAKING_LINE) >= 148 * SESSION_BYTES
        assert {row.origin for row in live.reader.rows(ReportRow)} == {"live"}  # the last before memtui stopped it


def test_an_end_without_new_leaks_does_not_tell_of_an_earlier_check(tmp_path: Path) -> None:
    """LeakSanitizer appends: what it said while the program ran is no report of the end."""
    with serving(tmp_path, mode="lsan") as (live, client):
        client.ask("leak 20")
        assert live.ask("check", deadline_s=60.0).ok
        client.close()
        assert live.ask("stop").ok
        live.end(1)
        live.settled(1)
        _, at_exit = live_reports(live, 2)
        assert not any("holds 2 reports" in note for note in at_exit.notes)


def test_the_profiler_writes_snapshots_and_one_on_demand(tmp_path: Path) -> None:
    with serving(tmp_path, mode="profile", environment={"HEAP_PROFILE_INUSE_INTERVAL": "2000000"}) as (live, client):
        client.ask("leak 3000")  # one by itself, at 2 MB more in use
        until(
            lambda: any(leaked_at(report, LEAKING_LINE) > 1_000_000 for report in live_reports(live, 1)),
            "a snapshot was taken without being asked for",
        )
        client.ask("leak 100")
        assert live.ask("snapshot", deadline_s=60.0).ok
        client.close()
        assert live.ask("stop").ok
        live.end(1)
        live.settled(1)
        reports = live_reports(live, 4)  # the first comes with the program's first allocation
        assert {row.checker for row in live.reader.rows(ReportRow)} == {"heapprofile"}
        assert leaked_at(reports[-1], LEAKING_LINE) == 3100 * SESSION_BYTES
        paths = [row.path for row in live.reader.rows(ReportRow)]
        assert len(set(paths)) == len(paths), "each snapshot is one report"
        by_itself = [row for row in live.reader.rows(ReportRow) if row.origin == "live"]
        assert len(live.events(EventKind.SNAPSHOT)) == len(by_itself), "one mark for each, also for the one asked for"


def test_growth_between_any_two_snapshots_is_what_google_pprof_says(tmp_path: Path) -> None:
    with serving(tmp_path, mode="profile") as (live, client):
        for words in ("leak 100", "hold 40", "leak 300", "ping", "leak 50"):
            client.ask(words)
            assert live.ask("snapshot", deadline_s=60.0).ok
        reports = live_reports(live, 6)  # the first comes with the program's first allocation
        paths = [row.path for row in live.reader.rows(ReportRow)]
        program = build("request_server").path
        for old, new in itertools.combinations(range(len(reports)), 2):
            found = difference(reports[old], reports[new])
            pprof = (reference_pprof(), "--text", "--show_bytes", f"--base={paths[old]}", str(program), paths[new])
            done = subprocess.run(pprof, capture_output=True, text=True, check=True, timeout=120)
            # It says nothing at all where the difference is none.
            total = re.match(r"Total: (-?\d+) B", done.stdout)
            assert found.delta_bytes == (int(total[1]) if total else 0), (old, new, done.stdout)
        grown = difference(reports[1], reports[-1])
        leaked = [d for d in grown.deltas if any(frame.line == LEAKING_LINE for frame in d.record.stack)]
        assert sum(delta.delta_bytes for delta in leaked) == 350 * SESSION_BYTES


@pytest.mark.parametrize(("mode", "verb"), [("profile", "snapshot"), ("lsan", "check")])
def test_a_server_that_writes_its_title_over_its_environment(mode: str, verb: str, tmp_path: Path) -> None:
    """As redis, postgres and nginx do: the profiler that was begun with the program must not be begun anew."""
    with serving(tmp_path, mode=mode) as (live, client):
        client.ask("leak 100")
        client.ask("title")
        name = {"profile": "HEAPPROFILE", "lsan": "LSAN_OPTIONS"}[mode]
        assert name not in environment_of(live.launched_pid)
        assert live.ask(verb, deadline_s=60.0).ok
        reports = live_reports(live, 2 if mode == "profile" else 1)
        assert leaked_at(reports[-1], LEAKING_LINE) >= 98 * SESSION_BYTES
