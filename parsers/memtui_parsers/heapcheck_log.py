"""What the heap checker prints on stderr, fished out of the target's own output (messages of gperftools 2.0 to 2.16).

Stderr is a hint: leaks beyond HEAP_CHECK_MAX_LEAKS are left out and blocks are cut at 2048 bytes (FACTS.md). The dumped
.heap file is the truth; this is for what only the log says, and for when there is no dump.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO

from memtui_parsers.clean_text import LineCleaner
from memtui_parsers.errors import ParseError
from memtui_parsers.heapcheck_notes import remarks
from memtui_parsers.leak_id import leak_ids
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, ReportStatus

WHOLE_PROGRAM = "_main_"
MAX_CHECKS = 1000
MAX_LEAKS = 10_000  # of all checks together; the checker itself lists 20 unless told otherwise
MAX_FRAMES = 256
MAX_DUMPS = 1000
MAX_NOTES = 100

_ACTIVE = "Perftools heap leak checker is active"
_EXITING = "because of whole-program memory leaks"
_NO_LEAKS = re.compile(
    r'No leaks found for check "(.{0,200}?)" \(but no .{0,80}?\): found (\d{1,18}) reachable heap objects of (\d{1,18}) bytes'
)
_DETECTED = re.compile(r"Leak check (.{0,200}?) detected leaks of (\d{1,18}) bytes in (\d{1,18}) objects")
_LEAK = re.compile(r"Leak of (\d{1,18}) bytes in (\d{1,18}) objects allocated from:")
_STEP = re.compile(r" ?@ (?:0x)?([0-9a-f]{1,16})(?: (.*))?")
_DUMP = re.compile(r'(\S*) "([^"]{1,4000}\.heap)" --inuse_objects')
_DUMP_NAME = re.compile(r".*\.(\d{1,10})\.[^/]*-end\.heap")
_CAVEAT = "A stale pointer can hide a leak: this is no proof that there is none"


@dataclass(frozen=True, slots=True)
class LoggedLeak:
    """One listed leak; ``frames`` leaf first, a symbol '' where the checker printed none."""

    size_bytes: int
    objects: int
    frames: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict: leaked, or nothing leaked and that much still reachable. ``name`` is _main_ for the whole program."""

    name: str
    leaked_bytes: int = 0
    leaked_objects: int = 0
    reachable_bytes: int = 0
    reachable_objects: int = 0
    leaks: tuple[LoggedLeak, ...] = ()


@dataclass(frozen=True, slots=True)
class HeapcheckLog:
    """``active``: the checker said that it works. ``turned_off`` says why it then did not, '' when it did.

    ``checks`` in the order of their last verdicts; ``dumps`` are the .heap files it says it wrote, newest last; ``program``
    as its pprof command names it; ``exits``: it ended the program for leaks, in place of the program's own exit code.
    """

    active: bool = False
    turned_off: str = ""
    draconian: bool = False
    notes: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    dumps: tuple[str, ...] = ()
    program: str = ""
    exits: bool = False


@dataclass(slots=True)
class _Check:
    name: str
    leaked_bytes: int = 0
    leaked_objects: int = 0
    reachable_bytes: int = 0
    reachable_objects: int = 0
    leaks: list[tuple[int, int, list[tuple[int, str]]]] = field(default_factory=list)


