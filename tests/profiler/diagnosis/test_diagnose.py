from __future__ import annotations

import math
import random
from dataclasses import replace
from posixpath import basename

import pytest

from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, Module, ReportStatus, RunFacts
from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.diagnose import diagnose
from memtui_profiler.diagnosis.reports import growth_summary, summary_of
from memtui_profiler.diagnosis.values import DiagnosisInput, GrowthSummary, ReportSummary, Verdict
from memtui_profiler.session.rows import Sample
from memtui_profiler.words import cost_words, percent_words, rate_words, short_function, size_words, span_words

MIB = 1 << 20
TIMES = tuple(n / 2 for n in range(241))
LEVEL = DiagnosisInput(TIMES, (300 * MIB,) * 241, (250 * MIB,) * 241)
GROWING = DiagnosisInput(TIMES, tuple(int((300 + 0.4 * t) * MIB) for t in TIMES))
REPORT = ReportSummary(
    1, "normal", ReportStatus.COMPLETE, 42 * MIB, 11130, 41 * MIB, "open_session(Conn&)", "server.cpp:88"
)


def named(record: LeakRecord) -> tuple[str, str]:
    """The first frame that is not the C library's, as a front end names it."""
    own = (frame for frame in record.stack if frame.module is not None and "libc" not in frame.module.path)
    frame = next((frame for frame in own if frame.function and frame.file), None)
    return ("", "") if frame is None else (frame.function or "", f"{basename(frame.file or '')}:{frame.line}")


def verdicts(facts: DiagnosisInput) -> list[Verdict]:
    found = diagnose(facts)
    assert 1 <= len(found) <= 2
    for diagnosis in found:
        assert diagnosis.glyph and diagnosis.word and diagnosis.sentence and diagnosis.evidence
        assert bool(diagnosis.action) == bool(diagnosis.action_words)
    return [diagnosis.verdict for diagnosis in found]


def test_at_first_it_says_what_it_waits_for() -> None:
    facts = DiagnosisInput((0.0, 1.0, 4.0), (1, 2, 3))
    assert verdicts(facts) == [Verdict.LOOKING]
    assert diagnose(facts)[0].sentence.startswith("4 s of samples")
    assert verdicts(DiagnosisInput((), ())) == [Verdict.LOOKING]


def test_growth_names_its_rate_and_what_to_do() -> None:
    (off,) = diagnose(GROWING)
    assert (off.verdict, off.sentence, off.action) == (Verdict.GROWING, "+0.4 MiB/s over 60 s", Action.CHOOSE_CHECK)
    (checked,) = diagnose(replace(GROWING, mode="normal"))
    assert checked.action == Action.STOP


def test_growth_of_files_is_told_from_growth_of_the_heap() -> None:
    files = replace(GROWING, anon_bytes=(200 * MIB,) * 241)
    assert any("no leak of the heap" in line for line in diagnose(files)[0].evidence)
    heap = replace(GROWING, anon_bytes=GROWING.rss_bytes)
    assert not any("no leak of the heap" in line for line in diagnose(heap)[0].evidence)


def test_level_and_falling() -> None:
    assert verdicts(LEVEL) == [Verdict.LEVEL]
    assert diagnose(LEVEL)[0].sentence == "RSS stays at 300.0 MiB for 120 s"
    falling = replace(LEVEL, rss_bytes=tuple(int((300 - t) * MIB) for t in TIMES))
    assert verdicts(falling) == [Verdict.FALLING]
    assert diagnose(falling)[0].sentence == "-1.0 MiB/s over 60 s"


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(80, Verdict.LEVELS_OFF), (200, Verdict.LEVELS_OFF), (1200, Verdict.LEVEL)]
)
def test_a_rise_that_ended_levels_off_until_it_is_long_past(seconds: int, verdict: Verdict) -> None:
    dice = random.Random(1)
    times = tuple(float(n) for n in range(seconds + 1))
    rose = DiagnosisInput(times, tuple(int(min(t, 50) * 6 * MIB + dice.randrange(MIB)) for t in times))
    (diagnosis,) = diagnose(rose)
    assert diagnosis.verdict is verdict
    level_s = int(diagnosis.sentence.split(" for ")[1].removesuffix(" s"))
    assert level_s == pytest.approx(seconds - 50, abs=5)
    if verdict is Verdict.LEVELS_OFF:
        assert diagnosis.sentence.startswith("RSS rose by 2") or diagnosis.sentence.startswith("RSS rose by 30")


