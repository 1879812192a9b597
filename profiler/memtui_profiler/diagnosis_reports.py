"""What reports and the end of a run say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from posixpath import basename

from memtui_parsers.leak_id import is_runtime_module
from memtui_parsers.report_diff import difference
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, ReportStatus, RunFacts
from memtui_profiler.diagnosis_values import Diagnosis, DiagnosisInput, GrowthSummary, ReportSummary, Verdict
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.words import object_words, short_function, size_words, span_words

# What the heap checker ends a leaking program with, whatever that would have returned (FACTS.md).
LEAK_EXIT_CODE = 1

_SNAPSHOT_KINDS = (LeakKind.IN_USE, LeakKind.GROWTH)

# Function and file:line of the frame that a leak is named after, '' each where there is none.
Naming = Callable[[LeakRecord], tuple[str, str]]


def name_of(leak: LeakRecord) -> tuple[str, str]:
    """The first frame of the program's own that has a name or a line."""
    own = (f for f in leak.stack if f.module is not None and not is_runtime_module(f.module.path))
    frame = next((f for f in own if f.function or f.file), None)
    if frame is None:
        return "", ""
    return frame.function or "", _place(frame)


def _place(frame: Frame) -> str:
    return f"{basename(frame.file)}:{frame.line}" if frame.file and frame.line else ""


def summary_of(report: LeakReport, run: int | None) -> ReportSummary:
    """``report`` in short; its leaks are largest first, as load_report() gives them."""
    short = ReportSummary(run, report.mode, report.status, report.total_bytes, report.total_objects)
    if report.leaks:
        short = replace(short, kind=report.leaks[0].kind)
    for leak in report.leaks:
        function, location = name_of(leak)
        if function or location:
            return replace(short, top_bytes=leak.size_bytes, top_function=function, top_location=location)
    return short


def growth_summary(
    old: LeakReport, new: LeakReport, seconds: float | None = None, name: Naming = name_of
) -> GrowthSummary | None:
    """What ``new`` has more than ``old``, by stack; both of one run and checker, ``seconds`` apart.

    None where nothing has grown, or where the two cannot be compared: other checker, mode or process, one of them cut or
    not run.
    """
    if (old.checker, old.mode, old.pid) != (new.checker, new.mode, new.pid):
        return None
    if {old.status, new.status} != {ReportStatus.COMPLETE}:
        return None
    grown = sorted(
        (delta for delta in difference(old, new).deltas if delta.delta_bytes > 0),
        key=lambda delta: delta.delta_bytes,
        reverse=True,
    )
    if not grown:
        return None
    whole = GrowthSummary(grown[0].record.kind, sum(delta.delta_bytes for delta in grown), seconds=seconds)
    for delta in grown:
        function, location = name(delta.record)
        if function or location:
            return replace(
                whole,
                top_bytes=delta.delta_bytes,
                top_objects=delta.delta_objects,
                top_function=function,
                top_location=location,
            )
    return whole


def of_end(facts: DiagnosisInput, end: RunFacts) -> Diagnosis:
    after = "" if end.seconds is None else f" after {end.seconds:.0f} s"
    peak = f"highest RSS seen: {size_words(max(facts.rss_bytes))}" if facts.rss_bytes else "no sample was taken"
    missing = f"; no report: {facts.no_report}" if facts.no_report else ""
    waiting = "" if facts.settled or facts.mode == CHECK_OFF or missing else "; its leak report is being read"
    evidence = (f"run {facts.run}, check {facts.mode}", peak)
    if end.oom_killed:
        todo = "" if missing else ": it needs more memory than it may have"
        sentence = f"by the OOM killer{after}, {peak}{missing or todo}"
        return Diagnosis(Verdict.KILLED, sentence, "r", "relaunch", evidence, (f"by the OOM killer{after}, {peak}",))
    if end.signal is not None:
        return Diagnosis(Verdict.KILLED, f"by {end.signal}{after}{missing}{waiting}", "r", "relaunch", evidence)
    code = "nobody saw how" if end.exit_code is None else f"exit code {end.exit_code}"
    if (
        end.exit_code == LEAK_EXIT_CODE
        and facts.report
        and facts.report.run == facts.run
        and facts.report.total_objects
    ):
        after += " (the checker's own code, for leaks)"
    verdict = Verdict.NO_REPORT if missing else Verdict.EXITED
    return Diagnosis(verdict, f"{code}{after}{missing}{waiting}", "r", "relaunch", evidence)


