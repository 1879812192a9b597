"""The buttons of the column of controls: the keys that act on the target now, and which of them would be refused."""

from __future__ import annotations

from typing import NamedTuple

from memtui.control.no_rate import never_has_rate
from memtui.display.keymap import KEYS_BY_ID
from memtui.session.state import SessionState
from memtui_profiler.actions import Action
from memtui_profiler.request import CHECK_OFF

# In pairs, row by row.
ORDER = ("relaunch", "set-live", "release", "snapshot", "check-now", "stop")


class Button(NamedTuple):
    """``able`` False: it exists, but cannot work on this process now; when it is pressed, it says why."""

    id: str
    key: str
    words: str
    able: bool = True


def buttons(state: SessionState) -> tuple[Button, ...]:
    """Return the buttons that exist now, in their order."""
    attached = state.identity.attached
    exist = (KEYS_BY_ID[name] for name in ORDER)
    return tuple(
        Button(key.id, key.shown, _words(key.id, key.words, state), _able(key.id, state))
        for key in exist
        if key.exists(live=state.live, running=state.running, attached=attached)
    )


def unable(state: SessionState) -> frozenset[str]:
    """The ids of the keys that would only be refused now, or show nothing.

    A rate is chosen for a launch, too, but not where memtui made none.
    """
    ids = {button.id for button in buttons(state) if not button.able}
    if state.identity.attached and "set-live" in ids:
        ids |= {"rate-up", "rate-down"}
    if not (state.running or state.regions):
        ids.add("regions")
    if not state.diagnoses:
        ids.add("why")
    return frozenset(ids)


def _words(name: str, words: str, state: SessionState) -> str:
    if name == "relaunch" and not state.running:
        return "launch again"
    return "stop…" if name == "stop" else words


def _able(name: str, state: SessionState) -> bool:
    guest, newest, run = state.heap.guest, state.heap.newest, state.run
    asked = guest is None or guest.state not in ("refused", "off")
    if name == "set-live":
        return newest.release_rate is not None if newest is not None else run is None or not never_has_rate(run)
    if name == "check-now":
        return asked and run is not None and run.row.mode != CHECK_OFF
    if name == "snapshot":
        return state.heap.can(Action.SNAPSHOT) or state.can_watch
    return name != "release" or state.heap.can(Action.RELEASE)
