"""``memtui sessions``: the sessions on this machine, and their removal; and how a name given by a user finds one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from memtui import figures
from memtui.commands.run_result import open_session
from memtui.option_values import usage_error
from memtui.options import Sessions
from memtui_parsers.clean_text import clean
from memtui_profiler.errors import UserError
from memtui_profiler.session import folders
from memtui_profiler.session.folders import SessionFolder
from memtui_profiler.session.rows import ReportEnd


def run_sessions(options: Sessions) -> int:
    found = folders.sessions()
    if options.remove:
        # All are looked up before the first goes: a slip in the third name must not cost the first two.
        for session in [find(name, found) for name in options.remove]:
            folders.remove(session)
        return 0
    if not found:
        sys.stdout.write(f"no sessions in {clean(str(folders.sessions_root()))}; `memtui PROGRAM` makes one\n")
        return 0
    for line in table([_HEADINGS, *(_cells(session) for session in found)]):
        sys.stdout.write(f"{line}\n")
    return 0


def find(name: str, found: list[SessionFolder]) -> SessionFolder:
    """The session called ``name``, or whose name alone begins so. Raises UserError when there is none, or more."""
    matching = [s for s in found if s.name == name] or [s for s in found if s.name.startswith(name)]
    if not matching:
        raise usage_error(f"no session {name}", "none is called so", "see `memtui sessions`")
    if len(matching) > 1:
        raise usage_error(f"session {name}", f"{len(matching)} names begin so", "give more of the name")
    return matching[0]


_HEADINGS = ("SESSION", "STATE", "SIZE", "AGE", "LEAKS", "TARGET")


def _cells(session: SessionFolder) -> tuple[str, ...]:
    leaks, target, started = _contents(session.path)
    state = "live" if session.live else "finished"
    # Of what is over one wants to know when; what is live was written to a moment ago, and its start says more.
    age = age_words(time.time() - (started if session.live and started else session.modified))
    return (session.name, state, figures.prose(session.size_bytes), age, leaks, target)


def age_words(seconds: float) -> str:
    """How long ago in its largest unit: ``40 s``, ``5 min``, ``3 h``, ``12 d``."""
    for unit, unit_s, next_s in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86400)):
        if seconds < next_s:
            return f"{max(0, int(seconds // unit_s))} {unit}"
    return f"{int(seconds // 86400)} d"


def _contents(folder: Path) -> tuple[str, str, float]:
    """What leaked by the newest report, the target's command line, and when it began in Unix time.

    ``?`` and 0 for a session that cannot be read.
    """
    try:
        with open_session(folder) as reader:
            reports = reader.rows(ReportEnd)
            meta = reader.meta()
            argv = json.loads(meta.get("argv", "[]"))
            started = float(meta.get("started", 0))
    except (UserError, ValueError):
        return "?", "?", 0.0
    leaks = figures.prose(reports[-1].total_bytes) if reports else "-"
    return leaks, clean(" ".join(map(str, argv)), 120), started


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