def test_swings_are_neither_level_nor_growth() -> None:
    swings = replace(LEVEL, rss_bytes=tuple(int((300 + 100 * math.sin(t)) * MIB) for t in TIMES), anon_bytes=())
    (diagnosis,) = diagnose(swings)
    assert diagnosis.verdict is Verdict.LEVEL
    assert diagnosis.sentence == "RSS moves between 200.0 MiB and 400.0 MiB, with no trend in 60 s"
    early = DiagnosisInput(TIMES[:50], swings.rss_bytes[:50])
    assert verdicts(early) == [Verdict.LOOKING]


def test_a_report_comes_first_once_the_run_is_over() -> None:
    over = replace(LEVEL, mode="normal", end=RunFacts(exit_code=1, seconds=120.0), settled=True, report=REPORT)
    leak, ended = diagnose(over)
    assert leak.verdict is Verdict.LEAK
    assert leak.sentence == "42.0 MiB in 11 130 objects; most at open_session(Conn&) server.cpp:88: 41.0 MiB"
    assert (ended.verdict, ended.sentence) == (
        Verdict.EXITED,
        "exit code 1 after 120 s (the checker's own code, for leaks)",
    )


def test_a_report_of_an_older_run_stands_second_and_says_so() -> None:
    facts = replace(GROWING, run=2, report=REPORT)
    assert verdicts(facts) == [Verdict.GROWING, Verdict.LEAK]
    assert diagnose(facts)[1].sentence.startswith("run 1: 42.0 MiB")


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({"kind": LeakKind.NOT_FREED}, Verdict.NOT_FREED, "11 130 objects"),
        ({"total_bytes": 0, "total_objects": 0}, Verdict.NO_LEAKS, "no proof"),
        ({"status": ReportStatus.TRUNCATED}, Verdict.LEAK, "the report is cut"),
        ({"status": ReportStatus.TRUNCATED, "total_bytes": 0, "total_objects": 0}, Verdict.NO_REPORT, "is cut"),
        ({"status": ReportStatus.NOT_RUN, "total_bytes": 0, "total_objects": 0}, Verdict.NO_REPORT, "did not run"),
        ({"top_function": "", "top_location": ""}, Verdict.LEAK, "11 130 objects"),
        ({"total_bytes": 0, "total_objects": 1}, Verdict.LEAK, "1 object"),
    ],
)
def test_what_a_report_says(change: dict[str, object], verdict: Verdict, words: str) -> None:
    facts = replace(LEVEL, mode="normal", end=RunFacts(0), settled=True, report=replace(REPORT, **change))  # type: ignore[arg-type]
    first = diagnose(facts)[0]
    assert first.verdict is verdict
    assert words in first.sentence


def test_a_kill_without_a_report_says_why_and_what_to_do() -> None:
    why = (
        "SIGTERM ended it before the check at exit could run: it has no handler for it. Have it call exit() on a signal"
    )
    killed = replace(LEVEL, mode="normal", end=RunFacts(signal="SIGTERM", seconds=9.0), settled=True, no_report=why)
    (diagnosis,) = diagnose(killed)
    assert diagnosis.verdict is Verdict.KILLED
    assert diagnosis.sentence == f"by SIGTERM after 9 s; no report: {why}"
    assert diagnosis.action == Action.LAUNCH


