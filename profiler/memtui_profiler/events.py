"""The kinds of event a session records; each row also carries a sentence and a JSON detail.

The detail's keys are named here because viewers and tests read them: they are part of the session's format. ``action`` is
the value of the Action that the sentence calls for, absent where there is none.
"""

from __future__ import annotations

from enum import Enum


class EventKind(str, Enum):
    LAUNCHED = "launched"  # pid, mode, release_rate, allocator
    RELAUNCH = "relaunch"  # old_pid, pid, old_mode, mode, old_release_rate, release_rate
    STOPPING = "stopping"  # step: term, term-group, kill; pid
    EXIT_CHECK = "exit-check"  # cpu_s, dump_bytes: the leak check at exit is running
    EXITED = "exited"  # exit_code
    KILLED = "killed"  # signal, by_memtui
    OOM_KILLED = "oom-killed"  # signal
    DETACHED = "detached"  # pid: memtui no longer watches a process that it did not start
    FOLLOWING = "following"  # pid: a daemon's second process
    REPORT = "report"  # report, bytes, objects, status, origin
    NO_REPORT = "no-report"  # why a check left no report; action
    OUTPUT_DROPPED = "output-dropped"  # bytes
    REFUSED = "refused"  # verb, what, why, todo, action
    FAILED = "failed"  # verb, what, why, todo, action
    GUEST = "guest"  # tid, host_tid, host_us: a thread of ours was made in the target
    RELEASED = "released"  # before_bytes, after_bytes (RSS), seconds
    RATE_SET = "rate-set"  # release_rate, old_release_rate, acts_after_bytes (at the latest, of frees)
    RATE_CHANGED = "rate-changed"  # release_rate, old_release_rate: by somebody else
    LEAK_CHECK = "leak-check"  # seconds: a live check was made; its report comes as REPORT
    SNAPSHOT = "snapshot"  # started: a heap snapshot was written (false), or the profiler begun (true); action
    GROWTH = "growth"  # watching (true: begun, false: ended), first_report_s (after the beginning); action
    VIEWER = "viewer"  # watching: number of viewers
    NOTE = "note"  # of_report, for some: a sentence that changes nothing
