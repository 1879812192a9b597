"""Growth by stack, from the command to the report: of processes that nobody prepared, and of programs that memtui launches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.report.difference import difference
from memtui_parsers.values import GrowthOutcome, LeakKind, LeakReport
from memtui_profiler.actions import Action
from memtui_profiler.events import EventKind
from memtui_profiler.process.descendants import children_of
from memtui_profiler.request import PAGE_FAULTS
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import CapabilityRow, ReportRow
from tests.fixtures.attached import attached, named_reports, running, thread_names
from tests.fixtures.command_line import run_memtui, start_memtui
from tests.fixtures.growing import growing, growing_program
from tests.fixtures.live import Live, is_alive, record
from tests.fixtures.waiting import until

MIB = 1 << 20
ANSWERS_S = 60.0
IDLE = ("sleep", "1000")


def newest(live: Live, count: int) -> LeakReport:
    """The last of ``count`` reports, with its names."""
    return load_report(live.reader, named_reports(live, count)[-1])


def grows_in(report: LeakReport, function: str) -> float:
    """The part of the growth whose stacks run through the function."""
    through = sum(leak.size_bytes for leak in report.leaks if any(function in (f.function or "") for f in leak.stack))
    return through / report.total_bytes if report.total_bytes else 0.0


def watchers(live: Live) -> list[int]:
    """The processes that watch for the recorder."""
    return [pid for pid in children_of(live.recorder_pid) if "memtui-growth" in command(pid)]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


def watching(live: Live) -> list[object]:
    return [json.loads(event.detail)["watching"] for event in live.events(EventKind.GROWTH)]


def test_a_process_without_a_profiler_is_watched_and_reports_when_asked(tmp_path: Path) -> None:
    with growing("server") as pid, attached(tmp_path, pid) as live:
        begun = live.ask("snapshot", deadline_s=ANSWERS_S)
        assert begun.result == {"started": True, "growth": True}
        told = until(lambda: live.events(EventKind.GROWTH), "it is told")[-1]
        assert json.loads(told.detail) == {"watching": True, "first_report_s": 10.0, "action": Action.SNAPSHOT.value}
        assert len(watchers(live)) == 1
        until(lambda: live.samples()[-1].rss_bytes > live.samples()[0].rss_bytes + 4 * MIB, "it has grown")
        assert live.ask("snapshot", deadline_s=ANSWERS_S).result == {"started": False, "growth": True}
        first = newest(live, 1)
        assert (first.checker, first.mode, first.pid) == ("growth", "growth", pid)
        assert first.growth is not None and first.growth.outcome is GrowthOutcome.STACKS
        assert first.growth.grown_bytes >= first.total_bytes >= 2 * MIB and first.growth.samples >= 10
        assert {leak.kind for leak in first.leaks} == {LeakKind.GROWTH}
        assert all(leak.objects == 0 for leak in first.leaks), "of pages nobody counts objects"
        assert grows_in(first, "leak_session") > 0.9
        assert any("not always who keeps it" in note for note in first.notes)

        assert live.ask("growth", do="stop", deadline_s=ANSWERS_S).ok
        last = newest(live, 2)
        assert last.growth is not None and last.growth.seconds > first.growth.seconds
        assert difference(first, last).delta_bytes > 0, "reports of one watch are of the same start"
        until(lambda: watching(live) == [True, False], "its end is told")
        assert watchers(live) == []
        assert live.ask("growth", do="report").error is not None, "nothing is watched any more"


def test_the_first_report_comes_by_itself(tmp_path: Path) -> None:
    with growing("server") as pid, attached(tmp_path, pid) as live:
        assert live.ask("growth", deadline_s=ANSWERS_S).result == {"started": True, "growth": True}
        assert grows_in(newest(live, 1), "leak_session") > 0.9
        (row,) = live.reader.rows(ReportRow)
        assert row.origin == "live" and row.path.startswith(str(live.folder))


def test_nothing_is_put_into_a_process_whose_guest_is_forbidden(tmp_path: Path) -> None:
    with growing("server") as pid, attached(tmp_path, pid, no_guest=True) as live:
        threads = thread_names(pid)
        assert live.ask("snapshot", deadline_s=ANSWERS_S).result == {"started": True, "growth": True}
        assert thread_names(pid) == threads


def test_gperftools_own_profiler_comes_first(tmp_path: Path) -> None:
    with growing("server", preload="libtcmalloc.so.4") as pid, attached(tmp_path, pid) as live:
        assert live.ask("snapshot", deadline_s=ANSWERS_S).result == {"started": True}
        assert watchers(live) == []


def test_it_is_said_whether_it_can_be_watched(tmp_path: Path) -> None:
    with running(IDLE, preload="") as process, attached(tmp_path, process.pid) as live:
        rows = {row.name: row for row in live.reader.rows(CapabilityRow)}
        assert rows[PAGE_FAULTS].available


def test_what_was_gathered_is_kept_when_the_process_is_killed(tmp_path: Path) -> None:
    with growing("server") as pid, attached(tmp_path, pid) as live:
        assert live.ask("growth", deadline_s=ANSWERS_S).ok
        until(lambda: live.samples()[-1].rss_bytes > live.samples()[0].rss_bytes + 4 * MIB, "it has grown")
        os.kill(pid, signal.SIGKILL)
        report = newest(live, 1)
        live.settled(1)
        assert grows_in(report, "leak_session") > 0.9
        assert any("ended" in note for note in report.notes)


def test_a_recorder_that_is_killed_leaves_no_watcher(tmp_path: Path) -> None:
    with growing("server") as pid, attached(tmp_path, pid, watch=False) as live:
        assert live.ask("growth", deadline_s=ANSWERS_S).ok
        (watcher,) = watchers(live)
        os.kill(live.recorder_pid, signal.SIGKILL)
        until(lambda: not is_alive(watcher), "the watcher has ended", deadline_s=ANSWERS_S)
        assert is_alive(pid)


def test_a_refusal_is_one_sentence_and_nothing_stays(tmp_path: Path) -> None:
    with running(IDLE, preload="") as process, attached(tmp_path, process.pid) as live:
        for nonsense in ({"do": "sing"}, {"seconds": -1}, {"seconds": "x"}):
            assert live.ask("growth", **nonsense).error is not None
        assert watchers(live) == []


# Launched


def test_a_launch_is_watched_from_its_start_to_its_end(tmp_path: Path) -> None:
    with record(tmp_path, growing_program(), "server", "3", mode="growth") as live:
        until(lambda: watching(live), "it is watched", deadline_s=ANSWERS_S)
        begun_bytes = live.samples()[-1].rss_bytes
        until(lambda: live.samples()[-1].rss_bytes > begun_bytes + 8 * MIB, "it has grown")
        live.ask("stop")
        live.settled(1)
        report = newest(live, 1)
        assert watching(live) == [True, False]
    assert grows_in(report, "leak_session") > 0.9


def test_a_script_that_becomes_the_program_is_watched_on(tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_text(f"#!/bin/sh\nread line\nexec {growing_program()} server 3\n")
    script.chmod(0o755)
    with subprocess.Popen(["sleep", "2"], stdout=subprocess.PIPE) as late:
        assert late.stdout is not None
        words = ["check", "--check", "growth", "--for", "7", "--format", "json", str(script)]
        done = run_memtui(tmp_path, words, stdin=late.stdout.fileno())
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "leak_session" in json.dumps(document["leaks"][0]["stack"])


@pytest.mark.parametrize(("program", "code"), [("true", 3), ("false", 3)])
def test_a_program_that_ends_at_once_was_not_watched(program: str, code: int, tmp_path: Path) -> None:
    done = run_memtui(tmp_path, ["check", "--check", "growth", "--format", "json", program])
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["status"] == "not-run"


# Without a screen


def grown(home: Path, pid: int, *words: str) -> subprocess.CompletedProcess[str]:
    return run_memtui(home, ["attach", "--growth", *words, str(pid)])


def test_what_grows_in_some_seconds_is_printed(tmp_path: Path) -> None:
    with growing("server") as pid:
        threads = thread_names(pid)
        done = grown(tmp_path, pid, "3", "--format", "json")
        assert thread_names(pid) == threads, "nothing is put into it"
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert (document["schema"], document["checker"], document["mode"]) == ("memtui-report/1", "growth", "growth")
        growth = document["growth"]
        assert growth["outcome"] == "stacks" and growth["seconds"] >= 3 and growth["bytes_per_s"] > MIB / 2
        top = document["leaks"][0]
        assert top["kind"] == "growth" and top["samples"] >= 10 and top["objects"] == 0
        assert any(frame["function"] and "leak_session" in frame["function"] for frame in top["stack"])
        text = grown(tmp_path, pid, "2")
        assert text.returncode == 0, text.stderr
        first = text.stdout.splitlines()[0]
        assert "MiB grown in 2 s (" in first and "samples in" in first and "RSS " in first
        assert "leak_session" in text.stdout and "MiB/s" in text.stdout
        assert not [path for path in tmp_path.iterdir() if path.name.startswith("memtui-")]


def test_nothing_grew_is_an_answer(tmp_path: Path) -> None:
    with running(IDLE, preload="") as process:
        done = grown(tmp_path, process.pid, "1")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("nothing has grown that stands out in 1 s")


def test_an_interrupt_ends_it_with_the_report_so_far(tmp_path: Path) -> None:
    with growing("server") as pid:
        memtui = start_memtui(tmp_path, ["attach", "--growth", "600", "--format", "json", "--keep", str(pid)])
        sessions = tmp_path / "state" / "memtui" / "sessions"

        def begun() -> bool:
            return any("growth" in path.name for path in sessions.glob("*/runs/1/*"))

        until(begun, "it watches", deadline_s=ANSWERS_S)
        until(lambda: rss_mib(pid) > 50, "it has grown")
        memtui.send_signal(signal.SIGINT)
        out, _ = memtui.communicate(timeout=60)
        assert memtui.returncode == 130
        assert json.loads(out)["growth"]["grown_bytes"] > 0


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / MIB


def test_a_price_is_said_before_and_paid_when_asked_for_again(tmp_path: Path) -> None:
    """On a machine that is busy the program may get too little of it to be dear."""
    with growing("storm") as pid:
        done = grown(tmp_path, pid, "0.1")
        assert "% from it" not in done.stderr or (done.returncode == 3 and "add --anyway" in done.stderr)
        with attached(tmp_path, pid) as live:
            error = live.ask("snapshot", deadline_s=ANSWERS_S).error
            assert error is None or (error.action is Action.SNAPSHOT and "% from it" in error.why)
            assert live.ask("snapshot", anyway=True, deadline_s=ANSWERS_S).ok


def test_a_process_that_is_gone_is_refused(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    done = grown(tmp_path, process.pid, "1", "--format", "json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] == "not-run"
