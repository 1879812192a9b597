"""The header: the command, its pid, its condition, how long it has run, and the number of the run."""

from __future__ import annotations

import shlex

from textual.content import Content

from memtui.display import figures
from memtui.display.glyphs import Glyphs
from memtui.session.state import SessionState
from memtui.viewer.widgets.line import Part, columns, fit
from memtui_parsers.clean_text import clean

WIDE = 100
CHIP = " memtui "


def condition(state: SessionState, glyphs: Glyphs, *, busy: str = "") -> tuple[str, str]:
    """Return the target's condition and the colour for it. ``busy``: a word for what memtui is doing to it ('stopping'), or ''."""
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
    """Return the header in ``width`` columns. ``busy`` as of condition()."""
    run = state.run
    command = clean(glyphs.plain(shlex.join(state.identity.argv)) if state.identity.argv else "no target yet", 1000)
    wide = width >= WIDE
    gap = "   " if wide else "  "
    facts: list[Part] = []
    if state.identity.statistics:
        facts += [("an allocator's figures, from a file", "$muted")]
    elif run is not None:
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
        # A target is told from others by its name and arguments, not by the folder it is in.
        name = _name(state.identity.argv[0])
        command = clean(glyphs.plain(shlex.join((name, *state.identity.argv[1:]))), 1000)
    command = fit(command, max(0, room), glyphs.ellipsis)
    fill = len(gap) if wide else max(len(gap), room - columns(command) + len(gap))
    line = Content.assemble((CHIP, "bold $chip-text on $primary"), "  ", (command, "bold $strong"), " " * fill, tail)
    return line[:width]


def _name(word: str) -> str:
    """The program's name in its first word: a path, or a title that it wrote over it ('redis-server unixsocket:/run/redis')."""
    path, _, _ = word.partition(" ")
    return (word if "/" in path else path).rpartition("/")[2] or word
