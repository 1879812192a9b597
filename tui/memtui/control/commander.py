"""The viewer's connection to the recorder: the commands that are not answered yet, and the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from memtui_profiler.errors import UserError
from memtui_profiler.recorder.control import Reply


class Control(Protocol):
    """What is used of memtui_profiler.recorder.control.ControlClient; tests without a recorder have their own."""

    @property
    def connected(self) -> bool: ...

    def send(self, verb: str, **args: Any) -> int: ...

    def poll(self) -> list[Reply]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a command; ``verb`` '' for a message that the recorder sent by itself."""

    verb: str
    error: UserError | None


class Commander:
    """Sends commands and knows which are not answered yet."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._open: dict[int, str] = {}
        self.was_connected = control.connected
        if control.connected:
            control.send("watch")

    @property
    def connected(self) -> bool:
        return self._control.connected

    @property
    def lost(self) -> bool:
        """Whether there was a recorder and it is gone."""
        return self.was_connected and not self._control.connected

    def waits_for(self, verb: str) -> bool:
        return verb in self._open.values()

    def send(self, verb: str, **args: Any) -> None:
        self._open[self._control.send(verb, **args)] = verb

    def poll(self) -> list[Outcome]:
        outcomes = [Outcome(self._open.pop(reply.id, ""), reply.error) for reply in self._control.poll()]
        if not self._control.connected:
            self._open.clear()
        return outcomes

    def leave(self) -> None:
        """Close the connection; the session goes on."""
        self._control.close()
