"""Reads memcheck's reports as text: logs that were saved without --xml, and vgdb's and gdb's answers while a target runs.

Each line of valgrind's begins with the pid. A text may hold several processes, and of each several checks: records, then
their summary. The last whole check of the process that lost most is the report. What the summary counts beyond the
records becomes records without a stack; by default valgrind writes the summary alone.

The texts are those of memcheck/mc_leakcheck.c (print_results), mc_errors.c (pp_LossRecord), mc_malloc_wrappers.c
(print_malloc_stats) and coregrind/m_errormgr.c. Addresses are those of the byte before the return address. The text names
no module for some frames; the caller, who knows the process's mappings, adds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.line_prefix import lines_without_prefix
from memtui_parsers.formats.stack_table import MAX_DEPTH, StackTable
from memtui_parsers.formats.unread import Unread
from memtui_parsers.formats.valgrind.frames import Frames
from memtui_parsers.formats.valgrind.records import (
    GROUPED,
    RERUN,
    SUMMARY_KINDS,
    SUPPRESSED,
    Counts,
    ErrorTable,
    LeakCheck,
    direct_bytes,
    record_number,
    ungrouped,
)
from memtui_parsers.values import LeakRecord, LeakReport, ReportStatus

CHECKER = "memcheck"
MAX_LINE_CHARS = 16 << 10
MAX_PROCESSES = 1000
NAMED_PROCESSES = 5
MAX_PARAGRAPH_PARTS = 100

# The beginning of a line: ==PID==, with --time-stamp=yes ==00:00:00:00.069 PID==; -- and ** are for other messages.
_MARK = r"(?:==|--|\*\*)"
_BEGINNING = re.compile(rf"{_MARK}(?:[0-9:.]{{15,20}} )?(?P<pid>[0-9]{{1,10}}){_MARK}(?= |$)")
_KINDS = {name.replace("_", " "): kind for name, kind in SUMMARY_KINDS.items()}
_NAMES = {words: words.replace(" ", "_") for words in _KINDS} | {SUPPRESSED: SUPPRESSED}
_RECORD = re.compile(
    rf"{GROUPED} (?:\({GROUPED} direct, {GROUPED} indirect\) )?bytes in {GROUPED} blocks? (?:are|is) "
    rf"(?P<kind>{'|'.join(_KINDS)}) in (?:new )?loss record [\d,]{{1,16}} of [\d,]{{1,16}}"
)
_SUM = re.compile(rf"\s*(?P<name>{'|'.join(_NAMES)}): {GROUPED} bytes in {GROUPED} blocks?\.?")
_IN_USE = re.compile(rf"\s*(?:malloc/free: )?in use at exit: {GROUPED} bytes in {GROUPED} blocks?\.?")
_SUMMARY = "LEAK SUMMARY:"
_ALL_FREED = re.compile("All heap blocks were freed|no leaks are possible")
_COMMAND = "Command: "
_MEMCHECK = "Memcheck, a memory error detector"
_ASKED = re.compile("give 'full' arg to leak_check|args to leak_check")
# With -s valgrind repeats all errors at the end: "2 errors in context 1 of 3:".
_REPEATED = re.compile(r"\s*(\d{1,12}) errors in context \d{1,12} of \d{1,12}:")
# The answer to block_list is a record, then its blocks.
_BLOCK = re.compile(r"\s*0x[0-9A-Fa-f]{1,16}\[\d{1,20}\]")
_FATAL = re.compile(r"\s*FATAL: (.*)")
_SIGNAL = re.compile(r"Process terminating with default action of signal \d{1,3} \((SIG[A-Z0-9+]{1,20})\)")
_FRAME = re.compile(r"\s*(?:at|by) (0x.*)")
# Words of the lines that must be understood.
_SIGNS = (" loss record ", *(f"{words}:" for words in _KINDS))

# What errors are called in the XML, by the beginning of their text.
_ERRORS = {
    "Invalid read": "InvalidRead",
    "Invalid write": "InvalidWrite",
    "Invalid free": "InvalidFree",
    "Mismatched free": "MismatchedFree",
    "Conditional jump": "UninitCondition",
    "Use of uninitialised": "UninitValue",
    "Syscall param": "SyscallParam",
    "Source and destination overlap": "Overlap",
    "Jump to the invalid": "InvalidJump",
    "Argument '": "FishyValue",
    "realloc() with size 0": "ReallocSizeZero",
    "File descriptor": "FdNotClosed",
    "Open file descriptor": "FdNotClosed",
}


class _Process:
    """What the lines of one pid tell, in their order: paragraphs of a text and its stack, and single lines."""

    def __init__(self, pid: int, frames: Frames) -> None:
        self.pid = pid
        self.announced = False
        self.in_use: Counts | None = None
        self.whole: LeakCheck | None = None
        self.whole_checks = 0
        self.summary_is_cut = True
        self.argv: tuple[str, ...] = ()
        self.signal = ""
        self.failure = ""
        self.errors = ErrorTable(frames.table)
        self._frames = frames
        self._check = self._new_check()
        self._sums: dict[str, Counts] | None = None
        self._record: tuple[re.Match[str], str] | None = None
        self._paragraph: list[str | list[int]] = []
        self._repeats = 0
        self._of_signal = False

    @property
    def check(self) -> LeakCheck | None:
        """The last whole check, else one that is cut; None: it looked for no leaks."""
        return self.whole or (self._check if self._check.records else None)

    @property
    def is_cut(self) -> bool:
        """Whether records stand behind the last whole check."""
        return bool(self._check.records)

    def take(self, text: str) -> bool:
        """Take a line; return whether it was understood, or is no figure."""
        if frame := _FRAME.match(text):
            return self._on_frame(frame[1])
        if not text.strip():
            self.end_paragraph()
            return True
        if _BLOCK.match(text):
            self._record = None
            self._paragraph.clear()
            return True
        if record := _RECORD.search(text):
            if self._paragraph or self._record is not None:
                self.end_paragraph()
            self._record = record, text
            return True
        return self._on_line(text)

    def end_paragraph(self) -> None:
        record, self._record = self._record, None
        paragraph, self._paragraph = self._paragraph, []
        repeats, self._repeats = self._repeats, 0
        of_signal, self._of_signal = self._of_signal, False
        stacks = [part for part in paragraph if isinstance(part, list)]
        if record is not None:
            if not repeats:
                self._add_record(*record, stacks[0] if stacks else [])
        elif stacks and isinstance(paragraph[0], str) and not of_signal:
            self._add_error(paragraph, repeats)

    def _on_frame(self, text: str) -> bool:
        number = self._frames.number(text)
        if number is None:
            return False
        if self._paragraph and isinstance(stack := self._paragraph[-1], list):
            if len(stack) <= MAX_DEPTH + 1:
                stack.append(number)
        elif len(self._paragraph) < MAX_PARAGRAPH_PARTS:
            self._paragraph.append([number])
        return True

    def _on_line(self, text: str) -> bool:
        if matched := _SUM.match(text):
            if self._sums is not None:
                self._sums[_NAMES[matched["name"]]] = Counts(ungrouped(matched[2]), ungrouped(matched[3]))
                self.summary_is_cut = SUPPRESSED not in self._sums  # the last
            return self._sums is not None
        if any(sign in text for sign in _SIGNS):
            return False
        if _SUMMARY in text or _ALL_FREED.search(text):
            self.end_paragraph()
            self._end_check()
            self.summary_is_cut = _SUMMARY in text
        elif _MEMCHECK in text:
            self.announced = True
        elif matched := _IN_USE.match(text):
            self.in_use = Counts(ungrouped(matched[1]), ungrouped(matched[2]))
        elif _ASKED.search(text) and self.whole is not None:
            self.whole.asked = True
        elif matched := _REPEATED.match(text):
            self.end_paragraph()
            self._repeats = int(matched[1])
        elif matched := _SIGNAL.search(text):
            self.end_paragraph()
            self.signal, self._of_signal = matched[1], True
        elif matched := _FATAL.match(text):
            self.failure = self._frames.table.text(matched[1])
        elif text.startswith(_COMMAND):
            self.argv = tuple(text.removeprefix(_COMMAND).split())
        elif len(self._paragraph) == 1 and isinstance(self._paragraph[0], str):
            self._paragraph[0] = (
                text  # the line before the stack is the error's own, others are "Thread 2:" and the like
            )
        elif len(self._paragraph) < MAX_PARAGRAPH_PARTS:
            self._paragraph.append(text)
        return True

    def _add_record(self, matched: re.Match[str], text: str, numbers: list[int]) -> None:
        # The groups: all bytes, direct, indirect, blocks.
        size_bytes, blocks = ungrouped(matched[1]), ungrouped(matched[4])
        record = record_number(text)
        if not self._check.goes_on(record):
            # A check that wrote no summary, as with -q.
            self._check.table.clear_leaks()
            self._check = self._new_check()
        direct = direct_bytes(text, size_bytes)
        self._check.indirect_bytes += size_bytes - direct
        self._check.add(_KINDS[matched["kind"]], self._frames.steps(numbers), direct, blocks, record)

    def _add_error(self, paragraph: list[str | list[int]], repeats: int) -> None:
        whole = [self._frames.steps(part) if isinstance(part, list) else part.strip() for part in paragraph]
        what, unique = whole[0], repr(whole)
        if repeats:
            self.errors.count(unique, repeats)
            return
        kind = next((name for words, name in _ERRORS.items() if str(what).startswith(words)), "Message")
        fields: list[object] = []
        for at, part in enumerate(whole):
            fields += ["stack" if isinstance(part, tuple) else "what" if at == 0 else "auxwhat", part]
        self.errors.add(unique, kind, fields)

    def _end_check(self) -> None:
        if self.whole is not None:
            self.whole.table.clear_leaks()
        self._sums = {}
        self.whole, self._check = self._check, self._new_check()
        self.whole.summary = self._sums
        self.whole_checks += 1

    def _new_check(self) -> LeakCheck:
        return LeakCheck(StackTable(beside=self._frames.table))


class _Reader:
    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._frames = Frames(StackTable())
        self._processes: dict[int, _Process] = {}
        self._left_out = 0
        self._unread = Unread()

    def report(self, stream: BinaryIO) -> LeakReport:
        """Return the report. Raises ParseError when no message of memcheck is in it."""
        for number, line in enumerate(lines_without_prefix(stream, _BEGINNING, MAX_LINE_CHARS), start=1):
            self._take(number, line)
        for process in self._processes.values():
            process.end_paragraph()
        known = self._known()
        if not known:
            raise ParseError("no leak check of valgrind's memcheck is in it")
        for process in known:
            if process.check is not None:
                process.check.close()
        chosen = next((process for process in known if process.pid == self._pid), None)
        chosen = chosen or max(known, key=lambda process: process.check.lost() if process.check else Counts(-1, -1))
        return self._report_of(chosen, [process for process in known if process is not chosen])

    def _known(self) -> list[_Process]:
        """The processes that memcheck speaks of."""
        return [p for p in self._processes.values() if p.announced or p.in_use is not None or p.check is not None]

    def _take(self, number: int, line: str) -> None:
        beginning = _BEGINNING.match(line)
        if beginning is None:
            # The program's own output: a paragraph of valgrind's has none in it.
            return
        pid = int(beginning["pid"])
        process = self._processes.get(pid)
        if process is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._left_out += 1
                return
            process = self._processes[pid] = _Process(pid, self._frames)
        if line.startswith("==") and not process.take(line[beginning.end() + 1 :]):
            self._unread.add(number, line)

    def _report_of(self, process: _Process, others: list[_Process]) -> LeakReport:
        check = process.check
        status = ReportStatus.NOT_RUN
        leaks: tuple[LeakRecord, ...] = ()
        total_bytes = total_objects = 0
        if check is not None:
            is_whole = not (process.summary_is_cut or check.is_limited())
            status = ReportStatus.COMPLETE if is_whole else ReportStatus.TRUNCATED
            leaks = check.table.records()
            total_bytes, total_objects = check.table.totals()
        elif process.in_use == Counts(0, 0):
            status = ReportStatus.COMPLETE
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._unread.status(status),
            argv=process.argv,
            pid=process.pid,
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=(*self._notes(process), *self._other_notes(process, others), *self._unread.notes()),
            leaks=leaks,
            errors=tuple(process.errors.values()),
        )

    def _notes(self, process: _Process) -> Iterator[str]:
        check = process.check
        if process.signal:
            yield f"The program was ended by {process.signal}"
        if process.failure:
            yield f"valgrind gave up: {process.failure}"
        elif check is None and process.in_use is None:
            yield "The text ends before the program did: it was killed, or still runs; valgrind looks for leaks at the end"
        elif check is None and process.in_use and process.in_use.blocks:
            yield f"valgrind did not look for leaks. {process.in_use.words()} were in use at the end. {RERUN}"
        elif check is not None and process.summary_is_cut:
            yield "The text has no whole leak summary: it is cut, or valgrind ran with -q"
            if process.in_use:
                yield f"{process.in_use.words()} were in use at the end"
        if check is not None:
            yield from check.notes()
            yield from check.table.notes()
        yield from process.errors.notes()
        if process.whole_checks > 1:
            yield f"The text holds {process.whole_checks} leak checks: this is the last"
        if process.whole is not None and process.is_cut:
            yield "Behind this check stands another one, which is cut"

    def _other_notes(self, process: _Process, others: list[_Process]) -> Iterator[str]:
        if others:
            words = [f"pid {other.pid}: {_lost_words(other)}" for other in others[:NAMED_PROCESSES]]
            if len(others) > NAMED_PROCESSES:
                words.append(f"{len(others) - NAMED_PROCESSES} more")
            yield f"The text holds {len(others) + 1} processes: this is pid {process.pid}; {', '.join(words)}"
        if self._left_out:
            yield f"{self._left_out} lines of processes beyond the first {MAX_PROCESSES} are left out"


def _lost_words(process: _Process) -> str:
    if process.check is None:
        return "not checked"
    lost = process.check.lost()
    return f"{lost.words()} lost" if lost.blocks or lost.bytes else "nothing lost"


def parse_valgrind_text(stream: BinaryIO, *, pid: int | None = None) -> LeakReport:
    """Parse a whole text; ``pid`` picks one of its processes. Raises ParseError when it holds nothing of memcheck."""
    return _Reader(pid).report(stream)