def test_the_oom_killer_is_named_with_the_peak() -> None:
    (diagnosis,) = diagnose(replace(LEVEL, end=RunFacts(signal="SIGKILL", oom_killed=True, seconds=9.0), settled=True))
    assert diagnosis.verdict is Verdict.KILLED
    assert "OOM killer" in diagnosis.sentence and "300.0 MiB" in diagnosis.sentence


def test_an_exit_without_a_report_never_looks_like_no_leaks() -> None:
    facts = replace(
        LEVEL, mode="normal", end=RunFacts(0, seconds=1.0), settled=True, no_report="the checker never spoke"
    )
    assert verdicts(facts) == [Verdict.NO_REPORT]


def test_an_exit_whose_report_is_on_its_way() -> None:
    facts = replace(LEVEL, mode="normal", end=RunFacts(1, seconds=1.0))
    assert "being read" in diagnose(facts)[0].sentence
    assert "being read" not in diagnose(replace(facts, mode="off"))[0].sentence


def test_a_report_in_short_names_the_programs_first_frame() -> None:
    libc, program = Module("/usr/lib/libc.so.6"), Module("/srv/rpc_server")
    runtime = LeakRecord("a", 100, 1, LeakKind.NOT_FREED, (Frame(1, libc, function="setenv", file="setenv.c", line=1),))
    stack = (Frame(2, libc, function="strdup"), Frame(3, program, function="parse()", file="/src/peer.cpp", line=19))
    leaks = (runtime, LeakRecord("b", 90, 2, LeakKind.NOT_FREED, stack))
    report = LeakReport("heapcheck", "draconian", ReportStatus.COMPLETE, total_bytes=190, total_objects=3, leaks=leaks)
    assert summary_of(report, 2, named) == ReportSummary(
        2, "draconian", ReportStatus.COMPLETE, 190, 3, 90, "parse()", "peer.cpp:19", LeakKind.NOT_FREED
    )
    assert summary_of(replace(report, leaks=(runtime,)), 2, named).top_function == ""


PROGRAM, LIBC = Module("/srv/rpc_server"), Module("/usr/lib/libc.so.6")


def leak(name: str, size_bytes: int, objects: int, kind: LeakKind = LeakKind.UNREACHABLE) -> LeakRecord:
    frames = (
        Frame(1, LIBC, function="malloc"),
        Frame(hash(name) & 0xFFFF, PROGRAM, function=name, file="/s/a.cpp", line=7),
    )
    return LeakRecord(name if name else "unnamed", size_bytes, objects, kind, frames[: 2 if name else 1])


def checked(*leaks: LeakRecord, **more: object) -> LeakReport:
    total, objects = sum(one.size_bytes for one in leaks), sum(one.objects for one in leaks)
    report = LeakReport(
        "heapcheck", "normal", ReportStatus.COMPLETE, pid=7, total_bytes=total, total_objects=objects, leaks=leaks
    )
    return replace(report, **more)  # type: ignore[arg-type]


def test_growth_between_two_reports_names_the_stack_that_grew_most() -> None:
    old = checked(leak("parse()", 900, 9), leak("open()", 100, 1), leak("gone()", 5000, 5))
    new = checked(leak("parse()", 950, 10), leak("open()", 400, 4), leak("fresh()", 50, 1))
    assert growth_summary(old, new, 60.0, named) == GrowthSummary(
        LeakKind.UNREACHABLE, 400, 300, 3, "open()", "a.cpp:7", 60.0
    )
    assert growth_summary(old, new, None, named).share == 0.75  # type: ignore[union-attr]


