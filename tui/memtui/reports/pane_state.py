"""The state of the leak pane: the report that it shows, or why there is none and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.checkers import can_check_live, checker_of, mode_named, usual_checker
from memtui_profiler.checkers.base import OFF
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.words import in_what_was_seen


class EmptyKind(str, Enum):
    """Why there are no leaks to list."""

    CHECK_OFF = "check-off"
    WAITING = "waiting"
    READING = "reading"
    NONE_FOUND = "none-found"
    CANNOT = "cannot"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Empty:
    """Why the list is empty: a headline, and sentences that say what to do."""

    kind: EmptyKind
    headline: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeakPaneState:
    """A report, the one ``against`` which it is compared, and the text that the screen shows with them.

    ``report_id`` tells a reload of the same report (more symbols) from another one. ``run`` is numbered as on the screen.
    ``moment``: when the check ran ('at exit'). ``since`` names the other report, ``was_at`` its time. ``aside`` is text for
    the tab bar. ``empty`` is shown when there is no report, or one without leaks.
    """

    report: LeakReport | None = None
    report_id: int = 0
    run: int | None = None
    moment: str = "at exit"
    empty: Empty | None = None
    against: LeakReport | None = None
    since: str = ""
    was_at: str = ""
    aside: str = ""


UNCHECKED = Empty(
    EmptyKind.CHECK_OFF,
    "The leak check is off.",
    ("m chooses a check, r relaunches the target with it.", "The report comes when the target exits."),
)
NOT_A_REPORT = Empty(
    EmptyKind.CHECK_OFF,
    "No leak report: the file has an allocator's statistics.",
    ("They stand on the Heap tab: 2.", "They say how much is in use and how much is free, not who holds it."),
)
READING = Empty(EmptyKind.READING, "Reading the report …")

_AT_EXIT = "The report comes when the target exits: by itself, or on SIGTERM if it handles that."
_AT_EXIT_OR_KILLED = "The report comes when the target exits; a signal that ends it does not cost the report."


def waiting(mode: str) -> Empty:
    """Return the state of a target that runs with a check."""
    checker, known = checker_of(mode), mode_named(mode) or OFF
    headline, meanwhile = known.at_work or f"Checking: {mode}.", known.meanwhile
    if checker is not None and checker.takes_snapshots:
        lines = (f"{meanwhile}; s takes one now.", "d shows what has grown between two of them.")
        return Empty(EmptyKind.WAITING, headline, lines)
    asks = "c asks for one now, t asks it to stop" if can_check_live(mode) else "t asks it to stop"
    at_exit = _AT_EXIT_OR_KILLED if checker is not None and checker.reports_when_killed else _AT_EXIT
    todo = f"{asks}. {meanwhile}" if meanwhile else f"{asks}; m chooses another check."
    return Empty(EmptyKind.WAITING, headline, (at_exit, todo))


def watching(report_in_s: float) -> Empty:
    """Return the state of a process whose page faults are watched, and of which no report has come yet."""
    when = f"The first report comes in {report_in_s:.0f} s" if report_in_s >= 1 else "The first report is being made"
    return Empty(EmptyKind.WAITING, "Watching page faults: what grows, by stack.", (f"{when}; s has one made now.",))


def snapshot_words(*, profiler: bool, watchable: bool) -> str:
    """Return what a snapshot would say; '' where none can be taken.

    ``profiler``: there is a heap profiler in the process, which can begin at any time. ``watchable``: its page faults can be
    watched.
    """
    if profiler:
        return "s lists what it allocates from now on and keeps, by stack."
    return "s says what makes it grow from now on, by stack: nothing is put into it." if watchable else ""


def attached(mode: str, snapshot: str) -> Empty:
    """Return the state of a process that memtui did not start and has not asked yet; it was started with ``mode``.

    ``snapshot``: as snapshot_words() has it.
    """
    if mode == CHECK_OFF:
        return Empty(
            EmptyKind.CHECK_OFF,
            "No leak check is on in this process, and none can be added while it runs.",
            (snapshot or "2 shows how much of its memory is in use, and what the rest is.",),
        )
    return Empty(
        EmptyKind.WAITING,
        f"Checking: {mode}.",
        (
            "c checks for leaks now, while it runs.",
            "What it reports when it exits goes where it was told to when it was started.",
        ),
    )


def none_found(report: LeakReport, *, relaunches: bool = True) -> Empty:
    """Return the state of a check that has found nothing. ``relaunches``: memtui can launch the target again."""
    mode, caveat = report.mode or report.checker, caveat_of(report)
    checker = checker_of(mode) or usual_checker()
    checked = next((known for known in checker.modes if known.name == mode), checker.modes[0])
    unseen = next((_sentence(note) for note in report.notes if "of anonymous memory" in note), "")
    lines = [line for line in (unseen, caveat or checker.caveat, *(checked.nothing or checker.nothing)) if line]
    wider = next(
        (known.name for known in checker.modes if known.counts_everything and not checked.counts_everything), None
    )
    if wider is not None and relaunches:
        lines.append(f"m then {wider} lists everything that is not freed at exit.")
    found = f"Checked ({mode}): no leaks found{in_what_was_seen(report.seen_bytes)}."
    headline = f"{_sentence(checker.found_nothing)}" if checker.takes_snapshots else found
    return Empty(EmptyKind.NONE_FOUND, headline, tuple(lines))


def cannot_work(why: str, instead: str) -> Empty:
    """Return the state of a target that cannot be checked; ``why`` and ``instead`` are sentences."""
    return Empty(EmptyKind.CANNOT, "No leak check is possible here.", (why, instead))


def killed(signal: str, by_memtui: bool = False) -> Empty:
    """Return the state of a target that a signal killed before the check at its end could run."""
    todo = "Let it exit by itself, or handle the signal and call exit(); then r to relaunch."
    if by_memtui:
        todo = "r relaunches it; t asks with SIGTERM first: handle that and call exit()."
    return Empty(
        EmptyKind.KILLED,
        f"Killed by {signal} before the check could run.",
        ("The check runs from exit(): a process that a signal kills leaves no report.", todo),
    )


def empty_of(state: LeakPaneState) -> Empty | None:
    """Return what is shown in place of the list; None when there are leaks or errors to list."""
    report = state.report
    if report is None:
        return state.empty or UNCHECKED
    if report.leaks or report.errors or (state.against is not None and state.against.leaks):
        return None
    if state.empty is not None:
        return _with_suppressed(state.empty, report)
    if report.status is ReportStatus.NOT_RUN:
        why = " ".join(report.notes) or "The check did not run."
        return cannot_work(why, "m shows which checks can work on this target.")
    if report.status is ReportStatus.TRUNCATED:
        return Empty(EmptyKind.CANNOT, "The report is cut before its first leak.", report.notes)
    return _with_suppressed(none_found(report), report)


def _with_suppressed(empty: Empty, report: LeakReport) -> Empty:
    """Return ``empty`` with how many records were suppressed in its first lines."""
    suppressed = tuple(_sentence(note) for note in report.notes if note.startswith("suppressed"))
    return replace(empty, lines=(*suppressed, *empty.lines))


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."


def caveat_of(report: LeakReport) -> str:
    """Return what the checker itself says about having found nothing, or ''."""
    return next((note for note in report.notes if "no leaks found" in note.lower()), "")
