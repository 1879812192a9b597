"""Reads the reports of LeakSanitizer, and the leak sections of AddressSanitizer's, out of any log (gcc's and clang's).

A log may hold several reports, of live checks or of several processes: the last complete one of the process that leaked
most is taken. Processes in containers often have one number, 1: two reports of it are of one process only where the
sanitizer's own functions lie at the same addresses. A process with no leak writes nothing at all, unless suppressions
matched or LSAN_OPTIONS=log_threads=1 makes it name each thread that it searched.

A line of a stack (sanitizer_stacktrace_printer of compiler-rt and gcc's libsanitizer) is ``#1 0x55825ceeb249 in
open_session(int) /srv/server.cpp:88:5`` with debug information, ``... in main (/srv/prog+0x1249)`` with symbols only,
``#1 0x55825ceeb249  (/srv/prog+0x1249) (BuildId: 3f1c...)`` without both. Addresses and offsets are one byte before the
return address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.line_prefix import lines_without_prefix
from memtui_parsers.formats.stack_table import BEYOND, MAX_DEPTH, StackTable, physical_steps
from memtui_parsers.formats.unread import Unread
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "lsan"
MAX_SUPPRESSIONS = 100
MAX_PROCESSES = 1000
NAMED_PROCESSES = 5
MAX_ALLOCATING = 100
LINE_BYTES = 1 << 14

_KINDS = {"Direct": LeakKind.DIRECT, "Indirect": LeakKind.INDIRECT}
_BEGIN = re.compile(r"==(\d{1,10})==\s?ERROR: LeakSanitizer: detected memory leaks")
_LEAK = re.compile(r"(Direct|Indirect) leak of (\d{1,18}) byte\(s\) in (\d{1,18}) object\(s\) allocated from:")
_LOOKS_LIKE_A_STEP = re.compile(r"\s{0,16}#\d{1,6} ")
_LOOKS_LIKE_A_LEAK = re.compile(r"(?:Direct|Indirect) leak of ")
_SUMMARY = re.compile(r"SUMMARY: \w{1,40}: (\d{1,18}) byte\(s\) leaked in (\d{1,18}) allocation\(s\)")
_FATAL = re.compile(r"(?:==(\d{1,10})==\s?)?LeakSanitizer has encountered a fatal error")
_OTHER_ERROR = re.compile(r"==(\d{1,10})==\s?ERROR: (\w{1,40}Sanitizer): ([\w-]{1,80})")
_NOT_FIRST = re.compile(r"==(\d{1,10})==\s?ASan runtime does not come first")
_THREAD = re.compile(r"==\d{1,10}==\s?Processing thread (\d{1,10})\.")
# Where a line of a sanitizer's begins, whatever a log puts before it.
# Each alternative begins with a letter of its own, which makes the search twice as fast.
_BEGINNING = re.compile(
    r"==\d{1,10}==\s?(?:ERROR: \w{1,40}Sanitizer|LeakSanitizer|Processing thread)"
    r"|Direct leak of \d{1,18} byte|Indirect leak of \d{1,18} byte|SUMMARY: \w{1,40}Sanitizer: "
)
_SUPPRESSIONS = "Suppressions used:"
_SUPPRESSION = re.compile(r"\s*(\d{1,18})\s+(\d{1,18})\s(\S.*)")
_RULE = re.compile(r"-{20,}")

_STEP = re.compile(r"\s{0,16}#(\d{1,6}) 0x([0-9a-f]{1,16}) +(.*)")
# Each of these is tried at one place only: a hostile line must not cost the square of its length.
_MODULE_END = re.compile(r"\+0x([0-9a-f]{1,16})\)(?: \(BuildId: ([0-9a-f]{1,128})\))?")
_UNKNOWN_MODULE = "(<unknown module>)"
_POSITION = re.compile(r":(\d{1,9})(?::\d{1,9})?$")
_BRACKETS_AND_ROOTS = re.compile(r"[()\[\]]| /")

_COULD_NOT_STOP_THREADS = (
    "LeakSanitizer could not stop the program's threads to look for leaks: something else traces the program (strace, gdb), "
    "or ptrace is forbidden here, as in many containers: run it without the tracer, or with --cap-add=SYS_PTRACE"
)


class Step(NamedTuple):
    """The parts that follow the address in a line of a stack; '' and None for what the line lacks.

    ``offset`` is the return address's in the module.
    """

    function: str = ""
    module: str = ""
    offset: int | None = None
    build_id: str = ""
    file: str = ""
    line: int | None = None


def read_step(text: str) -> Step:
    """Parse what follows the address in a line of a stack."""
    end = _MODULE_END.fullmatch(text, max(0, text.rfind("+0x")))
    start = _module_start(text[: end.start()]) if end else -1
    if end and start >= 0:
        path = text[start + 1 : end.start()]
        return Step(_function(text[:start]), module=path, offset=int(end[1], 16) + 1, build_id=end[2] or "")
    if not text.startswith("in "):
        return Step()
    if text.endswith(_UNKNOWN_MODULE):
        return Step(_function(text.removesuffix(_UNKNOWN_MODULE)))
    return _with_file(text[3:])


def _module_start(text: str) -> int:
    """The place of the bracket before the module's path; the path and the function may contain brackets, too."""
    if text.startswith("("):
        return 0
    absolute = text.find(" (/")
    return (absolute if absolute >= 0 else text.rfind(" (")) + 1 or -1


