"""How a user does what the recorder calls for: each action has a key, and none is named where it would mean nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from memtui.display.keymap import ACTION_KEYS, KEYS
from memtui.session.follower import SessionFollower
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import Identity, SessionState
from memtui.session.status_line import refusal
from memtui.session.verdict import facts_of
from memtui.session.ways import event_words, key_for, with_key, without_key
from memtui.viewer.views import leak_state
from memtui_profiler.actions import Action, action_of
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import Event, GuestRow, RunEnd, RunSettled
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures import sessions
from tests.fixtures.memory_shapes import load
from tests.fixtures.sessions import END_S, STARTED


def look(folder: Path, at_s: float = END_S, *, live: bool = True) -> SessionState:
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + at_s, live=live)
    follower.close()
    return state


@pytest.mark.parametrize(
    ("action", "shown", "does"),
    [
        (Action.LAUNCH, "r", "relaunch"),
        (Action.STOP, "t", "stop the target"),
        (Action.CHOOSE_CHECK, "m", "choose the heap check"),
        (Action.CHECK, "c", "check for leaks"),
        (Action.SNAPSHOT, "s", "heap snapshot"),
        (Action.RELEASE, "x", "release free memory"),
        (Action.SET_RATE, "l", "set the rate"),
        (Action.ASK, "enter", "ask a process of one thread"),
        (Action.SHOW_LEAKS, "1", "what leaked"),
        (Action.SHOW_HEAP, "2", "where the allocator has the memory"),
        (Action.SHOW_OUTPUT, "3", "what the target prints"),
        (Action.SHOW_REPORTS, "d", "the reports in time"),
    ],
)
def test_each_action_has_a_key_that_does_it(action: Action, shown: str, does: str) -> None:
    key = ACTION_KEYS[action]
    assert key in KEYS and key.shown == shown and does in key.help


def test_no_action_is_without_a_key() -> None:
    assert set(ACTION_KEYS) == set(Action)


def test_a_key_is_named_only_where_it_means_something(tmp_path: Path) -> None:
    state = look(sessions.storyboard(tmp_path))
    assert with_key("launch it again", Action.LAUNCH, state) == "launch it again (r)"
    assert with_key("ask it", Action.ASK, state) == "ask it (enter on tab 2)"
    assert with_key("nothing to do", None, state) == "nothing to do"
    attached = replace(state, identity=replace(state.identity, attached=True))
    assert with_key("launch it again", Action.LAUNCH, attached) == "launch it again"
    assert key_for(Action.CHECK, attached) is ACTION_KEYS[Action.CHECK]
    read_only = replace(state, live=False)
    assert {action for action in Action if key_for(action, read_only)} == {
        Action.SHOW_LEAKS,
        Action.SHOW_HEAP,
        Action.SHOW_OUTPUT,
        Action.SHOW_REPORTS,
    }


def test_a_refusal_names_the_key_that_helps(tmp_path: Path) -> None:
    state = look(sessions.storyboard(tmp_path))
    error = UserError("cannot stop", "the target has ended", "launch it again", action=Action.LAUNCH)
    line = refusal(error, with_key(error.todo, error.action, state))
    assert line.sentence == "cannot stop: the target has ended: launch it again (r)"
    assert refusal(error).sentence == str(error)


def test_an_event_names_the_key_that_helps(tmp_path: Path) -> None:
    state = look(sessions.storyboard(tmp_path))
    begun = Event(1.0, 1, EventKind.SNAPSHOT.value, "begun", json.dumps({"started": True, "action": "snapshot"}))
    assert event_words(begun, state) == "begun (s)"
    assert event_words(begun, replace(state, live=False)) == "begun"
    for detail in ('{"started": true}', '{"action": "of-another-version"}', '{"action": 7}', '{"action"'):
        assert event_words(begun._replace(detail=detail), state) == "begun"


def test_an_action_of_another_version_is_none() -> None:
    assert action_of("launch") is Action.LAUNCH
    assert [action_of(value) for value in ("", "jump", None, 3, ["launch"])] == [None] * 5


def test_without_a_screen_there_are_options_and_commands(tmp_path: Path) -> None:
    state = look(sessions.storyboard(tmp_path))
    again = "start it again: memtui --check draconian --release-rate 7.5 -- ./rpc_server --port 9000"
    assert without_key(Action.LAUNCH, state) == again
    assert without_key(Action.CHOOSE_CHECK, state) == "start it with --check normal"
    able = {Action.LAUNCH, Action.CHOOSE_CHECK, Action.SNAPSHOT}
    assert {action for action in Action if without_key(action, state)} == able, (
        "that of a profiler is begun at a launch"
    )
    assert without_key(None, state) == ""
    lacking = (state.capabilities[0]._replace(name="lsan", available=1),)
    assert without_key(Action.CHOOSE_CHECK, replace(state, capabilities=lacking)) == "start it with --check lsan"
    nothing = tuple(row._replace(available=0) for row in state.capabilities)
    assert without_key(Action.CHOOSE_CHECK, replace(state, capabilities=nothing)) == ""
    for argv in (("./a\x1b[1mb",), ("./a", "x" * 1000)):
        assert without_key(Action.LAUNCH, replace(state, identity=replace(state.identity, argv=argv))) == ""
    for none in (replace(state, identity=replace(state.identity, attached=True)), replace(state, runs=())):
        assert not any(without_key(action, none) for action in Action)


def test_the_evidence_names_the_key_that_asks(tmp_path: Path) -> None:
    """No key is in what the diagnosis is told: it is added to what it answers."""
    recording = load("leak_steady")
    folder = replace(recording, allocator=()).write(tmp_path)
    writer = SessionWriter(folder)
    writer.add(GuestRow(1.0, 1, "waiting", "tcmalloc", "", "", ""))
    writer.commit()
    writer.close()
    state = look(folder, recording.seconds)
    facts = facts_of(state, None)
    assert facts is not None and facts.not_asked == "it has one thread, and is asked only when you want it"
    growing = state.diagnoses[0]
    assert growing.word == "GROWING" and growing.evidence[-1].endswith(f"{facts.not_asked} (enter on tab 2)")
    assert look(folder, recording.seconds, live=False).diagnoses[0].evidence[-1].endswith(facts.not_asked)


def test_an_empty_leaks_tab_says_where_the_checker_s_own_words_are(tmp_path: Path) -> None:
    writer = SessionWriter(sessions.storyboard(tmp_path, end_s=170.0, mode="memcheck"))
    why = "valgrind left no report. What it said is in the output"
    writer.add(sessions.event(170.0, 2, EventKind.NO_REPORT, why, action=Action.SHOW_OUTPUT.value))
    writer.add(RunEnd(at_s=170.1, run=2, exit_code=1, signal=None, oom_killed=0))
    writer.add(RunSettled(at_s=170.2, run=2))
    writer.commit()
    writer.close()
    state = look(tmp_path, 171.0)
    assert state.run is not None and state.run.no_report == why
    empty = leak_state(replace(state, reports=(), report=None), ReportsShown()).empty
    assert empty is not None and empty.lines[0] == f"V{why[1:]} (3)"


def test_an_empty_state_calls_for_nothing() -> None:
    from memtui_profiler.session.series import Series

    state = SessionState(folder=Path("/"), identity=Identity(), now_s=0.0, live=False, series=Series())
    assert with_key("launch", Action.LAUNCH, state) == "launch"
