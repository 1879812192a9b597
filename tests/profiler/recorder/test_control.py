import contextlib
import json
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError
from memtui_profiler.recorder.control import Client, Command, ControlClient, ControlServer, Reply, short_path
from tests.fixtures.waiting import until


class Recorder:
    """The recorder's end of the socket in this very thread: turn() does one turn of its loop."""

    def __init__(self, folder: Path) -> None:
        self.selector = selectors.DefaultSelector()
        self.commands: list[Command] = []
        self.gone: list[Client] = []
        self.server = ControlServer(folder, self.selector)
        self.server.serve(self.commands.append, self.gone.append)

    def turn(self) -> None:
        for key, _ in self.selector.select(0.01):
            key.data()
        self.server.tick()

    def turn_until(self, condition: Callable[[], object], what: str) -> None:
        def look() -> bool:
            self.turn()
            return bool(condition())

        until(look, what)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    yield recorder
    recorder.server.close()


def ask(recorder: Recorder, client: ControlClient, answer: Callable[[Command], None]) -> Reply:
    recorder.turn_until(lambda: recorder.commands, "the command arrives")
    answer(recorder.commands.pop())
    return until(client.poll, "the reply arrives")[0]


def test_a_command_gets_its_reply(recorder: Recorder, tmp_path: Path) -> None:
    client = ControlClient(tmp_path)
    identifier = client.send("relaunch", mode="draconian", release_rate=2.5)
    reply = ask(recorder, client, lambda command: command.succeed(**command.args))
    assert reply == Reply(identifier, True, {"mode": "draconian", "release_rate": 2.5})
    client.close()


def test_a_refusal_arrives_as_the_sentence_it_is(recorder: Recorder, tmp_path: Path) -> None:
    client = ControlClient(tmp_path)
    client.send("stop")
    reply = ask(recorder, client, lambda command: command.fail(UserError("a", "b", "c")))
    assert not reply.ok
    assert str(reply.error) == "a: b: c"
    client.close()


def test_a_refusal_carries_what_it_calls_for_and_one_of_an_older_recorder_nothing(
    recorder: Recorder, tmp_path: Path
) -> None:
    error = UserError("a", "b", "c", action=Action.LAUNCH)
    assert error.fields() == {"what": "a", "why": "b", "todo": "c", "action": "launch"}
    assert UserError("a", "b", "c").fields() == {"what": "a", "why": "b", "todo": "c"}
    client = ControlClient(tmp_path)
    client.send("stop")
    reply = ask(recorder, client, lambda command: command.fail(error))
    assert reply.error is not None and reply.error.action is Action.LAUNCH
    for fields in ({"what": "a"}, {"what": "a", "action": "of-a-newer-version"}, {"what": "a", "action": None}):
        client.send("stop")
        recorder.turn_until(lambda: recorder.commands, "the command arrives")
        command = recorder.commands.pop()
        command.client.lines.send({"id": command.id, "error": fields})
        reply = until(client.poll, "the reply arrives")[0]
        assert reply.error is not None
        assert (str(reply.error), reply.error.action) == ("a: unknown: unknown", None)
    client.close()


def test_an_alert_reaches_every_client(recorder: Recorder, tmp_path: Path) -> None:
    clients = [ControlClient(tmp_path) for _ in range(3)]
    recorder.turn_until(lambda: len(recorder.server.clients) == 3, "all are in")
    recorder.server.alert(UserError("disk", "full", "free some"))
    for client in clients:
        assert until(client.poll, "the alert arrives")[0].id == 0
        client.close()


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    recorder = Recorder(folder)
    client = ControlClient(folder)
    assert client.connected
    client.close()
    recorder.server.close()


def test_a_session_without_a_recorder_says_so(tmp_path: Path) -> None:
    client = ControlClient(tmp_path)
    assert not client.connected
    assert client.send("stop") == 1
    assert client.poll() == []


GARBAGE = {
    "not UTF-8": b"\xff\xfe\n",
    "no object": b"[]\n",
    "no fields": b"{}\n",
    "wrong types": b'{"id": "x", "verb": 3}\n',
    "too deep": b"[" * 5000 + b"\n",
    "endless line": b"x" * 200_000,
    "half a line": b'{"id": 1, "verb": "s"',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_neither_stops_the_recorder_nor_reaches_it(recorder: Recorder, tmp_path: Path, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as hostile:
        with short_path(tmp_path) as path:
            hostile.connect(path)
        hostile.setblocking(False)
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # it may be more than the socket holds
            hostile.sendall(garbage)
        recorder.turn_until(lambda: recorder.server.clients, "it is in")
        recorder.turn()
    recorder.turn_until(lambda: not recorder.server.clients, "it is out")
    client = ControlClient(tmp_path)
    client.send("watch")
    assert ask(recorder, client, lambda command: command.succeed()).ok
    client.close()


def test_a_client_that_never_reads_is_dropped_and_nobody_waits(recorder: Recorder, tmp_path: Path) -> None:
    client = ControlClient(tmp_path)
    recorder.turn_until(lambda: recorder.server.clients, "it is in")
    lines = recorder.server.clients[0].lines
    for _ in range(1000):
        lines.send({"id": 1, "ok": True, "padding": "x" * 4096})
    recorder.turn_until(lambda: not recorder.server.clients, "it is dropped")
    client.close()


def test_messages_may_come_in_any_pieces(recorder: Recorder, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        with short_path(tmp_path) as path:
            slow.connect(path)
        for byte in json.dumps({"id": 7, "verb": "watch", "args": {}}).encode() + b"\n":
            slow.sendall(bytes([byte]))
            recorder.turn()
        recorder.turn_until(lambda: recorder.commands, "the whole command arrives")
    assert recorder.commands[0].id == 7


@pytest.mark.parametrize("identifier", ["[]", '{"a": 1}', "null", '"x"', "1e999", "true"])
def test_whoever_answers_at_the_socket_of_a_strange_session_does_no_harm(tmp_path: Path, identifier: str) -> None:
    """``memtui open DIR`` connects to the socket in a folder that may be anybody's."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen(1)
        client = ControlClient(tmp_path)
        strange, _ = listener.accept()
        with strange, contextlib.closing(client):
            strange.sendall(f'{{"id": {identifier}, "error": {{"what": ["x"], "action": [1]}}}}\n'.encode())
            replies = until(client.poll, "the answer comes")
            assert [(reply.id, reply.ok) for reply in replies] == [(0, False)]
