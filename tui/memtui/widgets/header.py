"""The header: what is watched, its pid, how it is, for how long, and which run this is."""

from __future__ import annotations

import shlex

from textual.content import Content

from memtui import figures
from memtui.charset import Glyphs
from memtui.state import SessionState
from memtui.widgets.line import Part, columns, fit
from memtui_parsers.clean_text import clean

WIDE = 100
CHIP = " memtui "


def condition(state: SessionState, glyphs: Glyphs, *, busy: str = "") -> tuple[str, str]:
    """How the target is, as (text, colour variable). ``busy``: a word for what is under way ('stopping')."""
    run = state.run
    if run is None:
        return f"{glyphs.waiting} starting", "muted"
    if not run.ended:
        if not (state.live and run.watched):
            return f"{glyphs.ended} not watched", "muted"
        return (f"{glyphs.waiting} {busy}", "warn") if busy else (f"{glyphs.running} running", "good")
    end = run.end
    bad = end is not None and (end.signal is not None or bool(end.exit_code))
    return f"{glyphs.ended if not bad else glyphs.stopped} {run.ending()}", "bad" if bad else "muted"


def header(state: SessionState, glyphs: Glyphs, width: int, *, busy: str = "") -> Content:
    run = state.run
    command = clean(glyphs.plain(shlex.join(state.identity.argv)) if state.identity.argv else "no target yet", 1000)
    wide = width >= WIDE
    gap = "   " if wide else "  "
    facts: list[Part] = []
    if run is not None:
        text, colour = condition(state, glyphs, busy=busy)
        facts += [(f"pid {run.pid}", "$muted"), gap, (text, f"${colour}"), " "]
        which = "attached" if state.identity.attached else f"run {run.number}"
        facts += [(figures.clock(run.seconds(state.now_s)), "$muted"), gap, (which, "$muted")]
        if wide:
            facts += [gap, (clean(glyphs.plain(state.allocator), 40), "$muted")]
    tail = Content.assemble(*facts)
    room = width - len(CHIP) - 2 - tail.cell_length - len(gap) - 1
    if room < 8 and width > 50:
        tail = tail[: max(0, width - len(CHIP) - 12)]
        room = 8
    if columns(command) > room and state.identity.argv:
        # What tells one target from another is its name and its arguments, not where it is installed.
        name = state.identity.argv[0].rpartition("/")[2]
        command = clean(glyphs.plain(shlex.join((name, *state.identity.argv[1:]))), 1000)
    command = fit(command, max(0, room), glyphs.ellipsis)
    fill = len(gap) if wide else max(len(gap), room - columns(command) + len(gap))
    line = Content.assemble((CHIP, "bold $chip-text on $primary"), "  ", (command, "bold $strong"), " " * fill, tail)
    return line[:width]
