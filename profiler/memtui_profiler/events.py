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
    DETACHED = "detached"  # pid: memtui no longer watches a process that it did not start
    FOLLOWING = "following"  # pid: a daemon's second process
    REPORT = "report"  # report, bytes, objects, status, origin
    NO_REPORT = "no-report"  # a check was asked for, and this is why there is none
    OUTPUT_DROPPED = "output-dropped"  # bytes
    LIMIT = "limit"  # source, limit_bytes
    REFUSED = "refused"  # verb, what, why, todo
    FAILED = "failed"  # verb, what, why, todo
    GUEST = "guest"  # tid, host_tid, host_us: a thread of ours was made in the target
    RELEASED = "released"  # before_bytes, after_bytes (RSS), seconds
    RATE_SET = "rate-set"  # release_rate, old_release_rate, acts_after_bytes (at the latest, of frees)
    RATE_CHANGED = "rate-changed"  # release_rate, old_release_rate: by somebody else
    LEAK_CHECK = "leak-check"  # seconds, blocks, gap_s: a live check has been made; its report comes as REPORT
    SNAPSHOT = "snapshot"  # report, started: a heap snapshot was written, or (started) the profiler begun
    VIEWER = "viewer"  # watching: number of viewers
    NOTE = "note"  # anything worth a line that moves nothing


# The letter that stands for an event on the graph's time axis; an event without one leaves no mark there.
MARKS: dict[EventKind, str] = {
    EventKind.RELAUNCH: "r",
    EventKind.REPORT: "c",  # one at exit; a live one is marked by what asked for it
    EventKind.RELEASED: "x",
    EventKind.LEAK_CHECK: "c",
    EventKind.SNAPSHOT: "s",
    EventKind.RATE_SET: "l",
    EventKind.KILLED: "!",
    EventKind.OOM_KILLED: "!",
}