class HeapcheckLogParser:
    """Takes the target's stderr in chunks of any size; memory stays bounded whatever comes."""

    def __init__(self) -> None:
        self._cleaner = LineCleaner()
        self._active = self._exits = self._draconian = False
        self._turned_off = self._program = ""
        self._notes: dict[str, None] = {}
        self._dumps: dict[str, None] = {}
        self._checks: dict[str, _Check] = {}
        self._check: _Check | None = None
        self._steps: list[tuple[int, str]] | None = None
        self._listed = 0

    def feed(self, chunk: bytes) -> None:
        for line in self._cleaner.feed(chunk):
            self._read(line)

    def finish(self) -> HeapcheckLog:
        """What the whole log said, its last line with or without an end."""
        for line in self._cleaner.finish():
            self._read(line)
        return self.result()

    def result(self) -> HeapcheckLog:
        """What was said so far."""
        return HeapcheckLog(
            active=self._active,
            turned_off=self._turned_off,
            draconian=self._draconian,
            notes=tuple(self._notes),
            checks=tuple(
                CheckResult(
                    c.name,
                    c.leaked_bytes,
                    c.leaked_objects,
                    c.reachable_bytes,
                    c.reachable_objects,
                    tuple(LoggedLeak(size, objects, tuple(steps)) for size, objects, steps in c.leaks),
                )
                for c in self._checks.values()
            ),
            dumps=tuple(self._dumps),
            program=self._program,
            exits=self._exits,
        )

    def _read(self, line: str) -> None:
        # Other output may stand before a message on its line, so each is searched for, not matched.
        if "@ " in line and self._steps is not None and (step := _STEP.fullmatch(line)):
            if len(self._steps) < MAX_FRAMES:
                self._steps.append((int(step[1], 16), (step[2] or "").strip()))
        elif leak := _LEAK.search(line):
            self._begin_leak(int(leak[1]), int(leak[2]))
        elif detected := _DETECTED.search(line):
            self._begin_check(_Check(detected[1], leaked_bytes=int(detected[2]), leaked_objects=int(detected[3])))
        elif none := _NO_LEAKS.search(line):
            check = _Check(none[1], reachable_objects=int(none[2]), reachable_bytes=int(none[3]))
            self._begin_check(check)
        elif dump := _DUMP.search(line):
            self._program = dump[1]
            self._dumps.pop(dump[2], None)
            if len(self._dumps) < MAX_DUMPS:
                self._dumps[dump[2]] = None
        else:
            self._remark(line)

    def _remark(self, line: str) -> None:
        self._active = self._active or _ACTIVE in line
        self._exits = self._exits or _EXITING in line
        self._draconian = self._draconian or "Not looking for thread stacks" in line
        for remark in remarks(line):
            if remark.turned_off:
                # The reason comes first, the general "turning off" after it.
                self._turned_off = self._turned_off or remark.sentence
            elif len(self._notes) < MAX_NOTES:
                self._notes[remark.sentence] = None

    def _begin_check(self, check: _Check) -> None:
        """The same check made again (a live one) takes the place of its last verdict."""
        before = self._checks.pop(check.name, None)
        self._listed -= len(before.leaks) if before else 0
        if len(self._checks) < MAX_CHECKS:
            self._checks[check.name] = check
        self._check, self._steps = check, None

    def _begin_leak(self, size_bytes: int, objects: int) -> None:
        self._steps = []
        if self._check is not None and self._listed < MAX_LEAKS:
            self._check.leaks.append((size_bytes, objects, self._steps))
            self._listed += 1


def parse_heapcheck_log(stream: BinaryIO) -> HeapcheckLog:
    parser = HeapcheckLogParser()
    while chunk := stream.read(1 << 16):
        parser.feed(chunk)
    return parser.finish()


def check_sentence(check: CheckResult) -> str:
    """What a check that found nothing is worth, for a reader who knows no checker."""
    still = f"{check.reachable_bytes} bytes in {check.reachable_objects} objects were still reachable"
    return f"No leaks found: {still}. {_CAVEAT}"


def dump_pid(path: str) -> int | None:
    """The process a dump is of, by its name DIR/NAME.PID.CHECKER-end.heap."""
    matched = _DUMP_NAME.fullmatch(path.rpartition("/")[2])
    return int(matched[1]) if matched else None


def report_from_log(log: HeapcheckLog, *, mode: str = "") -> LeakReport:
    """The log alone as a report: addresses without modules, and only the leaks it lists.

    Raises ParseError when the checker never spoke in it.
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
    frame: dict[tuple[int, str], Frame] = {}  # stacks share theirs
    stacks = [
        tuple(frame.setdefault(step, Frame(step[0], function=step[1] or None)) for step in steps)
        for steps, _ in largest
    ]
    total_bytes = sum(c.leaked_bytes for c in log.checks)
    total_objects = sum(c.leaked_objects for c in log.checks)
    whole = total_bytes == sum(size for size, _ in listed.values())
    notes = list(log.notes)
    if not log.checks:
        status = ReportStatus.NOT_RUN
        notes.insert(0, log.turned_off or "The checker was active, but its check at exit never ran")
    else:
        status = ReportStatus.COMPLETE if whole else ReportStatus.TRUNCATED
        notes += [check_sentence(c) for c in log.checks if not c.leaked_objects]
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
