"""How a user does what a verdict, a refusal or an event calls for: by a key on the screen, by a command where there is none."""

from __future__ import annotations

import shlex

from memtui.display.keymap import ACTION_KEYS, Key
from memtui.session.state import SessionState, event_detail
from memtui_parsers.clean_text import clean
from memtui_profiler.actions import Action, action_of
from memtui_profiler.checkers import instead_of, usual_checker
from memtui_profiler.request import CHECK_OFF, format_rate
from memtui_profiler.session.rows import Event

MAX_COMMAND_COLUMNS = 600


def key_for(action: Action | None, state: SessionState) -> Key | None:
    """The key that does it; None where it would mean nothing now, as without a process or a recorder."""
    if action is None:
        return None
    key = ACTION_KEYS[action]
    return key if key.exists(live=state.live, running=state.running, attached=state.identity.attached) else None


def with_key(text: str, action: Action | None, state: SessionState) -> str:
    """``text``, then the key that does what it calls for in brackets, if there is one."""
    key = key_for(action, state)
    if key is None:
        return text
    where = f" on tab {ACTION_KEYS[Action.SHOW_HEAP].shown}" if action is Action.ASK else ""
    return f"{text} ({key.shown}{where})"


def event_words(event: Event, state: SessionState) -> str:
    """The text of an event, with the key for what it calls for."""
    if '"action"' not in event.detail:
        return event.text
    return with_key(event.text, action_of(event_detail(event).get("action")), state)


def without_key(action: Action | None, state: SessionState) -> str:
    """How it is done from a shell, as a phrase with the command or the option; '' for what no command does."""
    run = state.run
    if run is None or state.identity.attached:
        return ""
    if action is Action.LAUNCH:
        options = [] if run.row.mode == CHECK_OFF else ["--check", run.row.mode]
        if run.row.release_rate is not None:
            options += ["--release-rate", format_rate(run.row.release_rate)]
        command = shlex.join(["memtui", *options, "--", *state.identity.argv])
        # One that is not safe to print whole is not the same command any more.
        return f"start it again: {command}" if clean(command, MAX_COMMAND_COLUMNS) == command else ""
    if action in (Action.CHOOSE_CHECK, Action.SNAPSHOT):
        able = state.checks
        usual = usual_checker().usual_mode
        mode = usual if usual in able or not state.capabilities else instead_of(usual, able)
        return f"start it with --check {mode}" if mode else ""
    return ""