def _function(text: str) -> str:
    return text.removeprefix("in ").strip()


def _with_file(text: str) -> Step:
    """Split a function from its place in the source: only a space separates them, and both may contain spaces."""
    position = _POSITION.search(text, max(0, len(text) - 24))
    place = text[: position.start()] if position else text
    line = int(position[1]) if position else None
    absolute = _absolute_path(place)
    if absolute >= 0:
        return Step(place[:absolute], file=place[absolute + 1 :], line=line)
    function, _, relative = place.rpartition(" ")
    if position and function and function.count("(") == function.count(")"):
        return Step(function, file=relative, line=line)
    return Step(text)


def _absolute_path(text: str) -> int:
    """The place of the first space before a slash outside of brackets; -1 when there is none."""
    depth = 0
    for mark in _BRACKETS_AND_ROOTS.finditer(text):
        if mark[0] in "([":
            depth += 1
        elif mark[0] in ")]":
            depth -= 1
        elif depth == 0:
            return mark.start()
    return -1


@dataclass(slots=True)
class _Report:
    pid: int | None
    table: StackTable = field(default_factory=StackTable)
    total: tuple[int, int] | None = None  # bytes and allocations in the summary
    allocating: set[tuple[str, str]] = field(default_factory=set)  # the sanitizer's malloc and others: address and text


@dataclass(slots=True)
class _Process:
    """``size_bytes``: in the last of its ``reports`` complete reports."""

    pid: int | None
    allocating: set[tuple[str, str]]
    size_bytes: int = 0
    reports: int = 0


def _may_be_one(before: set[tuple[str, str]], after: set[tuple[str, str]]) -> bool:
    return not before or not after or not before.isdisjoint(after)


@dataclass(slots=True)
class _Leak:
    kind: LeakKind
    size_bytes: int
    objects: int
    steps: list[int] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)


