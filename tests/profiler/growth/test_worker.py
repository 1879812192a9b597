"""The process that watches: what it is asked, what it says, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_profiler.growth.worker import Request
from memtui_profiler.helper_process import helper_command
from tests.fixtures.growing import Watcher, growing, named_stacks, skip_if_forbidden, watcher
from tests.fixtures.waiting import until


def begun(watching: Watcher) -> dict[str, Any]:
    """Its first event; the test is skipped where perf events are forbidden."""
    first = watching.event()
    skip_if_forbidden(first.get("why", ""))
    assert first["event"] == "started", first
    return first


def test_it_reports_now_and_then_when_asked_and_at_the_end(tmp_path: Path) -> None:
    with growing("arena") as pid, watcher(pid, tmp_path, every_s=1.5) as watching:
        assert set(begun(watching)["price"]) >= {"faults_per_s", "share"}
        first = watching.next("report")
        watching.say(b"report")
        second = watching.next("report")
        events = watching.end()
    reports = [event for event in events if event["event"] == "report"]
    assert [Path(report["path"]).name for report in reports[:3]] == [f"growth-000{n}.heap" for n in (1, 2, 3)]
    assert sorted(file.name for file in tmp_path.iterdir()) == [Path(report["path"]).name for report in reports]
    assert first["seconds"] < second["seconds"] < reports[-1]["seconds"]
    assert [report["last"] for report in reports] == [False] * (len(reports) - 1) + [True]
    assert 0 < first["grown_bytes"] <= second["grown_bytes"] <= reports[-1]["grown_bytes"]
    assert events[-1] == {"event": "ended", "why": "it was asked to end"}
    for report in reports:
        with open(report["path"], "rb") as file:
            profile = parse_heap(file)
        assert profile.whole and profile.kind == "growth"
        assert any(mapping.path.endswith("/growing") for mapping in profile.mappings)


def test_its_time_is_over(tmp_path: Path) -> None:
    with growing("arena") as pid, watcher(pid, tmp_path, seconds=1) as watching:
        begun(watching)
        report = watching.next("report")
        assert report["last"], "no other comes"
        assert watching.next("ended")["why"] == "its time is over"
        assert report["seconds"] >= 1 and watching.process.wait(timeout=60) == 0


def test_sigterm_ends_it_with_a_last_report(tmp_path: Path) -> None:
    with growing("arena") as pid, watcher(pid, tmp_path) as watching:
        begun(watching)
        watching.process.terminate()
        assert watching.next("report")["outcome"]
        assert watching.next("ended")["why"] == "it was asked to end"


def test_what_was_gathered_is_kept_when_the_process_dies(tmp_path: Path) -> None:
    with growing("arena", mib_per_s=4) as pid, watcher(pid, tmp_path, every_s=2) as watching:
        begun(watching)
        watching.next("report")
        os.kill(pid, signal.SIGKILL)
        report = watching.next("report")
        assert watching.next("ended")["why"].startswith("the process has ended")
    assert any(note.startswith("the process ended after") for note in report["notes"])
    assert report["outcome"] == "stacks" and report["grown_bytes"] > 1 << 20, report
    assert named_stacks(report["path"], pid)[0].runs("parse_request")


def test_a_process_that_becomes_another_program_has_ended(tmp_path: Path) -> None:
    command = ["sh", "-c", "read line; exec sleep 60"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process, watcher(process.pid, tmp_path) as watching:
        begun(watching)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert watching.next("report")["outcome"] == "nothing grew"
        assert watching.next("ended")["why"] == "the process has ended, or runs another program now"
        process.kill()


def threads_and_files(pid: int) -> tuple[list[str], dict[str, str]]:
    folder = f"/proc/{pid}/fd"
    return sorted(os.listdir(f"/proc/{pid}/task")), {
        name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)
    }


def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    with growing("server") as pid:
        before = threads_and_files(pid)
        for _ in range(2):
            with watcher(pid, tmp_path) as watching:
                begun(watching)
                watching.process.kill()
                watching.process.wait(timeout=60)
            assert threads_and_files(pid) == before
            until(lambda: "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text(), "nobody traces it")
        rss = Path(f"/proc/{pid}/statm").read_text()
        until(lambda: Path(f"/proc/{pid}/statm").read_text() != rss, "it serves on")
    assert list(tmp_path.iterdir()) == []


def test_a_process_for_which_it_is_dear_is_watched_anyway_or_not_at_all(tmp_path: Path) -> None:
    def refusal() -> dict[str, Any] | None:
        with watcher(pid, tmp_path) as watching:
            event = watching.event()
            if event["event"] != "refused":
                return None  # on a busy machine it did not come to much while it was looked at
            assert watching.process.wait(timeout=60) == 3
            return event

    with growing("storm") as pid:
        refused = until(refusal, "it is refused for its price")
        assert refused["what"] == "growth is not watched"
        assert "% from it" in refused["why"] and "anyway" in refused["todo"] and refused["for_its_price"]
        with watcher(pid, tmp_path, anyway=True, seconds=1) as watching:
            assert begun(watching)["price"]["share"] > 0
            watching.next("report")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with watcher(1 << 22, tmp_path) as watching:
        refused = watching.event()
        assert "has ended" in refused["why"] and not refused["for_its_price"]
        assert watching.process.wait(timeout=60) == 3


def test_the_folder_is_made(tmp_path: Path) -> None:
    """Whoever asks may not wait for a disk."""
    request = json.dumps({"pid": os.getpid(), "folder": str(tmp_path / "one" / "two"), "seconds": 0.1, "anyway": True})
    command = helper_command("memtui_profiler.growth.worker", "memtui-growth")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(request.encode() + b"\n", timeout=60)
    assert out and (tmp_path / "one" / "two" / "growth-0001.heap").exists()
    (tmp_path / "file").touch()
    ended = subprocess.run(
        command, input=request.replace("/one/", "/file/").encode() + b"\n", capture_output=True, timeout=60, check=False
    )
    refused = json.loads(ended.stdout)
    assert refused["event"] == "refused" and str(tmp_path / "file") in refused["why"]


def test_a_folder_that_cannot_be_written_to_ends_it(tmp_path: Path) -> None:
    with growing("arena") as pid, watcher(pid, tmp_path / "folder", seconds=0.5) as watching:
        begun(watching)
        (tmp_path / "folder").rmdir()
        refused = watching.next("refused")
        assert "growth-0001.heap" in refused["why"] and watching.process.wait(timeout=60) == 1


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[1]\n", b"no json\n", b'{"pid": 1, "folder": "here"}\n'])
def test_what_is_no_request_is_an_error(line: bytes) -> None:
    command = helper_command("memtui_profiler.growth.worker", "memtui-growth")
    ended = subprocess.run(command, input=line, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 2 and json.loads(ended.stdout)["event"] == "refused"


def test_a_request_is_read() -> None:
    assert Request.from_json(b'{"pid": 7, "folder": "/tmp/x"}') == Request(7, "/tmp/x")
    whole = b'{"pid": 7, "folder": "/tmp/x", "seconds": 3, "every_s": 1, "anyway": true}'
    assert Request.from_json(whole) == Request(7, "/tmp/x", 3.0, 1.0, True)
    with pytest.raises(ValueError):
        Request.from_json(b'{"pid": 7, "folder": "/tmp/x", "every_s": 0}')
