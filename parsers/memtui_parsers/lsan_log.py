"""LeakSanitizer's reports, and the leak sections of AddressSanitizer's, out of whatever else a log holds (gcc's and clang's).

A log may hold several reports, of live checks or of several processes: the last whole one is taken. A process with no leak
writes nothing at all, unless suppressions matched or LSAN_OPTIONS=log_threads=1 has it name each thread that it looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from memtui_parsers.clean_text import LineCleaner
from memtui_parsers.errors import ParseError
from memtui_parsers.sanitizer_frames import STEP, read_step
from memtui_parsers.stack_table import BEYOND, MAX_DEPTH, StackTable, physical_steps
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "lsan"
MAX_SUPPRESSIONS = 100
LINE_BYTES = 1 << 14
CHUNK_BYTES = 1 << 16

_KINDS = {"Direct": LeakKind.DIRECT, "Indirect": LeakKind.INDIRECT}
_BEGIN = re.compile(r"==(\d{1,10})==\s?ERROR: LeakSanitizer: detected memory leaks")
_LEAK = re.compile(r"(Direct|Indirect) leak of (\d{1,18}) byte\(s\) in (\d{1,18}) object\(s\) allocated from:")
_SUMMARY = re.compile(r"SUMMARY: \w{1,40}: (\d{1,18}) byte\(s\) leaked in (\d{1,18}) allocation\(s\)")
_FATAL = re.compile(r"(?:==(\d{1,10})==\s?)?LeakSanitizer has encountered a fatal error")
_OTHER_ERROR = re.compile(r"==(\d{1,10})==\s?ERROR: (\w{1,40}Sanitizer): ([\w-]{1,80})")
_NOT_FIRST = re.compile(r"==(\d{1,10})==\s?ASan runtime does not come first")
_THREAD = re.compile(r"==\d{1,10}==\s?Processing thread (\d{1,10})\.")
_SUPPRESSIONS = "Suppressions used:"
_SUPPRESSION = re.compile(r"\s*(\d{1,18})\s+(\d{1,18})\s(\S.*)")
_RULE = re.compile(r"-{20,}")

_FATAL_WORDS = (
    "LeakSanitizer could not stop the program's threads to look for leaks: something else traces the program (strace, gdb), "
    "or ptrace is forbidden here, as in many containers: run it without the tracer, or with --cap-add=SYS_PTRACE"
)


@dataclass(slots=True)
class _Report:
    pid: int | None
    table: StackTable = field(default_factory=StackTable)
    total: tuple[int, int] | None = None  # bytes, allocations: what the summary says


@dataclass(slots=True)
class _Leak:
    kind: LeakKind
    size_bytes: int
    objects: int
    steps: list[int] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)
    deeper: int = 0


class LsanLogParser:
    """Takes the log in chunks of any size. ``pid``: only what that process says counts."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._cleaner = LineCleaner(LINE_BYTES)
        self._report: _Report | None = None
        self._whole: _Report | None = None
        self._wholes = 0
        self._leak: _Leak | None = None
        self._numbers: dict[tuple[str, str, bool], int] = {}
        self._in_suppressions = False
        self._suppressed: dict[str, tuple[int, int]] = {}
        self._why_not = ""
        self._why_not_pid: int | None = None
        self._looked = False

    def feed(self, chunk: bytes) -> None:
        for line in self._cleaner.feed(chunk):
            self._read(line)

    def finish(self) -> LeakReport:
        """Raises ParseError when no sanitizer says anything of leaks."""
        for line in self._cleaner.finish():
            self._read(line)
        self._end_leak()
        report = self._whole or self._report
        if report is None:
            return self._without_report()
        listed = report.table.totals()
        total = report.total or listed
        whole = report.total is not None and report.total[0] <= listed[0]
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=ReportStatus.COMPLETE if whole else ReportStatus.TRUNCATED,
            pid=report.pid,
            total_bytes=max(total[0], listed[0]),
            total_objects=max(total[1], listed[1]),
            notes=tuple(self._notes(report, listed)),
            leaks=report.table.records(),
        )

    def _without_report(self) -> LeakReport:
        if self._why_not:
            status, notes, pid = ReportStatus.NOT_RUN, [self._why_not], self._why_not_pid
        elif self._looked or (self._suppressed and self._pid is None):  # the table of suppressions names no process
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
        if self._wholes > 1:
            yield f"The log holds {self._wholes} reports: this is the last"
        if self._report is not None and self._report is not report:
            yield "Behind this report stands another one, which is cut"
        if self._why_not:
            yield f"After this report: {self._why_not}"
        yield from report.table.notes()
        yield from self._suppression_notes()

    def _suppression_notes(self) -> Iterator[str]:
        for template, (count, size_bytes) in self._suppressed.items():
            yield f"{size_bytes} bytes in {count} leaks are suppressed by {template}"

    def _read(self, line: str) -> None:
        # Most lines of a log are none of ours, and most of ours are steps.
        if self._leak is not None and (step := STEP.match(line)):
            self._on_step(self._leak, int(step[1]), step[2], step[3])
        elif "leak of " in line and (leak := _LEAK.search(line)):
            self._end_leak()
            if self._report is not None:
                self._leak = _Leak(_KINDS[leak[1]], int(leak[2]), int(leak[3]))
        elif "Sanitizer" in line or "ASan" in line:
            self._on_message(line)
        elif "Processing" in line and (thread := _THREAD.search(line)):
            if self._pid in (None, int(thread[1])):
                self._looked, self._why_not = True, ""
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
                self._whole, self._report = self._report, None
                self._wholes += 1
                self._why_not = ""
        elif fatal := _FATAL.search(line):
            self._note_failure(_FATAL_WORDS, fatal[1])
        elif first := _NOT_FIRST.search(line):
            words = "AddressSanitizer ended the program at its start: another library was loaded before it (LD_PRELOAD)"
            self._note_failure(words, first[1])
        elif other := _OTHER_ERROR.search(line):
            words = f"{other[2]} ended the program at another error, {other[3]}, before it looked for leaks"
            self._note_failure(words, other[1])

    def _note_failure(self, words: str, pid: str | None) -> None:
        number = int(pid) if pid else None
        if self._pid in (None, number) or number is None:
            self._why_not, self._why_not_pid = words, number

    def _on_step(self, leak: _Leak, depth: int, address: str, text: str) -> None:
        report = self._report
        if report is None or len(leak.steps) > MAX_DEPTH + 1:
            return
        # The innermost is the sanitizer's own malloc or operator new, wherever it is linked in.
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
    """The last whole report of the log, of process ``pid`` where that is given. Raises ParseError when it holds none."""
    parser = LsanLogParser(pid)
    while chunk := stream.read(CHUNK_BYTES):
        parser.feed(chunk)
    return parser.finish()