class _Reader:
    """Reads a log line by line. With ``pid``, only that process's reports count."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._report: _Report | None = None
        self._complete: _Report | None = None
        self._processes: list[_Process] = []
        self._newest: dict[int | None, _Process] = {}  # of each number
        self._of_complete: _Process | None = None
        self._leak: _Leak | None = None
        self._numbers: dict[tuple[str, str, bool], int] = {}
        self._in_suppressions = False
        self._suppressed: dict[str, tuple[int, int]] = {}
        self._failure = ""
        self._failure_pid: int | None = None
        self._searched = False
        self._lines = 0
        self._unread = Unread()

    def report(self) -> LeakReport:
        """Return the report. Raises ParseError for a log without a sanitizer's message about leaks."""
        self._end_leak()
        report = self._complete or self._report
        if report is None:
            return self._without_report()
        listed = report.table.totals()
        total = report.total or listed
        is_complete = report.total is not None and report.total[0] <= listed[0]
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._unread.status(ReportStatus.COMPLETE if is_complete else ReportStatus.TRUNCATED),
            pid=report.pid,
            total_bytes=max(total[0], listed[0]),
            total_objects=max(total[1], listed[1]),
            notes=tuple(self._notes(report, listed)),
            leaks=report.table.records(),
        )

    def _without_report(self) -> LeakReport:
        if self._failure:
            status, notes, pid = ReportStatus.NOT_RUN, [self._failure], self._failure_pid
        elif self._searched or (self._suppressed and self._pid is None):  # the table of suppressions names no process
            status, notes, pid = ReportStatus.COMPLETE, list(self._suppression_notes()), self._pid
        else:
            raise ParseError("no sanitizer says anything of leaks in this log")
        return LeakReport(checker=CHECKER, mode="", status=status, pid=pid, notes=tuple(notes))

    def _notes(self, report: _Report, listed: tuple[int, int]) -> Iterator[str]:
        if report.total is None:
            yield "The log ends before LeakSanitizer had told all that it found"
        elif report.total[0] > listed[0]:
            yield (
                f"The log lists only the largest leaks: {report.total[0] - listed[0]} bytes in "
                f"{max(0, report.total[1] - listed[1])} objects more were found (max_leaks in LSAN_OPTIONS)"
            )
        process = self._of_complete
        others = [other for other in self._processes if other is not process]
        if process is not None and process.reports > 1:
            of_it = " of this process" if any(other.pid == process.pid for other in others) else ""
            yield f"The log holds {process.reports} reports{of_it}: this is the last"
        if others and process is not None:
            words = [
                f"{'another ' if other.pid == process.pid else ''}pid {other.pid}: {other.size_bytes} bytes"
                for other in others[:NAMED_PROCESSES]
            ]
            more = [f"{len(others) - NAMED_PROCESSES} more"] if len(others) > NAMED_PROCESSES else []
            yield f"The log holds {len(others) + 1} processes: this is pid {report.pid}; {', '.join([*words, *more])}"
        if self._report is not None and self._report is not report:
            yield "Behind this report stands another one, which is cut"
        if self._failure:
            yield f"After this report: {self._failure}"
        yield from report.table.notes()
        yield from self._unread.notes()
        yield from self._suppression_notes()

    def _suppression_notes(self) -> Iterator[str]:
        for template, (count, size_bytes) in self._suppressed.items():
            yield f"{size_bytes} bytes in {count} leaks are suppressed by {template}"

    def take(self, line: str) -> None:
        self._lines += 1
        # Most lines of a log are the program's own, and most of a sanitizer's are steps of stacks.
        if self._leak is not None and (step := _STEP.match(line)):
            self._on_step(self._leak, int(step[1]), step[2], step[3])
        elif "leak of " in line and (leak := _LEAK.search(line)):
            self._end_leak()
            if self._report is not None:
                self._leak = _Leak(_KINDS[leak[1]], int(leak[2]), int(leak[3]))
        elif self._report is not None and _LOOKS_LIKE_A_LEAK.match(line):
            self._end_leak()
            self._unread.add(self._lines, line)
        elif self._leak is not None and _LOOKS_LIKE_A_STEP.match(line):
            self._unread.add(self._lines, line)
        elif "Sanitizer" in line or "ASan" in line:
            self._on_message(line)
        elif "Processing" in line and (thread := _THREAD.search(line)):
            if self._pid in (None, int(thread[1])):
                self._searched, self._failure = True, ""
        elif self._in_suppressions or _SUPPRESSIONS in line:
            self._on_suppression(line)
        elif not line:
            self._end_leak()

    def _on_message(self, line: str) -> None:
        self._end_leak()
        if begin := _BEGIN.search(line):
            pid = int(begin[1])
            wanted = self._pid in (None, pid)
            self._report = _Report(pid) if wanted else None
            self._numbers.clear()
            if wanted:
                self._suppressed.clear()
        elif summary := _SUMMARY.search(line):
            if self._report is not None:
                self._report.total = int(summary[1]), int(summary[2])
                self._complete_report(self._report)
                self._report = None
                self._failure = ""
        elif fatal := _FATAL.search(line):
            self._note_failure(_COULD_NOT_STOP_THREADS, fatal[1])
        elif first := _NOT_FIRST.search(line):
            failure = (
                "AddressSanitizer ended the program at its start: another library was loaded before it (LD_PRELOAD)"
            )
            self._note_failure(failure, first[1])
        elif other := _OTHER_ERROR.search(line):
            failure = f"{other[2]} ended the program at another error, {other[3]}, before it looked for leaks"
            self._note_failure(failure, other[1])

    def _complete_report(self, report: _Report) -> None:
        process = self._process_of(report)
        process.size_bytes = report.total[0] if report.total else 0
        process.reports += 1
        chosen = self._of_complete
        if chosen is None or chosen is process or process.size_bytes > chosen.size_bytes:
            self._complete, self._of_complete = report, process

    def _process_of(self, report: _Report) -> _Process:
        newest = self._newest.get(report.pid)
        if newest is not None and _may_be_one(newest.allocating, report.allocating):
            newest.allocating = report.allocating or newest.allocating
            return newest
        process = _Process(report.pid, report.allocating)
        if len(self._processes) < MAX_PROCESSES:
            self._processes.append(process)
            self._newest[report.pid] = process
        return process

    def _note_failure(self, failure: str, pid: str | None) -> None:
        number = int(pid) if pid else None
        if self._pid in (None, number) or number is None:
            self._failure, self._failure_pid = failure, number

    def _on_step(self, leak: _Leak, depth: int, address: str, text: str) -> None:
        report = self._report
        if report is None or len(leak.steps) > MAX_DEPTH + 1:
            return
        if depth == 0 and len(report.allocating) < MAX_ALLOCATING:
            report.allocating.add((address, text))
        # The innermost frame is the sanitizer's own malloc or operator new, whatever module it was linked into.
        key = (address, text, depth == 0)
        number = self._numbers.get(key)
        if number is None:
            step = read_step(text)
            number = report.table.frame(
                int(address, 16) + 1,
                module=step.module,
                build_id=step.build_id,
                offset=step.offset,
                function=step.function,
                file=step.file,
                line=step.line,
                allocator=depth == 0,
            )
            if number != BEYOND:
                self._numbers[key] = number
        leak.steps.append(number)
        leak.addresses.append(int(address, 16))

    def _end_leak(self) -> None:
        leak, self._leak = self._leak, None
        if leak is not None and self._report is not None:
            table = self._report.table
            table.add(leak.kind, physical_steps(leak.steps, leak.addresses, table), leak.size_bytes, leak.objects)

    def _on_suppression(self, line: str) -> None:
        self._end_leak()
        if _SUPPRESSIONS in line:
            self._in_suppressions = True
            self._suppressed.clear()
        elif _RULE.search(line):
            self._in_suppressions = False
        elif (matched := _SUPPRESSION.fullmatch(line)) and len(self._suppressed) < MAX_SUPPRESSIONS:
            self._suppressed[matched[3]] = int(matched[1]), int(matched[2])


def parse_lsan_log(stream: BinaryIO, *, pid: int | None = None) -> LeakReport:
    """Return the last complete report of a log (of process ``pid`` if given). Raises ParseError when it has none."""
    reader = _Reader(pid)
    for line in lines_without_prefix(stream, _BEGINNING, LINE_BYTES):
        reader.take(line)
    return reader.report()
