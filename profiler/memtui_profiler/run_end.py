"""What the end of a run means: how it ended, which dumps to collect, or why there is no report. Never a bare "no leaks"."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtui_profiler.checkers.base import Output
from memtui_profiler.checkers.heapcheck import Dump
from memtui_profiler.events import EventKind
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES, MEMCHECK, PROFILE
from memtui_profiler.target_process import ExitStatus, signal_name

if TYPE_CHECKING:
    from memtui_parsers.heapcheck_log import HeapcheckLog

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Ended:
    """All that is known at the end of a run's last process; ``followed``: it is not the one that was launched.

    ``dumps`` are the heap checker's, ``outputs`` what another checker left and no report was made of
    yet; ``reported``: of others one was, while it ran. ``script``: what was launched is run by an interpreter.
    """

    pid: int
    mode: str
    status: ExitStatus
    oom_killed: bool
    stopped_by_memtui: bool
    dumps: tuple[Dump, ...]
    stderr: bytes
    follow_children: bool
    followed: bool = False
    attached: bool = False
    outputs: tuple[Output, ...] = ()
    reported: bool = False
    script: bool = False

    @property
    def signal(self) -> str | None:
        return None if self.status.signal is None else signal_name(self.status.signal)


@dataclass(frozen=True, slots=True)
class Source:
    """One report to collect: a dump, or with ``dump`` None what the log alone says."""

    pid: int
    dump: Path | None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """``sources`` largest claim first; with none and a check asked for, ``no_report`` is the sentence that says why."""

    sources: tuple[Source, ...] = ()
    no_report: str = ""
    notes: tuple[str, ...] = ()


def conclude(ended: Ended) -> Conclusion:
    """Which reports there are, or why there is none."""
    if ended.mode == CHECK_OFF:
        return Conclusion()
    if ended.attached:
        return Conclusion(
            no_report="memtui did not start it: a report of its end lies where HEAP_CHECK_DUMP_DIRECTORY says"
        )
    if ended.mode not in HEAPCHECK_MODES:
        return _conclude_by_files(ended)
    # Here and not above: a recorder that only launches and samples starts 10 ms sooner without it.
    from memtui_parsers.heapcheck_log import WHOLE_PROGRAM, parse_heapcheck_log

    own = [d for d in ended.dumps if d.pid == ended.pid and (d.whole_program or ended.mode == LOCAL)]
    others = [d for d in ended.dumps if d.pid != ended.pid and d.whole_program]
    notes: tuple[str, ...] = ()
    if others and not ended.follow_children:
        notes = (f"child processes left leak reports of their own, {len(others)} in all: --follow-children shows them",)
        others = []
    sources = tuple(Source(d.pid, d.path) for d in (*own, *others))
    log = parse_heapcheck_log(io.BytesIO(ended.stderr))
    if not own:
        if any(check.name == WHOLE_PROGRAM or ended.mode == LOCAL for check in log.checks):
            sources = (Source(ended.pid, None), *sources)
        else:
            return Conclusion(sources, _why_none(ended, log), notes)
    return Conclusion(sources, "", notes)


def _conclude_by_files(ended: Ended) -> Conclusion:
    """Memcheck, LeakSanitizer and the heap profiler speak through files alone."""
    own = [output for output in ended.outputs if output.pid in (0, ended.pid)]
    others = [output for output in ended.outputs if output not in own]
    notes: tuple[str, ...] = ()
    if ended.mode == MEMCHECK and not ended.follow_children:
        if ended.script:
            notes = (_ONLY_THE_SCRIPT,)
        from memtui_profiler.checkers.memcheck import ends_whole, has_errors

        if ended.status.exit_code is not None and own and not any(ends_whole(output.path) for output in own):
            why = _VALGRIND_GAVE_UP if any(words in ended.stderr for words in _LAST_WORDS) else _EXECUTED_ANOTHER
            if not any(has_errors(output.path) for output in own):
                return Conclusion((), why)
            notes = (*notes, why)
    if others and not ended.follow_children:
        children = f"child processes left reports of their own, {len(others)} in all: --follow-children shows them"
        notes = (*notes, children)
        others = []
    sources = tuple(Source(output.pid or ended.pid, output.path) for output in (*own, *others))
    return Conclusion(sources, "" if own or ended.reported else _why_no_file(ended), notes)


_ONLY_THE_SCRIPT = (
    "only the script's interpreter was checked: --follow-children checks the programs that it starts, too"
)
_EXECUTED_ANOTHER = (
    "the program executed another one in its place (exec), which ran unchecked: --follow-children checks that one, or name"
    " it yourself"
)
# How valgrind ends where memory has run out, and where it is at fault itself (measured on 3.19).
_LAST_WORDS = (b"Valgrind cannot continue", b"valgrind: the 'impossible' happened")
_VALGRIND_GAVE_UP = "valgrind itself gave up before its leak check; what it said is in Output (3)"


def _why_no_file(ended: Ended) -> str:
    if ended.mode == MEMCHECK:
        return "valgrind left no report: it could not start the program, or was killed. What it said is in Output (3)"
    killed = _why_killed(ended)
    if killed:
        return killed
    if ended.mode == PROFILE:
        return (
            "no snapshot was written: the program ended by _exit() or exec before the first; s takes one while it runs"
        )
    return (
        "LeakSanitizer never spoke: the program ended without its check, by _exit(), quick_exit() or exec, was not given it"
        " (a cleared environment, a program of another kind started in its place), or never allocated, which begins it"
    )


def _why_none(ended: Ended, log: HeapcheckLog) -> str:
    """A check was asked for and left nothing: why, and what to do."""
    if log.turned_off and not ended.oom_killed:
        return log.turned_off
    return _why_killed(ended) or _why_unspoken(ended, log)


def _why_killed(ended: Ended) -> str:
    """'' for a program that ended by itself."""
    if ended.oom_killed:
        return "the OOM killer took it before the check at exit could run: give it more memory, or a smaller load"
    if ended.signal in ("SIGTERM", "SIGINT", "SIGHUP"):
        return (
            f"{ended.signal} ended it before the check at exit could run: it has no handler for it. "
            "Let it end by itself, or have it call exit() on a signal"
        )
    if ended.signal == "SIGKILL":
        by = "memtui killed it" if ended.stopped_by_memtui else "SIGKILL ended it"
        return f"{by} before the check at exit was done: nothing can be reported after that. Let it end by itself"
    if ended.signal is not None:
        return f"it crashed with {ended.signal} before the check at exit could run: mend the crash first"
    return ""


def _why_unspoken(ended: Ended, log: HeapcheckLog) -> str:
    if ended.mode == LOCAL:
        return "in mode local only the program's own HeapLeakChecker objects check, and none of them reported"
    if ended.followed:
        return (
            "the program went on in a process that it forked, and gperftools checks none that was only forked. "
            "Run it in the foreground, or have the fork execute the program anew"
        )
    if not log.active:
        return (
            "the heap checker never spoke: its library was not loaded, or stderr was closed. "
            "Does the program clear its environment or start another one in its place?"
        )
    return (
        "the heap checker was active, but the program ended without its check: by _exit(), quick_exit() or exec, "
        "which skip what runs at exit. Have it return from main() or call exit()"
    )


def exit_event(ended: Ended) -> tuple[EventKind, str, dict[str, Any]]:
    """The event of a run's end: kind, text, detail."""
    if ended.oom_killed:
        return EventKind.OOM_KILLED, f"pid {ended.pid} was killed by the OOM killer", {"signal": ended.signal}
    if ended.signal is not None:
        detail = {"signal": ended.signal, "by_memtui": ended.stopped_by_memtui}
        return EventKind.KILLED, f"pid {ended.pid} was killed by {ended.signal}", detail
    code = ended.status.exit_code
    words = "ended, nobody knows how" if code is None else f"exited with code {code}"
    return EventKind.EXITED, f"pid {ended.pid} {words}", {"exit_code": code}
