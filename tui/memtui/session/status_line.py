"""One line above the panes, a verdict, a refusal or a progress: a glyph, a word, a sentence and the key that acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from memtui.display.keymap import ACTION_KEYS, Key
from memtui_profiler.actions import Action
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

    ``action`` is what a verdict calls for, also where no key does it now.

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
    action: Action | None = None


def refusal(error: UserError, todo: str = "") -> StatusLine:
    """An error that the recorder or the viewer gave: it stays until the next command or esc.

    ``todo`` says the same as the error's own, with the key that does it.
    """
    sentence = f"{error.what}: {error.why}: {todo or error.todo}"
    return StatusLine("✗", "REFUSED", sentence, Tone.BAD, "esc", "close")


def price(error: UserError, key: Key) -> StatusLine:
    """A refusal for what it would cost the process: ``key``, that was pressed, goes on whatever it costs."""
    cost = error.why.rpartition(": ")[2]
    evidence = (f"{error.why}.", f"{key.shown} again goes on, esc leaves it.")
    return StatusLine("◇", "PRICE", error.why, Tone.WARN, key.shown, "go on", evidence, (cost,))


def attached(what: str) -> StatusLine:
    return _answer("ATTACHED", f"memtui has not started this process: it does not {what}")


def ended(*, again: bool) -> StatusLine:
    """``again``: memtui can launch it once more."""
    if not again:
        return _answer("ENDED", "the process is gone, or memtui has let go of it")
    key = ACTION_KEYS[Action.LAUNCH].shown
    return _answer("ENDED", f"the target is not running; {key} launches it again", key, "launch")


def no_recorder(what: str) -> StatusLine:
    return _answer("FINISHED", f"this session is only read here: there is no recorder that could {what}")


def _answer(word: str, sentence: str, key: str = "esc", key_words: str = "close") -> StatusLine:
    return StatusLine("○", word, sentence, Tone.CALM, key, key_words)