def test_growth_without_a_name_is_counted_and_not_called_anything() -> None:
    grown = growth_summary(checked(leak("", 10, 1)), checked(leak("", 900, 2), leak("open()", 90, 1)), None, named)
    assert grown == GrowthSummary(LeakKind.UNREACHABLE, 980, 90, 1, "open()", "a.cpp:7")
    assert growth_summary(checked(), checked(leak("", 900, 2)), None, named) == GrowthSummary(LeakKind.UNREACHABLE, 900)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "draconian"},
        {"checker": "memcheck"},
        {"pid": 8},
        {"status": ReportStatus.TRUNCATED},
        {"status": ReportStatus.NOT_RUN},
    ],
)
def test_what_cannot_be_compared_is_no_growth(change: dict[str, object]) -> None:
    old, new = checked(leak("open()", 1, 1)), checked(leak("open()", 2, 2))
    assert growth_summary(old, new, None, named) is not None
    assert growth_summary(replace(old, **change), new, None, named) is None  # type: ignore[arg-type]
    assert growth_summary(old, replace(new, **change), None, named) is None  # type: ignore[arg-type]


def test_nothing_more_is_no_growth() -> None:
    old = checked(leak("open()", 900, 9))
    assert growth_summary(old, old, None, named) is None
    assert growth_summary(old, checked(leak("open()", 800, 8)), None, named) is None
    assert growth_summary(old, checked(), None, named) is None


def test_names_in_few_columns() -> None:
    assert short_function("main") == "main"
    assert short_function("std::map<int, std::function<void ()> >::find(int const&) const") == (
        "std::map<int, std::function<voi…"
    )
    assert short_function("open_session_with_a_very_long_name(Conn&, int)") == "open_session_with_a_very_long_n…"
    assert short_function("open_session(std::vector<std::pair<int, int> > const&)") == "open_session"
    assert short_function("(anonymous namespace)::handle(int, int, int, int)") == "(anonymous namespace)::handle"
    assert short_function("operator()(std::vector<std::pair<int, int> > const&)") == "operator()"
    assert len(short_function("x" * 5000)) == 32


def test_spans_and_shares_in_sentences() -> None:
    assert [span_words(s) for s in (0.4, 15, 119.4, 120, 600, 7100, 7200, 360000)] == [
        "0 s",
        "15 s",
        "119 s",
        "2 min",
        "10 min",
        "118 min",
        "2 h",
        "100 h",
    ]
    assert [percent_words(s) for s in (0.0, 0.001, 0.005, 0.5, 1.0)] == ["0 %", "<1 %", "<1 %", "50 %", "100 %"]


def test_sizes_and_rates_in_sentences() -> None:
    sizes = (0, 900, 1024, 102_400, 104_858, 420_000, MIB, 1000 * MIB, 14.2 * 1024 * MIB)
    texts = [(size_words(n), rate_words(n)) for n in sizes]
    assert texts == [
        ("0 B", "0 B/s"),
        ("900 B", "900 B/s"),
        ("1.0 KiB", "1.0 KiB/s"),
        ("100.0 KiB", "100.0 KiB/s"),
        ("102.4 KiB", "0.1 MiB/s"),
        ("410.2 KiB", "0.4 MiB/s"),
        ("1.0 MiB", "1.0 MiB/s"),
        ("1.0 GiB", "1.0 GiB/s"),
        ("14.2 GiB", "14.2 GiB/s"),
    ]


def test_durations_in_sentences() -> None:
    assert [cost_words(s) for s in (0.0002, 0.0099, 0.34, 0.999, 1.0, 75.0)] == [
        "0.2 ms",
        "9.9 ms",
        "340 ms",
        "999 ms",
        "1.0 s",
        "75.0 s",
    ]
    assert span_words(9000) == "2.5 h"


def test_figures_that_come_before_the_first_point_are_no_mishap() -> None:
    row = Sample(at_s=1.0, run=2, rss_bytes=5 << 20, shared_bytes=3 << 20, file_bytes=3 << 20, shmem_bytes=0, threads=1)
    (found,) = diagnose(DiagnosisInput(at_s=(), rss_bytes=(), details=(row,), run=2))
    assert found.verdict is Verdict.LOOKING
