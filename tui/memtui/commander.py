"""The viewer's line to the recorder: which commands are under way, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from memtui_profiler.control import Reply
from memtui_profiler.errors import UserError


class Control(Protocol):
    """What memtui_profiler.control.ControlClient offers; tests that need no recorder have their own."""

    @property
    def connected(self) -> bool: ...

    def send(self, verb: str, **args: Any) -> int: ...

    def poll(self) -> list[Reply]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command that was answered; ``verb`` '' for word that the recorder sent unasked."""

    verb: str
    error: UserError | None


class Commander:
    """Sends commands and remembers which are still open."""

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
        """There was a recorder, and it is gone."""
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
        """Let go of the session without stopping anything."""
        if self._control.connected:
            self._control.send("leave")
        self._control.close()
