"""The kinds of event a session records; each row also carries a sentence and a JSON detail.

The detail's keys are named here because viewers and tests read them: they are part of the session's format.
"""

from __future__ import annotations

from enum import Enum


class EventKind(str, Enum):
    LAUNCHED = "launched"  # pid, mode, release_rate, allocator
    RELAUNCH = "relaunch"  # old_pid, pid, old_mode, mode, old_release_rate, release_rate
    STOPPING = "stopping"  # step: term, term-group, kill; pid; grace_s
    EXIT_CHECK = "exit-check"  # cpu_s, dump_bytes: the leak check at exit is at work
    EXITED = "exited"  # exit_code
    KILLED = "killed"  # signal, by_memtui
    OOM_KILLED = "oom-killed"
    FOLLOWING = "following"  # pid: a daemon's second process
    REPORT = "report"  # report, bytes, objects, status
    NO_REPORT = "no-report"  # a check was asked for, and this is why there is none
    OUTPUT_DROPPED = "output-dropped"  # bytes
    LIMIT = "limit"  # source, limit_bytes
    REFUSED = "refused"  # verb, what, why, todo
    FAILED = "failed"  # verb, what, why, todo
    VIEWER = "viewer"  # watching: number of viewers
    NOTE = "note"  # anything worth a line that moves nothing


# The letter that stands for an event on the graph's time axis; an event without one leaves no mark there.
MARKS: dict[EventKind, str] = {
    EventKind.RELAUNCH: "r",
    EventKind.REPORT: "c",
    EventKind.KILLED: "!",
    EventKind.OOM_KILLED: "!",
}
