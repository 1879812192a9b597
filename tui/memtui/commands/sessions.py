"""``memtui sessions``: lists the sessions on this machine or removes some; finds a session by its name."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from memtui.commands.outcome import open_session
from memtui.options.parse import Sessions
from memtui.options.values import usage_error
from memtui.session.argv import argv_in
from memtui.terminal import streams
from memtui_parsers.clean_text import clean
from memtui_profiler.errors import UserError
from memtui_profiler.session import folders
from memtui_profiler.session.folders import SessionFolder
from memtui_profiler.session.rows import ReportEnd
from memtui_profiler.words import age_words, size_words


def run_sessions(options: Sessions) -> int:
    sessions = folders.sessions()
    if options.remove:
        # All are looked up before the first is deleted: a typing error in the third name must not delete the first two.
        for session in [find(name, sessions) for name in options.remove]:
            folders.remove(session)
        return 0
    if not sessions:
        sys.stdout.write(f"no sessions in {clean(str(folders.sessions_root()))}; `memtui PROGRAM` makes one\n")
        return 0
    streams.print_lines(table([_HEADINGS, *(_cells(session) for session in sessions)]))
    return 0


def find(name: str, sessions: list[SessionFolder]) -> SessionFolder:
    """Return the session called ``name``, or the only one whose name begins so. Raises UserError when there is none, or more."""
    matching = [s for s in sessions if s.name == name] or [s for s in sessions if s.name.startswith(name)]
    if not matching:
        raise usage_error(f"no session {name}", "none is called so", "see `memtui sessions`")
    if len(matching) > 1:
        raise usage_error(f"session {name}", f"{len(matching)} names begin so", "give more of the name")
    return matching[0]


_HEADINGS = ("SESSION", "STATE", "SIZE", "AGE", "LEAKS", "TARGET")


def _cells(session: SessionFolder) -> tuple[str, ...]:
    leaks, target, started = _contents(session.path)
    state = "live" if session.live else "finished"
    # A finished session: when it ended. A live one was written to a moment ago: when it started.
    age = age_words(time.time() - (started if session.live and started else session.modified))
    return (session.name, state, size_words(session.size_bytes), age, leaks, target)


def _contents(folder: Path) -> tuple[str, str, float]:
    """Return the size of the newest report, the target's command line, and the start in Unix time (seconds).

    ``?`` and 0 for a session that cannot be read.
    """
    try:
        with open_session(folder) as reader:
            reports = reader.rows(ReportEnd)
            meta = reader.meta()
            started = float(meta.get("started", 0))
    except (UserError, ValueError):
        return "?", "?", 0.0
    leaks = size_words(reports[-1].total_bytes) if reports else "-"
    return leaks, clean(" ".join(argv_in(meta.get("argv", ""))), 120) or "?", started


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines: each column as wide as its widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
