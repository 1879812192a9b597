"""What a user can do about a verdict, a refusal or an event. Front ends say how: by a key, an option or a command."""

from __future__ import annotations

from enum import Enum


class Action(str, Enum):
    """The value is what JSON and the session's rows carry."""

    LAUNCH = "launch"  # start the target again, with the check and the release rate that are chosen
    STOP = "stop"  # have the target end: a check at exit reports then
    CHOOSE_CHECK = "choose-check"  # choose a heap check, then start the target again with it
    CHECK = "check"  # check the running process for leaks
    SNAPSHOT = "snapshot"  # take a heap snapshot of the running process, or begin its heap profiler
    RELEASE = "release"  # give the allocator's free memory back to the kernel
    SET_RATE = "set-rate"  # set the release rate of the running process
    ASK = "ask"  # ask a process of one thread, which is left alone until the user wants it
    SHOW_LEAKS = "show-leaks"  # list the leaks of the newest report
    SHOW_HEAP = "show-heap"  # look at the size classes and spans of the heap
    SHOW_OUTPUT = "show-output"  # read what the target and the checker printed
    SHOW_REPORTS = "show-reports"  # list the reports of the session, and compare two


def action_of(value: object) -> Action | None:
    """The action of this value; None for any other, which an older or a newer memtui may have written."""
    return next((action for action in Action if action.value == value), None)
