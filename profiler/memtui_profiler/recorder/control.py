"""Commands to the recorder over the session's socket: JSON lines, ``{id, verb, args}`` and ``{id, ok, …}`` or ``{id, error}``.

The verbs are ``watch`` (I look at this session), ``relaunch`` (mode, release_rate), ``stop`` (step by step), ``kill`` and
``detach`` (I go: detach from a process that was attached to, unless others watch it); and what the running process is asked
for: ``ask`` (its figures, from now on, even if that takes a second thread in it), ``rate`` (release_rate), ``release`` (free
memory, now), ``check`` (for leaks, now), ``snapshot`` (of the heap) and ``growth`` (which stacks make it grow). These are
answered when they are done. Neither side ever blocks on the other.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memtui_profiler.errors import UserError
from memtui_profiler.session.folders import CONTROL_SOCKET

LINE_LIMIT_BYTES = 64 << 10
READS_A_TURN = 16  # a side that never stops talking must not keep the other from its work
BACKLOG_LIMIT_BYTES = 1 << 20

_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@contextlib.contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """The socket's path through /proc/self/fd: sun_path has 107 bytes, and a session folder's path may be longer."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{CONTROL_SOCKET}"
    finally:
        os.close(descriptor)


class Lines:
    """Messages in both directions of one non-blocking socket; ``closed`` once the other side is gone or misbehaves."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.closed = False
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def receive(self) -> list[dict[str, Any]]:
        """Return the complete messages that have arrived."""
        for _ in range(READS_A_TURN):
            try:
                chunk = self.connection.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self.closed = True
                break
            self._incoming += chunk
            if len(self._incoming) > LINE_LIMIT_BYTES and b"\n" not in self._incoming:
                self.closed = True
                break
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = bytearray(rest)
        messages = []
        for line in lines:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                self.closed = True
                break
            if isinstance(message, dict):
                messages.append(message)
        return messages

    def send(self, message: dict[str, Any]) -> None:
        """Queue one message; a reader that lets a MiB pile up is dropped rather than waited for."""
        self._outgoing += json.dumps(message).encode() + b"\n"
        self.flush()
        if len(self._outgoing) > BACKLOG_LIMIT_BYTES:
            self.closed = True

    def flush(self) -> None:
        """Send what the other side has room for."""
        while self._outgoing and not self.closed:
            try:
                sent = self.connection.send(self._outgoing, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            del self._outgoing[:sent]


@dataclass(slots=True)
class Client:
    """One connection as the recorder sees it."""

    lines: Lines
    watching: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """What a client wants; it is answered once, by succeed() or fail()."""

    client: Client
    id: int
    verb: str
    args: dict[str, Any]

    def succeed(self, **result: Any) -> None:
        """Answer that it was done."""
        self.client.lines.send({"id": self.id, "ok": True, **result})

    def fail(self, error: UserError) -> None:
        """Answer that it was refused or failed."""
        self.client.lines.send({"id": self.id, "error": error.fields()})


class ControlServer:
    """The recorder's end. ``was_watched``: somebody has watched the session, be it a moment."""

    def __init__(self, folder: Path, selector: selectors.BaseSelector) -> None:
        self.clients: list[Client] = []
        self.was_watched = False
        self._path = folder / CONTROL_SOCKET
        self._selector = selector
        self._on_command: Callable[[Command], None]
        self._on_gone: Callable[[Client], None]
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._path.unlink(missing_ok=True)
        with short_path(folder) as path:
            self._listener.bind(path)
        self._listener.listen(8)
        self._listening = False
        self._listen()

    def _listen(self) -> None:
        if not self._listening:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            self._listening = True

    def serve(self, on_command: Callable[[Command], None], on_gone: Callable[[Client], None]) -> None:
        """Call ``on_command`` for each command, ``on_gone`` when a client's connection ends; before the selector is used."""
        self._on_command = on_command
        self._on_gone = on_gone

    def watch(self, client: Client) -> None:
        """Count the client among those that look at the session."""
        client.watching = self.was_watched = True

    @property
    def watchers(self) -> int:
        """How many clients look at the session."""
        return sum(client.watching for client in self.clients)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:  # it stays in the queue, and would wake the loop at once, again and again
                self._selector.unregister(self._listener)
                self._listening = False
            return  # else it has left again
        client = Client(Lines(connection))
        self.clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._serve(client))

    def _serve(self, client: Client) -> None:
        for message in client.lines.receive():
            verb, args = message.get("verb"), message.get("args", {})
            if isinstance(message.get("id"), int) and isinstance(verb, str) and isinstance(args, dict):
                self._on_command(Command(client, message["id"], verb, args))
        if client.lines.closed:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        if client in self.clients:
            self.clients.remove(client)
            self._selector.unregister(client.lines.connection)
            client.lines.connection.close()
            self._on_gone(client)

    def tick(self) -> None:
        """Send what slow clients had no room for; drop those that are gone; listen again, where no descriptor was free."""
        self._listen()
        for client in list(self.clients):
            client.lines.flush()
            if client.lines.closed:
                self._drop(client)

    def alert(self, error: UserError) -> None:
        """Tell every client of a failure that the session cannot show, because it cannot be written."""
        for client in self.clients:
            client.lines.send({"alert": error.fields()})

    def close(self) -> None:
        """Close the socket and all connections."""
        if self._listening:
            self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for client in list(self.clients):
            client.lines.connection.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """The recorder's answer to the command ``id``: a result, or the error it was refused with.

    ``id`` 0 is an alert: a failure that no command asked for.
    """

    id: int
    ok: bool
    result: dict[str, Any] = field(default_factory=dict)
    error: UserError | None = None


class ControlClient:
    """A viewer's end; ``connected`` is False when the session has no recorder (any more)."""

    def __init__(self, folder: Path) -> None:
        self._last_id = 0
        self._lines: Lines | None = None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(1.0)
        try:
            with short_path(folder) as path:
                connection.connect(path)
        except OSError:
            connection.close()
        else:
            self._lines = Lines(connection)

    @property
    def connected(self) -> bool:
        """Whether the recorder is there."""
        return self._lines is not None and not self._lines.closed

    def send(self, verb: str, **args: Any) -> int:
        """Send a command; return the id that its reply will carry."""
        self._last_id += 1
        if self._lines is not None:
            self._lines.send({"id": self._last_id, "verb": verb, "args": args})
        return self._last_id

    def poll(self) -> list[Reply]:
        """Return the replies that have arrived since the last call."""
        if self._lines is None:
            return []
        self._lines.flush()
        return [_reply(message) for message in self._lines.receive()]

    def close(self) -> None:
        """Send what can be sent, and close the connection."""
        if self._lines is not None:
            self._lines.flush()
            self._lines.connection.close()
            self._lines = None


def _reply(message: dict[str, Any]) -> Reply:
    # Who listens at the socket of a session from elsewhere may be anybody.
    identifier = message.get("id")
    if type(identifier) is not int:
        identifier = 0
    error = message.get("alert", message.get("error"))
    if isinstance(error, dict):
        return Reply(identifier, False, error=UserError.from_fields(error))
    return Reply(identifier, True, {key: value for key, value in message.items() if key not in ("id", "ok")})
