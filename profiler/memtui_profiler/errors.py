"""The one exception that reaches a user: what went wrong, why, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from memtui_profiler.actions import Action, action_of

EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


class UserError(Exception):
    """``what`` failed, ``why``, and what ``todo``; each a phrase without a full stop. Printed as one line, never a traceback.

    ``action`` is what ``todo`` calls for; None where no front end can do it.
    """

    def __init__(
        self, what: str, why: str, todo: str, *, exit_code: int = EXIT_UNAVAILABLE, action: Action | None = None
    ) -> None:
        super().__init__(f"{what}: {why}: {todo}")
        self.what = what
        self.why = why
        self.todo = todo
        self.exit_code = exit_code
        self.action = action

    @classmethod
    def from_fields(cls, fields: Mapping[str, object], *, exit_code: int = EXIT_UNAVAILABLE) -> UserError:
        """The error that fields() has described, perhaps of another version of memtui."""
        what, why, todo = (str(fields.get(name, "unknown")) for name in ("what", "why", "todo"))
        return cls(what, why, todo, exit_code=exit_code, action=action_of(fields.get("action")))

    def fields(self) -> dict[str, str]:
        """The phrases and the action, if there is one, as the control socket and an event's detail carry them."""
        phrases = {"what": self.what, "why": self.why, "todo": self.todo}
        return phrases if self.action is None else {**phrases, "action": self.action.value}


_TODO_BY_ERRNO = {
    errno.EMFILE: "raise the limit of open files: `ulimit -n`",
    errno.EAGAIN: "let more tasks run: `ulimit -u`, pids.max of its control group",
    errno.ENFILE: "raise the machine's limit of open files: `sysctl fs.file-max`",
}


def todo_of(error: BaseException | None, otherwise: str) -> str:
    """What to do about an error of the system: too few descriptors or tasks are no fault of the disk; ``otherwise`` for another."""
    number = error.errno if isinstance(error, OSError) else None
    return otherwise if number is None else _TODO_BY_ERRNO.get(number, otherwise)
