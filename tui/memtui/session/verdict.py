"""Brings what a session holds before the diagnosis, and its verdicts into the words of the screen.

The diagnosis and what it stands on are imported when first needed: the first frame does without them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memtui.session.state import RunView, SessionState, event_detail
from memtui.session.status_line import StatusLine, Tone
from memtui.session.ways import key_for, with_key
from memtui_parsers.clean_text import clean
from memtui_profiler.actions import Action
from memtui_profiler.allocators import allocator_of
from memtui_profiler.checkers import can_check_live, usual_checker
from memtui_profiler.events import EventKind
from memtui_profiler.session.series import LEVELS, WIDTHS_S, Point, Series, column_of

if TYPE_CHECKING:
    from memtui_parsers.values import LeakReport
    from memtui_profiler.diagnosis.values import Abilities, Diagnosis, DiagnosisInput, GrowthSummary, Release

# A run is judged by this many points at most: fine ones of its last minutes, coarse ones of what was before.
COARSE_POINTS = 300
FINE_LEVEL = WIDTHS_S.index(1.0)
FINE_S = 240.0

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
    from memtui_profiler.diagnosis.trend import growth_rate

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
    from memtui.session.growth import program_name
    from memtui_parsers.values import RunFacts
    from memtui_profiler.diagnosis.reports import summary_of
    from memtui_profiler.diagnosis.values import DiagnosisInput

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
        report=None if report is None or whole is None else summary_of(whole, report.run, program_name),
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
        beside=state.heap.beside,
        no_check=_no_check(state),
        program=os.path.basename(run.row.executable),
        regions=state.regions,
        page_bytes=state.identity.page_bytes,
    )


def _releases(state: SessionState, run: RunView) -> list[Release]:
    """Those of the last minutes, oldest first."""
    from memtui_profiler.diagnosis.values import Release

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
    """What would not only be refused."""
    from memtui_profiler.diagnosis.values import Abilities

    guest = state.heap.guest
    asked = state.running and guest is not None and guest.state not in ("refused", "off", "gone")
    kind = allocator_of(state.heap.allocator)
    profiler = kind is not None and kind.has_profiler(run.row.allocator)
    return Abilities(
        check=asked and can_check_live(run.row.mode),
        snapshot=asked and profiler and state.heap.can(Action.SNAPSHOT),
        release=asked and state.heap.can(Action.RELEASE),
        ask=state.running and guest is not None and guest.state == "waiting",
        watch=state.running and state.can_watch and run.growth is None,
        launch=not state.identity.attached,
    )


def _no_check(state: SessionState) -> str:
    """Why no check sees what the target allocates, and what does; '' where one does, or none was looked for."""
    if state.checks or not state.capabilities:
        return ""
    usual = next((row for row in state.capabilities if row.name == usual_checker().usual_mode), None)
    return "" if usual is None else clean(f"{usual.reason}: {usual.remedy}")


def _not_asked(state: SessionState) -> str:
    guest = state.heap.guest
    if guest is None or guest.state in ("ready", "busy"):
        return "" if guest is None else clean(guest.why)
    if guest.state == "waiting":
        return "it has one thread, and is asked only when you want it"
    return ": ".join(part for part in (guest.what, guest.why) if part)


def verdicts(
    state: SessionState, loaded: tuple[int, LeakReport] | None, growth: GrowthSummary | None = None
) -> tuple[StatusLine, ...]:
    """What the diagnosis makes of the session now, ready for the screen."""
    if state.identity.statistics:
        from memtui_profiler.diagnosis.printed import diagnose_printed

        printed = state.printed
        return () if printed is None else tuple(_line(diagnosis, state) for diagnosis in diagnose_printed(printed))
    from memtui_profiler.diagnosis.diagnose import diagnose

    facts = facts_of(state, loaded, growth)
    if facts is None:
        return ()
    return tuple(_line(diagnosis, state) for diagnosis in diagnose(facts))


def _line(diagnosis: Diagnosis, state: SessionState) -> StatusLine:
    """The last of the evidence names the key that gives more of it."""
    key = key_for(diagnosis.action, state)
    evidence = diagnosis.evidence
    return StatusLine(
        diagnosis.glyph,
        diagnosis.word,
        diagnosis.sentence,
        _TONES.get(diagnosis.word, Tone.CALM),
        "" if key is None else key.shown,
        "" if key is None else diagnosis.action_words,
        (*evidence[:-1], *(with_key(line, diagnosis.more, state) for line in evidence[-1:])),
        diagnosis.shorter,
        diagnosis.action,
    )