def of_report(facts: DiagnosisInput) -> Diagnosis | None:
    report = facts.report
    if report is None:
        return None
    whose = "" if report.run is None or report.run == facts.run else f"run {report.run}: "
    total = f"{size_words(report.total_bytes)} in {object_words(report.total_objects)}"
    evidence: tuple[str, ...] = (f"check {report.mode or 'unknown'}, {report.status.value}: {total}",)
    if report.status is ReportStatus.NOT_RUN:
        return Diagnosis(Verdict.NO_REPORT, f"{whose}the check did not run", "1", "why", evidence)
    cut = " (the report is cut)" if report.status is ReportStatus.TRUNCATED else ""
    if report.kind in _SNAPSHOT_KINDS and (report.total_objects or report.total_bytes):
        return _of_snapshot(facts, report, f"{whose}{total}{cut}", evidence)
    if not report.total_objects and not report.total_bytes:
        if cut:
            return Diagnosis(Verdict.NO_REPORT, f"{whose}the report is cut before its first leak", "1", "why", evidence)
        caveat = "a stale pointer can hide a leak, so this is no proof"
        found = f"{whose}check {report.mode} found none"
        return Diagnosis(Verdict.NO_LEAKS, f"{found}; {caveat}", "1", "show", evidence, (found,))
    most = f"; most at {report.place}: {size_words(report.top_bytes)}" if report.place else ""
    verdict = Verdict.NOT_FREED if report.kind is LeakKind.NOT_FREED else Verdict.LEAK
    shorter: tuple[str, ...] = (f"{whose}{total}{cut}{_most_in_short(report)}", f"{whose}{total}{cut}")
    grown, more = facts.growth, ""
    if grown is not None and not whose and grown.kind is report.kind:
        evidence += growth_evidence(grown)
        more = f", {size_words(grown.grown_bytes)} more than before"
        if grown.seconds is not None:
            more = f", {size_words(grown.grown_bytes)} more in {span_words(grown.seconds)}"
        shorter = (f"{total}{cut}{more}{_most_in_short(report)}", *shorter)
    return Diagnosis(verdict, f"{whose}{total}{cut}{more}{most}", "1", "show the leaks", evidence, shorter)


def _most_in_short(report: ReportSummary) -> str:
    place = report.top_location or short_function(report.top_function)
    return f"; most at {place}" if place else ""


def _of_snapshot(facts: DiagnosisInput, report: ReportSummary, total: str, evidence: tuple[str, ...]) -> Diagnosis:
    """What a heap profile holds is in use, which is no leak; two of them tell what grows."""
    evidence += (
        "a snapshot holds what was allocated since the profiler began and is still in use: none of it need leak",
    )
    if facts.growth is not None:
        evidence += growth_evidence(facts.growth)
    most = f"; most at {report.place}: {size_words(report.top_bytes)}" if report.place else ""
    shorter = (f"{total} in use{_most_in_short(report)}", f"{total} in use")
    if facts.growth is None and facts.can.snapshot:
        return Diagnosis(Verdict.SNAPSHOT, f"{total} in use{most}", "s", "another: growth", evidence, shorter)
    return Diagnosis(Verdict.SNAPSHOT, f"{total} in use{most}", "1", "show", evidence, shorter)


def growth_evidence(grown: GrowthSummary) -> tuple[str, ...]:
    between = "" if grown.seconds is None else f" in the {span_words(grown.seconds)} between them"
    said = [f"the two newest reports: all stacks that grew grew by {size_words(grown.grown_bytes)}{between}"]
    place = " ".join(part for part in (grown.top_function, grown.top_location) if part)
    if place:
        more = f"{size_words(grown.top_bytes)} in {object_words(grown.top_objects)}"
        said.append(f"most of one stack: {place}, {more} more")
    return tuple(said)
