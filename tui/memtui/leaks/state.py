"""What the application tells the leak pane: a report, or why there is none and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.request import CHECK_OFF, LSAN, MEMCHECK, PROFILE


class EmptyKind(str, Enum):
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
    """``report_id`` tells a reload of the same report (more symbols) from another one. ``run`` as the screen numbers it.

    ``empty`` is shown when there is no report, or one without leaks. ``moment``: when the check ran ('at exit').
    ``against``: the report it is compared with; ``since`` says what that is, ``was_at`` when it was. ``aside``: what the tab
    bar says before how the list is sorted.
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


def check_off() -> Empty:
    return Empty(
        EmptyKind.CHECK_OFF,
        "The leak check is off.",
        ("m chooses a check, r relaunches the target with it.", "The report comes when the target exits."),
    )


_AT_EXIT = "The report comes when the target exits: by itself, or on SIGTERM if it handles that."
_WAITING: dict[str, tuple[str, tuple[str, ...]]] = {
    MEMCHECK: (
        "Checking: memcheck, under valgrind.",
        (
            "The report comes when the target exits; a signal that ends it does not cost the report.",
            "c asks for one now, t asks it to stop. It runs 20 to 50 times slower meanwhile.",
        ),
    ),
    PROFILE: (
        "Profiling what is in use, by stack.",
        (
            "A snapshot comes every minute, at each 100 MiB more in use, and at exit; s takes one now.",
            "d shows what has grown between two of them.",
        ),
    ),
}


def waiting(mode: str) -> Empty:
    """A mode is set and the target runs."""
    # In mode local the checker holds nothing that it could be asked for.
    asks = "t asks it to stop" if mode == "local" else "c asks for one now, t asks it to stop"
    headline, lines = _WAITING.get(mode, (f"Checking: {mode}.", (_AT_EXIT, f"{asks}; m chooses another check.")))
    return Empty(EmptyKind.WAITING, headline, lines)


def attached(mode: str) -> Empty:
    """memtui did not start the process, which has not been asked for a report yet; ``mode`` as it was started."""
    if mode == CHECK_OFF:
        return Empty(
            EmptyKind.CHECK_OFF,
            "No leak check is on in this process.",
            (
                "c asks a process that was started with HEAPCHECK, while it runs.",
                "s lists what any with tcmalloc allocates from now on and keeps, by stack.",
            ),
        )
    return Empty(
        EmptyKind.WAITING,
        f"Checking: {mode}.",
        (
            "c checks for leaks now, while it runs.",
            "What it reports when it exits goes where it was told to when it was started.",
        ),
    )


def reading() -> Empty:
    """The target has ended, its report is being read."""
    return Empty(EmptyKind.READING, "Reading the report …")


# Of those that found nothing: what that means, and what it does not.
_NOTHING: dict[str, tuple[str, ...]] = {
    "draconian": ("Everything that was allocated has been freed.",),
    MEMCHECK: ("Every block that valgrind saw has been freed.",),
    LSAN: (
        "A pointer to a block anywhere, on a stack or in a register, stale or not, hides a leak.",
        "Memory that is still reachable but never used again does not count as a leak.",
    ),
    PROFILE: ("Nothing that was allocated since the profiler began is in use.",),
}
_STALE = "The checker gives no full guarantee: a stale pointer on a stack or in a register hides a leak."
_REACHABLE = "Memory that is still reachable but never used again does not count as a leak."
_DRACONIAN = "m then draconian lists everything that is not freed at exit."


def none_found(mode: str, caveat: str = "", *, relaunches: bool = True) -> Empty:
    """Checked, nothing found; ``caveat`` is what the checker itself says about that. ``relaunches``: memtui could."""
    if mode == "draconian":
        lines = (caveat or _STALE, *_NOTHING[mode])
    elif mode in _NOTHING:
        lines = (*((caveat,) if caveat else ()), *_NOTHING[mode])
    else:
        lines = (caveat or _STALE, _REACHABLE, *((_DRACONIAN,) if relaunches else ()))
    headline = "Nothing is in use." if mode == PROFILE else f"Checked ({mode}): no leaks found."
    return Empty(EmptyKind.NONE_FOUND, headline, lines)


def cannot_work(why: str, instead: str) -> Empty:
    """The checker cannot work on this target; ``why`` and ``instead`` are sentences."""
    return Empty(EmptyKind.CANNOT, "No leak check is possible here.", (why, instead))


def killed(signal: str, by_memtui: bool = False) -> Empty:
    """The target was killed before the check at its end could run."""
    todo = (
        "Let it exit by itself, or handle the signal and call exit(); then r to relaunch."
        if not by_memtui
        else "r relaunches it; t asks with SIGTERM first: handle that and call exit()."
    )
    return Empty(
        EmptyKind.KILLED,
        f"Killed by {signal} before the check could run.",
        ("The check runs from exit(): a process that a signal kills leaves no report.", todo),
    )


def empty_of(state: LeakPaneState) -> Empty | None:
    """What to show in place of the list; None when there are leaks to list."""
    report = state.report
    if report is None:
        return state.empty or check_off()
    if report.leaks or report.errors or (state.against is not None and state.against.leaks):
        return None
    if state.empty is not None:
        return _with_suppressed(state.empty, report)
    if report.status is ReportStatus.NOT_RUN:
        why = " ".join(report.notes) or "The check did not run."
        return cannot_work(why, "m shows which checks can work on this target.")
    return _with_suppressed(none_found(report.mode or report.checker, caveat_of(report)), report)


def _with_suppressed(empty: Empty, report: LeakReport) -> Empty:
    """What was found and left out is said first."""
    said = tuple(f"{note[:1].upper()}{note[1:]}." for note in report.notes if note.startswith("suppressed"))
    return replace(empty, lines=(*said, *empty.lines)) if said else empty


def caveat_of(report: LeakReport) -> str:
    """What the checker says of having found nothing; '' when it says nothing of that."""
    return next((note for note in report.notes if "no leaks found" in note.lower()), "")


def notes_of(report: LeakReport) -> tuple[str, ...]:
    """The report's notes; a cut report says so first."""
    cut = "The report was cut short: what is listed is real, but there may be more."
    return (cut, *report.notes) if report.status is ReportStatus.TRUNCATED else report.notes
