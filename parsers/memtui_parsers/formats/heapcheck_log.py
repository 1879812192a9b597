"""Reads the messages of gperftools' heap checker (2.0 to 2.16) on stderr, among the target's own output.

The dumped .heap file is the full result. Stderr lacks leaks beyond HEAP_CHECK_MAX_LEAKS, and blocks are cut at 2048
bytes (FACTS.md): it serves for what only the log tells, and when there is no dump. The checker's warnings are
translated into sentences that say what they mean for the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.line_prefix import lines_without_prefix
from memtui_parsers.report.leak_id import leak_ids
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, ReportStatus

WHOLE_PROGRAM = "_main_"
MAX_CHECKS = 1000
MAX_LEAKS = 10_000  # of all checks together; the checker itself lists 20 by default
MAX_FRAMES = 256
MAX_DUMPS = 1000
MAX_NOTES = 100

_REPORTED = "blocks that only they point to are reported as leaks"
STACKS_NOT_SEARCHED = f"The stacks of the threads were not searched: {_REPORTED}"
_STALE_POINTERS = "A stale pointer can hide a leak: this is no proof that there is none"

# Warnings that make the report less reliable: a pattern of the message, and the sentence that takes its group.
_DOUBTS = {
    "Have memory regions w/o callers":
        "Some memory was mapped by code that the checker does not know: blocks that only this memory points to are reported",
    r"Thread finding failed with \S{1,12} errno=(\d{1,4})":
        f"The threads could not be stopped to read their stacks (errno {{0}}; containers often forbid ptrace): {_REPORTED}",
    "Could not find thread stacks": f"The stacks of the threads were not found: {_REPORTED}",
    r"Thread stacks not found for (\d{1,9}) threads": f"The stacks of {{0}} threads were not found: {_REPORTED}",
    "Not looking for thread stacks": STACKS_NOT_SEARCHED,
    "Memory region for stack at": f"A thread's stack lies where the checker does not know it: {_REPORTED}",
    "No shared libs detected": "The program looks static: the checker cannot tell the system's own blocks from leaks",
    "Thread finding callback was interrupted":
        "The checker was interrupted in its look at the threads: it may be wrong",
    r'Heap checker is not active, hence checker "([^"]{1,100})"':
        "The program's own check {0} did nothing: no checker was on",
    r"Failed dumping filtered heap profile to (.{1,300})":
        "The checker could not write its dump {0}: is the disk full?",
    r"Could not write pprof profile to (.{1,300})": "The checker could not write its dump {0}: is the disk full?",
    "Found no leaks without pointer alignment":
        "Nothing leaks once pointers at odd addresses count: the program keeps pointers that are not aligned",
    "Found no leaks without max_pointer_offset restriction":
        "Nothing leaks once pointers far into a block count: try --env HEAP_CHECK_MAX_POINTER_OFFSET=-1",
}  # fmt: skip
# Messages with which the checker gives up: no report follows.
_ENDS = {
    "ing us; will turn itself off":
        "The checker turned itself off: a debugger or tracer held the program when it started",
    "run under Valgrind; will turn itself off": "The checker turned itself off: the program runs under valgrind",
    "ignoring HEAPCHECK because program seems to be setuid": "The checker ignores HEAPCHECK: the program is setuid",
    r"Unsupported heap_check flag: (\S{1,60})": "The checker does not know the mode {0}, and ended the program",
    "Can not start so late": "The checker was loaded too late to see every allocation, and did not start",
    "Canceling the automatic at-exit whole-program":
        "The program itself cancelled the check at exit (HeapLeakChecker::CancelGlobalCheck)",
    "Heap leak checker got turned off after checker": "The checker was turned off while the program ran",
    "Heap-check constructor called twice": "The checker is linked in and preloaded at once: use --tcmalloc off",
    "our own new/delete not linked": "Another allocator took tcmalloc's place: the checker saw nothing",
    "Turning perftools heap leak checking off": "The checker was turned off",
}  # fmt: skip

_ACTIVE = "Perftools heap leak checker is active"
_NO_LEAKS = re.compile(
    r'No leaks found for check "(.{0,200}?)" \(but no .{0,80}?\): found (\d{1,18}) reachable heap objects of (\d{1,18}) bytes'
)
_DETECTED = re.compile(r"Leak check (.{0,200}?) detected leaks of (\d{1,18}) bytes in (\d{1,18}) objects")
_LEAK = re.compile(r"Leak of (\d{1,18}) bytes in (\d{1,18}) objects allocated from:")
_STEP = re.compile(r" ?@ (?:0x)?([0-9a-f]{1,16})(?: (.*))?")
# From the beginning of a word only: else a long line without spaces takes the square of its length.
_DUMP = re.compile(r'(?<!\S)(\S*) "([^"]{1,4000}\.heap)" --inuse_objects')
_DUMP_NAME = re.compile(r".*\.(\d{1,10})\.[^/]*-end\.heap")

# Where a line of the checker's begins, whatever a log puts before it.
_BEGINNING = re.compile(
    r"WARNING: Perftools heap leak checker|No leaks found for check \"|Leak check .{0,200}? detected leaks of "
    r"|The \d{1,9} largest leaks:|Leak of \d{1,18} bytes in \d{1,18} objects"
)

_Leak = tuple[int, int, list[tuple[int, str]], bool]  # bytes, objects, steps, whether the lines are whole


def _prepared(messages: dict[str, str], *, turned_off: bool) -> list[tuple[str, re.Pattern[str], str, bool]]:
    """Add each pattern's plain beginning: to look for it first costs a tenth of the pattern in other lines."""
    return [
        (re.split(r"[\\(]", pattern, maxsplit=1)[0], re.compile(pattern), sentence, turned_off)
        for pattern, sentence in messages.items()
    ]


