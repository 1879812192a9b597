"""The buttons of the controls' column: the keys that act on the target now, and which of them would only be refused."""

from __future__ import annotations

from typing import NamedTuple

from memtui.keymap import KEYS
from memtui.state import SessionState
from memtui_profiler.request import CHECK_OFF

# In pairs, row by row.
ORDER = ("relaunch", "set-live", "release", "snapshot", "check-now", "stop")
_KEYS = {key.id: key for key in KEYS}
_MORE = {"stop": "stop…"}


class Button(NamedTuple):
    """``able`` False: it exists, but cannot work on this process as things are; pressed all the same it says why."""

    id: str
    key: str
    words: str
    able: bool = True


def buttons(state: SessionState) -> tuple[Button, ...]:
    """Those that exist, in their order."""
    attached = state.identity.attached
    exist = (_KEYS[name] for name in ORDER)
    return tuple(
        Button(key.id, key.shown, _words(key.id, key.words, state), _able(key.id, state))
        for key in exist
        if key.exists(live=state.live, running=state.running, attached=attached)
    )


def _words(name: str, words: str, state: SessionState) -> str:
    if name == "relaunch" and not state.running:
        return "launch again"
    return _MORE.get(name, words)


def _able(name: str, state: SessionState) -> bool:
    guest, newest, run = state.heap.guest, state.heap.newest, state.run
    asked = guest is None or guest.state not in ("refused", "off")
    if name == "set-live":
        return newest is None or newest.release_rate is not None
    if name == "check-now":
        return asked and run is not None and run.row.mode != CHECK_OFF
    return asked if name in ("release", "snapshot") else True
