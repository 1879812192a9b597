"""Commands to the running process: what waits, what is told when it is done, and a price that is asked about first."""

from __future__ import annotations

from pathlib import Path

from memtui.control.commander import Commander
from memtui.control.live_commands import LiveCommands
from memtui.display.keymap import KEYS_BY_ID
from memtui.session.follower import SessionFollower
from memtui.session.state import SessionState
from memtui.session.status_line import price
from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError
from memtui_profiler.recorder.control import Reply
from tests.fixtures.screens import Notebook
from tests.fixtures.sessions import END_S, STARTED, storyboard

TOO_DEAR = UserError("growth is not watched", "it would take 5 % from it", "ask for it anyway", action=Action.SNAPSHOT)
REFUSED = UserError("growth is not watched", "it is another user's", "run memtui as that user")


def a_state(folder: Path) -> SessionState:
    follower = SessionFollower(storyboard(folder))
    state = follower.poll(STARTED + END_S, live=True)
    follower.close()
    return state


def refused_then_again(folder: Path, error: UserError, *, later_s: float = 5.0) -> list[dict[str, object]]:
    """What the snapshots after a refusal, and after that one's success, are sent with."""
    state, notebook = a_state(folder), Notebook()
    commander = Commander(notebook)
    live = LiveCommands(commander)
    for number, reply in enumerate((Reply(2, False, error=error), Reply(3, True), Reply(4, True))):
        assert live.send("snapshot", state, number * later_s)
        notebook.replies.append(reply)
        for outcome in commander.poll():
            live.answered(outcome.verb, number * later_s, outcome.error)
    return [args for verb, args in notebook.sent if verb == "snapshot"]


def test_the_same_again_goes_on_whatever_it_costs(tmp_path: Path) -> None:
    assert refused_then_again(tmp_path, TOO_DEAR) == [{}, {"anyway": True}, {}], "asked once each time"


def test_any_other_refusal_is_not_paid_for(tmp_path: Path) -> None:
    assert refused_then_again(tmp_path, REFUSED) == [{}, {}, {}]


def test_a_price_of_long_ago_is_told_anew(tmp_path: Path) -> None:
    assert refused_then_again(tmp_path, TOO_DEAR, later_s=600.0) == [{}, {}, {}]


def test_a_price_is_told_with_the_key_that_goes_on() -> None:
    dear = UserError(
        "growth is not watched", "it faults 9 pages a second: watching would take 5 % from it", "ask again"
    )
    line = price(dear, KEYS_BY_ID["snapshot"])
    assert (line.word, line.key, line.key_words, line.shorter) == (
        "PRICE",
        "s",
        "go on",
        ("watching would take 5 % from it",),
    )