_MESSAGES = (*_prepared(_DOUBTS, turned_off=False), *_prepared(_ENDS, turned_off=True))


@dataclass(frozen=True, slots=True)
class LoggedLeak:
    """One listed leak. ``frames`` are (address, symbol), leaf first; the symbol is '' where none was printed.

    ``whole``: only lines as the checker writes them are between this leak and the next, so that nothing was cut there.
    """

    size_bytes: int
    objects: int
    frames: tuple[tuple[int, str], ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check's result: what leaked, else what was still reachable. ``name`` is WHOLE_PROGRAM for the check at exit."""

    name: str
    leaked_bytes: int = 0
    leaked_objects: int = 0
    reachable_bytes: int = 0
    reachable_objects: int = 0
    leaks: tuple[LoggedLeak, ...] = ()


@dataclass(frozen=True, slots=True)
class HeapcheckLog:
    """All that a log tells. ``active``: the checker announced itself; ``turned_off`` says why it then gave up, else ''.

    ``checks`` are in the order of their last results. ``dumps`` are the .heap files that it wrote, the newest last.
    ``program`` is the path in its pprof command.
    """

    active: bool = False
    turned_off: str = ""
    draconian: bool = False
    notes: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    dumps: tuple[str, ...] = ()
    program: str = ""


class _Reader:
    """Reads the target's stderr line by line, in bounded memory."""

    def __init__(self) -> None:
        self._active = self._draconian = False
        self._turned_off = self._program = ""
        self._notes: dict[str, None] = {}
        self._dumps: dict[str, None] = {}
        self._checks: dict[str, CheckResult] = {}
        self._leaks: dict[str, list[_Leak]] = {}
        self._leaks_of_check: list[_Leak] | None = None
        self._steps: list[tuple[int, str]] | None = None
        self._listed = 0

    def result(self) -> HeapcheckLog:
        return HeapcheckLog(
            active=self._active,
            turned_off=self._turned_off,
            draconian=self._draconian,
            notes=tuple(self._notes),
            checks=tuple(
                replace(
                    check,
                    leaks=tuple(
                        LoggedLeak(size, n, tuple(steps), whole) for size, n, steps, whole in self._leaks[name]
                    ),
                )
                for name, check in self._checks.items()
            ),
            dumps=tuple(self._dumps),
            program=self._program,
        )

    def take(self, line: str) -> None:
        # Other output may precede a message on its line, so messages are searched for and not matched.
        if "@ " in line and self._steps is not None and (step := _STEP.fullmatch(line)):
            if len(self._steps) < MAX_FRAMES:
                self._steps.append((int(step[1], 16), (step[2] or "").strip()))
            if step[2] is None:
                self._doubt()  # the checker writes a space behind each address
        elif leak := _LEAK.search(line):
            self._steps = []
            if self._leaks_of_check is not None and self._listed < MAX_LEAKS:
                self._leaks_of_check.append((int(leak[1]), int(leak[2]), self._steps, True))
                self._listed += 1
        elif detected := _DETECTED.search(line):
            self._begin_check(CheckResult(detected[1], leaked_bytes=int(detected[2]), leaked_objects=int(detected[3])))
        elif none := _NO_LEAKS.search(line):
            self._begin_check(CheckResult(none[1], reachable_objects=int(none[2]), reachable_bytes=int(none[3])))
        elif dump := _DUMP.search(line):
            self._steps = None
            self._program = dump[1]
            self._dumps.pop(dump[2], None)
            if len(self._dumps) < MAX_DUMPS:
                self._dumps[dump[2]] = None
        else:
            self._remark(line)
            if "If the preceding stack traces are not enough" in line:
                self._steps = None
            elif line.strip():
                self._doubt()

    def _doubt(self) -> None:
        """Take the newest leak for one whose lines are not whole."""
        if self._steps is not None and self._leaks_of_check:
            size_bytes, objects, steps, _ = self._leaks_of_check[-1]
            self._leaks_of_check[-1] = size_bytes, objects, steps, False

    def _remark(self, line: str) -> None:
        self._active = self._active or _ACTIVE in line
        self._draconian = self._draconian or "Not looking for thread stacks" in line
        for plain_start, pattern, sentence, turned_off in _MESSAGES:
            if plain_start in line and (matched := pattern.search(line)):
                remark = sentence.format(*matched.groups())
                if turned_off:
                    # The reason comes first, the general "turning off" after it.
                    self._turned_off = self._turned_off or remark
                elif len(self._notes) < MAX_NOTES:
                    self._notes[remark] = None

    def _begin_check(self, check: CheckResult) -> None:
        """Begin a check. Its result replaces an earlier one of the same name, as a live check is repeated."""
        self._checks.pop(check.name, None)
        self._listed -= len(self._leaks.pop(check.name, ()))
        self._leaks_of_check, self._steps = [], None
        if len(self._checks) < MAX_CHECKS:
            self._checks[check.name] = check
            self._leaks[check.name] = self._leaks_of_check


def parse_heapcheck_log(stream: BinaryIO) -> HeapcheckLog:
    """Parse a whole log; its last line may have no end."""
    reader = _Reader()
    for line in lines_without_prefix(stream, _BEGINNING):
        reader.take(line)
    return reader.result()


def check_sentence(check: CheckResult) -> str:
    """Return a sentence for a check that found nothing, and how far that can be relied on."""
    reachable = f"{check.reachable_bytes} bytes in {check.reachable_objects} objects were still reachable"
    return f"No leaks found: {reachable}. {_STALE_POINTERS}"


def dump_pid(path: str) -> int | None:
    """Return the pid in a dump's name DIR/NAME.PID.CHECKER-end.heap; None for another name."""
    matched = _DUMP_NAME.fullmatch(path.rpartition("/")[2])
    return int(matched[1]) if matched else None


def report_from_log(log: HeapcheckLog, *, mode: str = "") -> LeakReport:
    """Make a report of the log alone: addresses without modules, and only the leaks that it lists.

    Raises ParseError for a log without any message of the checker.
    """
    if not (log.active or log.turned_off or log.checks):
        raise ParseError("the heap checker says nothing in this log")
    mode = mode or ("draconian" if log.draconian else "")
    kind = LeakKind.NOT_FREED if mode == "draconian" else LeakKind.UNREACHABLE
    listed: dict[tuple[tuple[int, str], ...], tuple[int, int]] = {}
    for check in log.checks:
        for leak in check.leaks:
            size_bytes, objects = listed.get(leak.frames, (0, 0))
            listed[leak.frames] = (size_bytes + leak.size_bytes, objects + leak.objects)
    largest = sorted(listed.items(), key=lambda item: item[1], reverse=True)
    frames: dict[tuple[int, str], Frame] = {}
    stacks = [
        tuple(frames.setdefault(step, Frame(step[0], function=step[1] or None)) for step in steps)
        for steps, _ in largest
    ]
    total_bytes = sum(check.leaked_bytes for check in log.checks)
    total_objects = sum(check.leaked_objects for check in log.checks)
    whole = total_bytes == sum(size for size, _ in listed.values())
    notes = list(log.notes)
    if not log.checks:
        status = ReportStatus.NOT_RUN
        notes.insert(0, log.turned_off or "The checker was active, but its check at exit never ran")
    else:
        status = ReportStatus.COMPLETE if whole else ReportStatus.TRUNCATED
        notes += [check_sentence(check) for check in log.checks if not check.leaked_objects]
    if status is ReportStatus.TRUNCATED:
        dump = f": {log.dumps[-1]}" if log.dumps else ""
        notes.insert(0, f"The log lists only the {len(listed)} largest leaks, the rest is in the dump{dump}")
    return LeakReport(
        checker="heapcheck",
        mode=mode,
        status=status,
        argv=(log.program,) if log.program else (),
        pid=dump_pid(log.dumps[-1]) if log.dumps else None,
        total_bytes=total_bytes,
        total_objects=total_objects,
        notes=tuple(notes),
        leaks=tuple(
            LeakRecord(leak_id, size_bytes, objects, kind, stack)
            for leak_id, (_, (size_bytes, objects)), stack in zip(leak_ids(stacks), largest, stacks, strict=True)
        ),
    )
