"""A session as lines: the form of each, their order, and what is safe to print."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from memtui.commands.plain_session import print_lines
from memtui.session.follower import SessionFollower
from memtui.session.state import Identity, SessionState
from memtui.session.status_line import StatusLine
from memtui.text.json_form import JsonForm
from memtui.text.plain_form import PlainForm, event_line, sample_line
from memtui.text.session_lines import DiagnosisLines, SessionLines
from memtui_profiler.actions import Action
from memtui_profiler.events import EventKind
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Event, Followed, GuestRow, RegionRow, RunEnd, RunSettled, Sample
from memtui_profiler.session.series import Series
from tests.fixtures import sessions

GIB, MIB = 1 << 30, 1 << 20
SAMPLE = re.compile(
    r"\d\d:\d\d:\d\d run \d+ pid \d+ rss \S+ anon \S+ file \S+ swap \S+ threads \S+ [+-]?\d+(\.\d)?[BKMGT]/s"
)


def test_a_sample_line_is_as_designed() -> None:
    sample = Sample(at_s=12.9, run=1, rss_bytes=int(14.2 * GIB), shared_bytes=310 * MIB)
    assert (
        sample_line(sample._replace(shmem_bytes=10 * MIB, swap_bytes=0, threads=12), 4343, 1.2 * MIB)
        == "00:00:12 run 1 pid 4343 rss 14.2G anon 13.9G file 300M swap 0 threads 12 +1.2M/s"
    )


def test_the_allocators_figures_stand_at_the_end_of_a_line() -> None:
    sample = Sample(1.0, 1, 2 * GIB, 0, in_use_bytes=246 * MIB, kept_bytes=int(1.3 * GIB))
    line = sample_line(sample._replace(shmem_bytes=0, swap_bytes=0, threads=12), 4343, 0.0)
    assert line.endswith("threads 12 0B/s in use 246M kept 1.3G")
    unasked = sample_line(sample._replace(kept_bytes=None, shmem_bytes=0, swap_bytes=0, threads=12), 4343, 0.0)
    assert unasked.endswith("threads 12 0B/s")


def test_what_is_not_known_yet_is_a_dash() -> None:
    line = sample_line(Sample(at_s=0.1, run=1, rss_bytes=4096, shared_bytes=4096), 7, 0.0)
    assert line == "00:00:00 run 1 pid 7 rss 4.0K anon 0 file 4.0K swap - threads - 0B/s"


def test_parts_never_exceed_the_whole() -> None:
    sample = Sample(at_s=0.1, run=1, rss_bytes=0, shared_bytes=4096, shmem_bytes=8192)
    assert " anon 0 file 0 " in sample_line(sample, 7, 0.0)


def test_events_of_a_hostile_target_are_harmless() -> None:
    event = Event(at_s=13.0, run=1, kind=EventKind.RELAUNCH.value, text="rate 1 → 3\x1b[2J\n, pid 1 -> 2")
    assert event_line(event) == "00:00:13 event relaunch: rate 1 -> 3 , pid 1 -> 2"


def test_a_recorded_session_line_by_line(tmp_path: Path) -> None:
    folder = sessions.storyboard(tmp_path / "s", end_s=200.0, finished=True)
    reader = SessionReader(folder / "session.db")
    follower = SessionLines(reader, PlainForm())
    lines = follower.poll()
    reader.close()
    assert follower.settled
    samples = [line for line in lines if " rss " in line]
    assert all(SAMPLE.fullmatch(line) for line in samples)
    assert len({line.split()[0] for line in samples if " run 1 " in line}) == len(
        [line for line in samples if " run 1 " in line]
    ), "one line a second"
    assert len(samples) == 162 + 37
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    leaks = [line for line in lines if line.split()[1] == "leak"]
    assert leaks[0].endswith("leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88")
    assert len(leaks) == 5
    assert any("event relaunch: rate 1 -> 7.5, pid 4343 -> 4391" in line for line in lines)


def test_lines_come_once_and_as_they_come(tmp_path: Path) -> None:
    writer = sessions.begin(tmp_path / "s")
    sessions.add_launch(writer, 1, 0.0, 10, "off", None)
    writer.commit()
    reader = SessionReader(tmp_path / "s" / "session.db")
    follower = SessionLines(reader, PlainForm())
    assert [line.split()[1] for line in follower.poll()] == ["event"]
    writer.add(Sample(at_s=0.5, run=1, rss_bytes=5 * MIB, shared_bytes=0, threads=4))
    writer.commit()
    assert follower.poll() == [], "the second is not over"
    writer.add(Sample(at_s=0.9, run=1, rss_bytes=6 * MIB, shared_bytes=2 * MIB))
    writer.add(Followed(at_s=1.0, run=1, pid=11))
    writer.add(Sample(at_s=1.1, run=1, rss_bytes=7 * MIB, shared_bytes=0))
    writer.commit()
    (line,) = follower.poll()
    assert "rss 6.0M anon 4.0M file 2.0M swap - threads 4 " in line
    assert not follower.settled
    writer.add(RunEnd(at_s=1.2, run=1, exit_code=0, signal=None, oom_killed=0))
    writer.add(RunSettled(at_s=1.3, run=1))
    writer.commit()
    (line,) = follower.poll()
    assert "pid 11 rss 7.0M" in line and follower.settled
    assert follower.poll() == [] and follower.finish() == []
    reader.close()
    writer.close()


def test_a_relaunch_goes_on(tmp_path: Path) -> None:
    writer = sessions.begin(tmp_path / "s")
    sessions.add_launch(writer, 1, 0.0, 10, "off", None)
    writer.add(RunSettled(at_s=1.3, run=1))
    writer.commit()
    reader = SessionReader(tmp_path / "s" / "session.db")
    follower = SessionLines(reader, PlainForm())
    follower.poll()
    assert follower.settled
    sessions.add_launch(writer, 2, 2.0, 20, "off", None)
    writer.commit()
    follower.poll()
    assert not follower.settled and follower.run == 2
    reader.close()
    writer.close()


def test_a_finished_session_ends_with_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sessions.storyboard(tmp_path / "s", end_s=170.0, finished=True)
    assert print_lines(folder, ascii=True) == 0
    lines, _, report = capsys.readouterr().out.partition("\n\n")
    assert "server.cpp:88" in report and "auto *s = new Session(c);" in report
    assert report.isascii() and " rss " in lines


def told(*polls: tuple[float, tuple[str, ...]], finished: bool = False) -> list[tuple[float, str]]:
    """The verdicts that have a line, with their times, when the diagnosis says these words at these times."""
    diagnoses = DiagnosisLines(PlainForm())
    lines = [(at_s, diagnoses.poll(state_with(*words, live=not finished), at_s)) for at_s, words in polls]
    return [(at_s, line.split()[2].rstrip(":")) for at_s, found in lines for line in found]


def test_a_verdict_is_said_once_when_it_is_reached() -> None:
    looking = [(float(n), ("LOOKING",)) for n in range(15)]
    growing = [(float(n), ("GROWING",)) for n in range(15, 60)]
    leak = [(float(n), ("GROWING", "LEAK")) for n in range(60, 90)]
    assert told(*looking, *growing, *leak) == [(0.0, "looking"), (17.0, "growing"), (62.0, "leak")]
    assert DiagnosisLines(PlainForm()).poll(state_with("LOOKING"), 1.0) == ["00:00:01 diagnosis looking: at it"]


@pytest.mark.parametrize("every_s", [1, 3, 7])
def test_a_diagnosis_that_wavers_makes_one_line(every_s: int) -> None:
    wavering = [(float(n), ("GROWING",) if (n // every_s) % 2 else ("LOOKING",)) for n in range(200)]
    assert [word for _, word in told(*wavering)] in (["looking", "growing"], ["looking"])
    between = [(float(n), ("STABLE",) if (n // every_s) % 2 else ("LEVELS OFF",)) for n in range(200)]
    assert len(told(*between)) <= 2


def test_a_stable_rss_behind_another_verdict_makes_no_line() -> None:
    """It would read as if the other one were over."""
    kept = [(float(n), ("RETENTION",)) for n in range(10)] + [
        (float(n), ("RETENTION", "STABLE")) for n in range(10, 30)
    ]
    over = [(float(n), ("STABLE",)) for n in range(30, 40)]
    assert [word for _, word in told(*kept, *over)] == ["retention", "stable"]


def test_what_comes_back_after_a_while_is_said_again() -> None:
    words = ["GROWING"] * 20 + ["STABLE"] * 40 + ["GROWING"] * 20
    polls = [(float(n), (word,)) for n, word in enumerate(words)]
    assert [word for _, word in told(*polls)] == ["growing", "stable", "growing"]


def test_a_verdict_of_a_finished_run_waits_for_nothing(tmp_path: Path) -> None:
    follower = SessionFollower(sessions.storyboard(tmp_path, finished=True))
    state = follower.poll(sessions.STARTED + sessions.END_S, live=False)
    follower.close()
    words = [verdict.word.lower() for verdict in state.diagnoses]
    assert (
        words
        and [line.split(" diagnosis ")[1].partition(":")[0] for line in DiagnosisLines(PlainForm()).poll(state, 9.0)]
        == words
    )


def test_refusals_and_what_is_mapped_are_lines(tmp_path: Path) -> None:
    writer = sessions.begin(tmp_path / "s")
    sessions.add_launch(writer, 1, 0.0, 10, "off", None)
    writer.add(GuestRow(1.0, 1, "waiting", ""))
    writer.add(GuestRow(2.0, 1, "refused", "", "cannot ask it", "it is static\x1b[2J", "link it as usual"))
    writer.add(GuestRow(3.0, 1, "ready", "tcmalloc"))
    writer.add(
        GuestRow(3.5, 1, "ready", "mimalloc", "its figures do not tell", "nobody\x1b[2J counts", "a release works")
    )
    names = ("size_bytes", "pss_bytes", "swap_bytes", "dirty_bytes", "huge_bytes")
    sizes = {**dict.fromkeys(names, 0), "rss_bytes": 80 * MIB}
    for at_s in (4.0, 14.0, 70.0):
        writer.add(RegionRow(at_s, 1, "thread-stacks", "", 400, **sizes))
        writer.add(RegionRow(at_s, 1, "all", "", 405, **sizes, threads=401, cost_s=0.01))
    writer.commit()
    reader = SessionReader(tmp_path / "s" / "session.db")
    lines = [line for line in SessionLines(reader, PlainForm()).poll() if " event " not in line]
    objects = [json.loads(line) for line in SessionLines(reader, JsonForm()).poll()]
    reader.close()
    writer.close()
    assert lines == [
        "00:00:01 not asked: it has one thread; --ask asks it",
        "00:00:02 not asked: it is static; link it as usual",
        "00:00:03 no figures: nobody counts; a release works",
        "00:00:04 regions rss 80.0M, huge pages 0: thread stacks 80.0M in 400",
        "00:01:10 regions rss 80.0M, huge pages 0: thread stacks 80.0M in 400",
    ]
    refusals = [one for one in objects if one["type"] == "refusal"]
    assert [(one["state"], one["why"]) for one in refusals] == [
        ("waiting", "it has one thread"),
        ("refused", "it is static"),
        ("ready", "nobody counts"),
    ]
    regions = [one for one in objects if one["type"] == "regions"]
    assert [one["at_s"] for one in regions] == [4.0, 14.0, 70.0]
    assert regions[0]["threads"] == 401 and regions[0]["regions"][0]["rss_bytes"] == 80 * MIB


def test_a_session_without_a_time_of_its_start_has_its_lines(tmp_path: Path) -> None:
    folder = sessions.storyboard(tmp_path / "s", end_s=5.0, finished=True)
    with closing(sqlite3.connect(folder / "session.db")) as database, database:
        database.execute("UPDATE meta SET value = 'x' WHERE key = 'started'")
    reader = SessionReader(folder / "session.db")
    types = [json.loads(line)["type"] for line in SessionLines(reader, JsonForm()).poll()]
    reader.close()
    assert types[0] == "run" and "sample" in types


def test_every_line_of_json_is_an_object_of_the_format(tmp_path: Path) -> None:
    folder = sessions.storyboard(tmp_path / "s", end_s=200.0, finished=True)
    reader = SessionReader(folder / "session.db")
    lines = SessionLines(reader, JsonForm()).poll()
    plain = SessionLines(reader, PlainForm()).poll()
    reader.close()
    assert all("\n" not in line for line in lines)
    objects = [json.loads(line) for line in lines]
    assert {one["schema"] for one in objects} == {"memtui-lines/1"}
    assert [one["type"] for one in objects[:2]] == ["session", "run"]
    page = (Path(__file__).resolve().parents[3] / "docs" / "SESSION-FORMAT.md").read_text("utf-8")
    described = set(re.findall(r"^\| `([a-z-]+)` \|", page.partition("## A session as lines of JSON")[2], re.MULTILINE))
    assert {one["type"] for one in objects} <= described
    assert described == {"session", "run", "run-end", "sample", "event", "refusal", "regions", "report", "verdict"}
    samples = [one for one in objects if one["type"] == "sample"]
    assert len(samples) == len([line for line in plain if " rss " in line]), "one a second, as in text"
    assert all(one["anon_bytes"] + one["shared_bytes"] == one["rss_bytes"] for one in samples)
    assert samples[-1]["threads"] is not None
    (report, *_) = [one for one in objects if one["type"] == "report"]
    assert report["report"]["schema"] == "memtui-report/1"
    assert report["report"]["leaks"][0]["stack"][0]["function"] == "open_session(Conn&)"


def test_a_verdict_is_said_with_the_option_that_helps(tmp_path: Path) -> None:
    follower = SessionFollower(sessions.storyboard(tmp_path))
    state = follower.poll(sessions.STARTED + sessions.END_S, live=True)
    follower.close()
    growing = StatusLine("▲", "GROWING", "+0.4 MiB/s over 60 s", key="m", action=Action.CHOOSE_CHECK)
    helped = replace(state, diagnoses=(growing, StatusLine("▲", "LEAK", "at it", key="c", action=Action.CHECK)))
    assert DiagnosisLines(PlainForm()).poll(helped, 20.0) == [
        "00:00:20 diagnosis growing: +0.4 MiB/s over 60 s (start it with --check normal)",
        "00:00:20 diagnosis leak: at it",
    ]


def state_with(*words: str, live: bool = True) -> SessionState:
    lines = tuple(StatusLine("▲", word, "at\x1b[1m it") for word in words)
    return SessionState(folder=Path("/"), identity=Identity(), now_s=0.0, live=live, series=Series(), diagnoses=lines)
