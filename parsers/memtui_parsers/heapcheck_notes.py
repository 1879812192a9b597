"""What the heap checker's warnings mean to whoever reads a report: its messages (gperftools 2.0 to 2.16) in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_REPORTED = "blocks that only they point to are reported as leaks"

STACKS_NOT_SEARCHED = f"The stacks of the threads were not searched: {_REPORTED}"

# A part of the message as a pattern, and the sentence that its group goes into.
_DOUBTS = (
    (
        "Have memory regions w/o callers",
        "Some memory was mapped by code that the checker does not know: blocks that only this memory points to are reported",
    ),
    (
        r"Thread finding failed with \S{1,12} errno=(\d{1,4})",
        f"The threads could not be stopped to read their stacks (errno {{0}}; containers often forbid ptrace): {_REPORTED}",
    ),
    ("Could not find thread stacks", f"The stacks of the threads were not found: {_REPORTED}"),
    (r"Thread stacks not found for (\d{1,9}) threads", f"The stacks of {{0}} threads were not found: {_REPORTED}"),
    ("Not looking for thread stacks", STACKS_NOT_SEARCHED),
    ("Memory region for stack at", f"A thread's stack lies where the checker does not know it: {_REPORTED}"),
    ("No shared libs detected", "The program looks static: the checker cannot tell the system's own blocks from leaks"),
    (
        "Thread finding callback was interrupted",
        "The checker was interrupted in its look at the threads: it may be wrong",
    ),
    (
        r'Heap checker is not active, hence checker "([^"]{1,100})"',
        "The program's own check {0} did nothing: no checker was on",
    ),
    (
        r"Failed dumping filtered heap profile to (.{1,300})",
        "The checker could not write its dump {0}: is the disk full?",
    ),
    (r"Could not write pprof profile to (.{1,300})", "The checker could not write its dump {0}: is the disk full?"),
    (
        "Found no leaks without pointer alignment",
        "Nothing leaks once pointers at odd addresses count: the program keeps pointers that are not aligned",
    ),
    (
        "Found no leaks without max_pointer_offset restriction",
        "Nothing leaks once pointers far into a block count: try --env HEAP_CHECK_MAX_POINTER_OFFSET=-1",
    ),
)
_ENDS = (
    (
        "ing us; will turn itself off",
        "The checker turned itself off: a debugger or tracer held the program when it started",
    ),
    ("run under Valgrind; will turn itself off", "The checker turned itself off: the program runs under valgrind"),
    ("ignoring HEAPCHECK because program seems to be setuid", "The checker ignores HEAPCHECK: the program is setuid"),
    (r"Unsupported heap_check flag: (\S{1,60})", "The checker does not know the mode {0}, and ended the program"),
    ("Can not start so late", "The checker was loaded too late to see every allocation, and did not start"),
    (
        "Canceling the automatic at-exit whole-program",
        "The program itself cancelled the check at exit (HeapLeakChecker::CancelGlobalCheck)",
    ),
    ("Heap leak checker got turned off after checker", "The checker was turned off while the program ran"),
    ("Heap-check constructor called twice", "The checker is linked in and preloaded at once: use --tcmalloc off"),
    ("our own new/delete not linked", "Another allocator took tcmalloc's place: the checker saw nothing"),
    ("Turning perftools heap leak checking off", "The checker was turned off"),
)


@dataclass(frozen=True, slots=True)
class Remark:
    """``turned_off``: with this message the checker gave up, so that no report will come."""

    sentence: str
    turned_off: bool


def _prepared(pattern: str, sentence: str, turned_off: bool) -> tuple[str, re.Pattern[str], str, bool]:
    """With the pattern's plain beginning before it, which costs a tenth to look for in a line that is not the checker's."""
    return re.split(r"[\\(]", pattern, maxsplit=1)[0], re.compile(pattern), sentence, turned_off


_TABLE = tuple(_prepared(*row, False) for row in _DOUBTS) + tuple(_prepared(*row, True) for row in _ENDS)


def remarks(line: str) -> Iterator[Remark]:
    """What this line of the checker says about the worth of its report; mostly nothing."""
    for plain, pattern, sentence, turned_off in _TABLE:
        if plain in line and (matched := pattern.search(line)):
            yield Remark(sentence.format(*matched.groups()), turned_off)
