"""One line of verdict, refusal or progress above the panes: a glyph, a word, a sentence and the key that acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from memtui_profiler.errors import UserError


class Tone(str, Enum):
    """How much a line asks for attention; the value is the theme's colour variable."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class StatusLine:
    """``key`` acts on what the sentence says, '' for none. ``evidence`` is what `w` shows behind it.

    ``shorter`` says the same in fewer words, the longest first, for where the sentence does not fit.
    """

    glyph: str
    word: str
    sentence: str
    tone: Tone = Tone.CALM
    key: str = ""
    key_words: str = ""
    evidence: tuple[str, ...] = ()
    shorter: tuple[str, ...] = ()


def refusal(error: UserError) -> StatusLine:
    """An error that the recorder or the viewer gave: it stays until the next command or esc."""
    return StatusLine("✗", "REFUSED", f"{error.what}: {error.why}: {error.todo}", Tone.BAD, "esc", "close")


def attached(what: str) -> StatusLine:
    return StatusLine(
        "○", "ATTACHED", f"memtui has not started this process: it does not {what}", Tone.CALM, "esc", "close"
    )


def ended(*, again: bool) -> StatusLine:
    """``again``: memtui can launch it once more."""
    if not again:
        return StatusLine("○", "ENDED", "the process is gone, or memtui has let go of it", Tone.CALM, "esc", "close")
    return StatusLine("○", "ENDED", "the target is not running; r launches it again", Tone.CALM, "r", "launch")


def no_recorder(what: str) -> StatusLine:
    return StatusLine(
        "○",
        "FINISHED",
        f"this session is only read here: there is no recorder that could {what}",
        Tone.CALM,
        "esc",
        "close",
    )
