"""The one process that the words of a command mean; where they mean several, a list of them with what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from memtui.options.values import is_pid, usage_error
from memtui.terminal import streams
from memtui_profiler.errors import UserError
from memtui_profiler.launch.matching import Found, found, processes_called
from memtui_profiler.words import size_words

MOST_LISTED = 20


def the_process(words: Sequence[str], command: str) -> int:
    """Return its pid. Raises UserError when they mean none or several; the candidates are listed on stderr before."""
    asked = f"memtui {command} {' '.join(words)}"
    if len(words) == 1 and is_pid(words[0]):
        return int(words[0])
    if len(words) == 1:
        exact, near = processes_called(words[0])
        if len(exact) == 1:
            return exact[0].pid
        if exact:
            raise _refusal(asked, exact, f"{len(exact)} processes are called so", command)
        if near:
            raise _refusal(asked, near, "no process is called so; these names have it in them", command)
        raise usage_error(asked, "no process is called so", "give a pid, or the name that `ps -e` shows")
    candidates = [
        one
        for word in words
        for one in ([found(int(word))] if is_pid(word) else [each for part in processes_called(word) for each in part])
    ]
    raise _refusal(asked, candidates, f"it takes one process at a time, {len(words)} are given", command)


def _refusal(asked: str, candidates: list[Found], why: str, command: str) -> UserError:
    """List the candidates, and return the error that says what to do."""
    rows = [f"{one.pid:>8}  {size_words(one.rss_bytes):>9}  {one.command}" for one in candidates[:MOST_LISTED]]
    if len(candidates) > MOST_LISTED:
        rows.append(f"          and {len(candidates) - MOST_LISTED} more")
    streams.tell([f"{'PID':>8}  {'RSS':>9}  COMMAND", *rows])
    first = next((one.pid for one in candidates if one.command), None)
    example = "" if first is None else f", for example memtui {command} {first}"
    return usage_error(asked, why, f"give the pid of one{example}")
