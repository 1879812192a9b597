"""The one exception that reaches a user: what went wrong, why, and what to do."""

from __future__ import annotations

from typing import TypedDict

EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


class ErrorFields(TypedDict):
    what: str
    why: str
    todo: str


class UserError(Exception):
    """``what`` failed, ``why``, and what ``todo``; each a phrase without a full stop. Printed as one line, never a traceback."""

    def __init__(self, what: str, why: str, todo: str, *, exit_code: int = EXIT_UNAVAILABLE) -> None:
        super().__init__(f"{what}: {why}: {todo}")
        self.what = what
        self.why = why
        self.todo = todo
        self.exit_code = exit_code

    def fields(self) -> ErrorFields:
        """The three phrases as the control socket carries them."""
        return {"what": self.what, "why": self.why, "todo": self.todo}
