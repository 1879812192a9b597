"""What a report is called: by its time and how it came to be, or by the file it was opened from. Pure text."""

from __future__ import annotations

import time
from collections.abc import Sequence

from memtui.session.state import Identity, ReportView
from memtui_parsers.clean_text import clean
from memtui_profiler.checkers import checker_named
from memtui_profiler.words import size_words

_ORIGINS = {"exit": "at exit", "live": "live", "file": "from a file"}
_LABEL = 40


def report_time(view: ReportView, identity: Identity) -> str:
    """The clock where it was recorded, ``10:05:12``; with its day where that is not the session's first."""
    begin_s = identity.wall_origin_s + identity.utc_offset_s
    at, first = (time.gmtime(max(0.0, begin_s + since_s)) for since_s in (view.at_s, 0.0))
    return time.strftime("%H:%M:%S" if at[:3] == first[:3] else "%m-%d %H:%M:%S", at)


def minute(view: ReportView, identity: Identity) -> str:
    """report_title() for a narrow place, ``10:05``."""
    title = report_title(view, identity)
    return title if view.label else title[:-3]


def report_title(view: ReportView, identity: Identity) -> str:
    """The shortest that tells it from others of its session: its time, or its file's name."""
    return clean(view.label, _LABEL) if view.label else report_time(view, identity)


def origin_words(view: ReportView) -> str:
    """``at exit``, and of which process where that is a child: ``at exit · child 4391``."""
    words = _ORIGINS.get(view.origin, clean(view.origin, _LABEL))
    return words if view.child_pid is None else f"{words} · child {view.child_pid}"


def is_snapshot(view: ReportView) -> bool:
    """Whether the report is a snapshot, of what was in use at one moment or has grown by then, and not what leaked."""
    return bool(snapshot_words(view))


def snapshot_words(view: ReportView) -> str:
    """What such a snapshot is called: ``heap snapshot``, ``growth``; '' for a leak check's report."""
    checker = checker_named(view.checker)
    return "" if checker is None else checker.snapshot_words


def check_words(view: ReportView) -> str:
    """What made it: a mode of the leak check, or the heap profiler."""
    return snapshot_words(view) or clean(view.mode or view.checker, _LABEL)


def moment_words(view: ReportView, identity: Identity) -> str:
    """When and how it was made, for the line under the leaks: ``at exit``, ``live at 10:05:12``, or the file it came from."""
    words = report_title(view, identity) if view.label else origin_words(view)
    if view.origin == "live":
        words += f" {at_words(view, identity)}"
    snapshot = snapshot_words(view)
    return f"{words} · {snapshot}" if snapshot and not view.label else words


def report_before(reports: Sequence[ReportView], view: ReportView) -> ReportView | None:
    """The one before that is of the same process, checker and mode; None where there is none."""
    if view.run is None and not view.label:
        return None
    same = (r for r in reversed(reports) if (r.run, r.child_pid) == (view.run, view.child_pid))
    earlier = (r for r in same if r.id < view.id and r.complete)
    mode = None if is_snapshot(view) else view.mode
    return next((r for r in earlier if r.checker == view.checker and mode in (None, r.mode)), None)


def snapshot_before(reports: Sequence[ReportView], view: ReportView) -> ReportView | None:
    """The heap snapshot of the same run that came before this one; None where there is none, or this is no snapshot."""
    return report_before(reports, view) if is_snapshot(view) else None


def report_name(view: ReportView, identity: Identity) -> str:
    """``10:05:12 live · normal · 42.7 MiB``"""
    origin = "" if view.label else f" {origin_words(view)}"
    return f"{report_title(view, identity)}{origin} · {check_words(view)} · {size_words(view.total_bytes)}"


def since_words(older: ReportView, newer: ReportView, identity: Identity) -> str:
    """What a difference is since: ``since 10:00:05 (run 2, live)``, ``against dump.0001.heap``."""
    if older.label:
        return f"against {report_title(older, identity)}"
    of = [f"run {older.run}"] if older.run is not None else []
    since = "since" if older.at_s <= newer.at_s else "against"
    return f"{since} {report_title(older, identity)} ({', '.join([*of, origin_words(older)])})"


def at_words(view: ReportView, identity: Identity) -> str:
    """When or where something was: ``at 10:00:05``, ``in dump.0001.heap``."""
    return f"{'in' if view.label else 'at'} {report_title(view, identity)}"
