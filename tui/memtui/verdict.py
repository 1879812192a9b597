"""Brings what a session holds before the diagnosis, and its verdicts into the words of the screen.

The diagnosis and what it stands on are imported when first needed: the first frame does without them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memtui.keymap import KEYS
from memtui.state import ReportView, RunView, SessionState, event_detail
from memtui.status_line import StatusLine, Tone
from memtui_profiler.events import EventKind
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.series import LEVELS, WIDTHS_S, Point, Series, column_of

if TYPE_CHECKING:
    from memtui_parsers.values import LeakReport
    from memtui_profiler.diagnosis import Abilities, Diagnosis, DiagnosisInput, GrowthSummary, Release, ReportSummary

# A run is judged by this many points at most: fine ones of its last minutes, coarse ones of what was before.
COARSE_POINTS = 300
FINE_LEVEL = WIDTHS_S.index(1.0)
FINE_S = 240.0
TOP_LEAKS = 8

_TONES = {
    "LOOKING": Tone.CALM,
    "GROWING": Tone.WARN,
    "FALLING": Tone.GOOD,
    "LEVELS OFF": Tone.CALM,
    "STABLE": Tone.GOOD,
    "EXITED": Tone.CALM,
    "KILLED": Tone.BAD,
    "LEAK": Tone.BAD,
    "NOT FREED": Tone.WARN,
    "NO LEAKS": Tone.GOOD,
    "NO REPORT": Tone.WARN,
    "RETENTION": Tone.WARN,
    "FRAGMENTATION": Tone.WARN,
    "RELEASED": Tone.GOOD,
}


def run_points(series: Series, run: RunView, now_s: float) -> list[Point]:
    """The newest samples of one run, oldest first, few enough to be judged within milliseconds."""
    begin_s, end_s = run.row.at_s, now_s if run.end is None else run.end.at_s
    fine_from_s = max(begin_s, end_s - FINE_S)
    points: list[Point] = []
    if fine_from_s > begin_s:
        level = next((n for n in range(LEVELS) if (fine_from_s - begin_s) / WIDTHS_S[n] <= COARSE_POINTS), LEVELS - 1)
        points += _between(series, level, begin_s, fine_from_s)
    points += _between(series, FINE_LEVEL, fine_from_s, end_s)
    rising: list[Point] = []
    for point in points:
        if point.run == run.number and (not rising or point.at_s > rising[-1].at_s):
            rising.append(point)
    return rising


def _between(series: Series, level: int, begin_s: float, end_s: float) -> list[Point]:
    first, last = column_of(begin_s, WIDTHS_S[level]), column_of(end_s, WIDTHS_S[level])
    return [point for point in series.points(level, first, last - first + 1) if point is not None]


def growth_of(state: SessionState) -> float | None:
    """How fast RSS of the newest run changes now, in bytes a second; None while that is unknown or it has ended."""
    from memtui_profiler.trend import growth_rate

    run = state.run
    if run is None or run.ended or not state.live:
        return None
    points = _between(state.series, FINE_LEVEL, max(run.row.at_s, state.now_s - FINE_S), state.now_s)
    points = [point for point in points if point.run == run.number]
    return growth_rate([point.at_s for point in points], [point.rss_bytes for point in points])


def facts_of(
    state: SessionState, loaded: tuple[int, LeakReport] | None, growth: GrowthSummary | None = None
) -> DiagnosisInput | None:
    """What the diagnosis is told; None before there is a run.

    ``loaded``: the newest report read whole, with its id; ``growth``: what it has more than the one before.
    """
    from memtui_parsers.values import RunFacts
    from memtui_profiler.diagnosis import DiagnosisInput

    run = state.run
    if run is None:
        return None
    points = run_points(state.series, run, state.now_s)
    end = None
    if run.end is not None:
        end = RunFacts(run.end.exit_code, run.end.signal, bool(run.end.oom_killed), run.seconds(state.now_s))
    report = state.report
    whole = loaded[1] if report is not None and loaded is not None and loaded[0] == report.id else None
    samples = state.heap.samples
    fine_from_s = samples[0].at_s if samples else float("inf")
    return DiagnosisInput(
        at_s=[point.at_s for point in points],
        rss_bytes=[point.rss_bytes for point in points],
        anon_bytes=[max(0, point.rss_bytes - point.shared_bytes) for point in points],
        run=run.number,
        mode=run.row.mode,
        end=end,
        settled=run.settled or not state.live,
        no_report=run.no_report,
        report=None if report is None or whole is None else summary_of(report, whole),
        allocator=samples,
        in_use_before=[
            (point.at_s, point.in_use_bytes)
            for point in points
            if point.in_use_bytes is not None and point.at_s < fine_from_s
        ],
        details=[row for row in state.details if row.run == run.number],
        growth=growth if whole is not None and report is not None and report.run == run.number else None,
        releases=_releases(state, run),
        can=_abilities(state, run),
        not_asked=_not_asked(state),
    )


def _releases(state: SessionState, run: RunView) -> list[Release]:
    """Those of the last minutes, oldest first."""
    from memtui_profiler.diagnosis import Release

    found: list[Release] = []
    for event in reversed(state.events):
        if event.at_s < max(run.row.at_s, state.now_s - FINE_S):
            break
        if event.kind == EventKind.RELEASED.value and event.run == run.number:
            detail = event_detail(event)
            before, after = detail.get("before_bytes"), detail.get("after_bytes")
            if isinstance(before, int) and isinstance(after, int):
                found.append(Release(event.at_s, before, after))
    return found[::-1]


def _abilities(state: SessionState, run: RunView) -> Abilities:
    """What a key would not only be refused for."""
    from memtui_profiler.diagnosis import Abilities

    guest = state.heap.guest
    asked = state.running and guest is not None and guest.state not in ("refused", "off", "gone")
    profiler = state.heap.allocator == "tcmalloc" and "minimal" not in run.row.allocator
    return Abilities(
        check=asked and run.row.mode not in (CHECK_OFF, "local"),
        snapshot=asked and profiler,
        release=asked,
        launch=not state.identity.attached,
    )


def _not_asked(state: SessionState) -> str:
    guest = state.heap.guest
    if guest is None or guest.state in ("ready", "busy"):
        return ""
    if guest.state == "waiting":
        return "it has one thread, and is asked only when you want it: enter on tab 2"
    return ": ".join(part for part in (guest.what, guest.why) if part)


def summary_of(view: ReportView, report: LeakReport) -> ReportSummary:
    """The report in short, with the largest leak that runs through the program itself."""
    from memtui.report_growth import program_name
    from memtui_parsers.values import LeakKind
    from memtui_profiler.diagnosis import ReportSummary

    summary = ReportSummary(
        run=view.run,
        mode=report.mode,
        status=report.status,
        total_bytes=report.total_bytes,
        total_objects=report.total_objects,
        kind=report.leaks[0].kind if report.leaks else LeakKind.UNREACHABLE,
    )
    for leak in report.leaks[:TOP_LEAKS]:
        function, location = program_name(leak)
        if function or location:
            return replace(
                summary, top_bytes=leak.size_bytes, top_function=function, top_location=location, kind=leak.kind
            )
    return summary


def verdicts(
    state: SessionState, loaded: tuple[int, LeakReport] | None, growth: GrowthSummary | None = None
) -> tuple[StatusLine, ...]:
    """What the diagnosis makes of the session now, ready for the screen."""
    from memtui_profiler.diagnosis import diagnose

    facts = facts_of(state, loaded, growth)
    if facts is None:
        return ()
    attached = state.identity.attached
    exist = {key.shown for key in KEYS if key.exists(live=state.live, running=state.running, attached=attached)}
    return tuple(_line(diagnosis, exist) for diagnosis in diagnose(facts))


def _line(diagnosis: Diagnosis, exist: set[str]) -> StatusLine:
    """A key that is not there, as without a recorder those that act on the target, is not named."""
    key = diagnosis.key if diagnosis.key in exist else ""
    return StatusLine(
        diagnosis.glyph,
        diagnosis.word,
        diagnosis.sentence,
        _TONES.get(diagnosis.word, Tone.CALM),
        key or "",
        diagnosis.key_words if key else "",
        diagnosis.evidence,
        diagnosis.shorter,
    )
