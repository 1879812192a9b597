"""What a user asked for when launching a target: the one value that goes from the command line to the recorder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

CHECK_OFF = "off"
# The capabilities beside those of the modes: a rate can be set, and whoever runs memtui may watch the page faults of the process.
RELEASE_RATE = "release-rate"
PAGE_FAULTS = "page-faults"
NO_MODES = frozenset({RELEASE_RATE, PAGE_FAULTS})
RATE_VARIABLE = "TCMALLOC_RELEASE_RATE"


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One launch, before anything is known of the target.

    ``release_rate`` None: nothing is set. ``tcmalloc`` is 'auto', 'off' or a library's path. ``environment`` holds the
    user's ``--env``. ``for_s`` None: until it ends. ``inherit_stdin``: the target reads what memtui's own stdin is.
    ``ask``: a process of one thread is asked without waiting for a user. ``no_guest``: the process is asked nothing;
    ``force_guest``: also where it cannot be shown harmless. ``attach_pid``: a process that runs already; nothing is launched
    then, and ``argv`` and ``cwd`` are its own. ``valgrind_args`` and the paths of ``suppressions`` go to the checkers that take
    such.
    """

    argv: tuple[str, ...]
    cwd: str
    mode: str = CHECK_OFF
    release_rate: float | None = None
    tcmalloc: str = "auto"
    environment: dict[str, str] = field(default_factory=dict)
    for_s: float | None = None
    sample_hz: float = 10.0
    follow_children: bool = False
    inherit_stdin: bool = False
    ask: bool = False
    no_guest: bool = False
    force_guest: bool = False
    attach_pid: int | None = None
    valgrind_args: tuple[str, ...] = ()
    suppressions: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LaunchRequest:
        fields = json.loads(text)
        words = {name: tuple(fields[name]) for name in ("argv", "valgrind_args", "suppressions") if name in fields}
        return cls(**{**fields, **words})


def suppressions_in(request: str) -> tuple[str, ...]:
    """The suppression files of a request as a session has it, in JSON; none where it is damaged or there is none."""
    try:
        return tuple(map(str, json.loads(request or "{}").get("suppressions", ())))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()


def format_rate(rate: float) -> str:
    """A release rate as RATE_VARIABLE gets it and the screen shows it."""
    return f"{rate:g}"
