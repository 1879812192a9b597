"""Reads heaptrack's data files, as ``heaptrack PROGRAM`` writes them: what was not freed when the recording ended.

The format (KDE/heaptrack, src/analyze/accumulatedtracedata.cpp): lines of a letter and hexadecimal numbers. ``s`` a string,
``i`` an instruction pointer with its module and calls (the innermost first), ``t`` a step of a stack and the number of its
caller's, ``a`` a kind of allocation (size, stack), ``+`` and ``-`` one allocation or free of that kind. Numbers count from 1,
those of ``a`` from 0. Versions 1 to 3 of the file differ in ``s`` alone, which has a length since 3 (heaptrack 1.2 to 1.5).

Nearly all lines are ``+`` and ``-``, and most of a chunk of them are alike, so that they are counted rather than read: 5
million take 0.5 s.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.stack_table import MAX_DEPTH, StackTable
from memtui_parsers.formats.unread import EXCERPT_CHARS, Unread
from memtui_parsers.report.suppressions import Part, Pattern, matcher
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus, RunFacts

CHECKER = "heaptrack"

# Bounds against hostile files, far above what heaptrack writes of a large program.
MAX_LINES = 20_000_000  # of stacks and of kinds of allocations each
MAX_TEXTS = 2_000_000  # strings and instruction pointers, each
MAX_TEXT_BYTES = 256 << 20
MAX_LINE_BYTES = 1 << 16
MAX_INLINED = 128
MAX_EARLY = 100_000
MAX_SUPPRESSIONS = 200
MAX_SUPPRESSION_CHARS = 1000

_CHUNK_BYTES = 1 << 20
_NEWEST_VERSION = 3
# What heaptrack_print leaves out by itself: the C library and glib keep these to the end, in every program.
_KNOWN_LEAKS = (
    "__nss_module_allocate", "__gconv_read_conf", "__new_exitfn", "tzset_internal", "dl_open_worker",
    "g_main_context_new", "g_thread_self",
)  # fmt: skip


def parse_heaptrack(stream: BinaryIO) -> LeakReport:
    """Read a whole file. Raises ParseError for one that heaptrack has yet to interpret, or of an unknown version."""
    recording = _Recording()
    for lines in _chunks(stream):
        recording.take(lines)
    return recording.report()


def _chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    unfinished = b""
    while chunk := stream.read(_CHUNK_BYTES):
        lines = (unfinished + chunk).split(b"\n")
        unfinished = lines.pop()[: MAX_LINE_BYTES + 1]
        yield lines
    if unfinished:
        yield [unfinished]


class _Recording:
    """Tables of the file, in arrays by number: a large recording has millions of lines."""

    def __init__(self) -> None:
        self._version = -1
        self._strings: list[bytes] = [b""]
        self._pointers: list[bytes] = [b""]  # the lines, of which only those of leaks are read
        self._text_bytes = 0
        self._pointer_of, self._caller_of = array("I", [0]), array("I", [0])  # of the steps of stacks
        self._size, self._stack, self._left = array("Q"), array("I"), array("q")  # of the kinds of allocations
        self._suppressions = list(_KNOWN_LEAKS)
        self._argv = ""
        self._last_ms = 0
        self._attached = False
        self._early: Counter[int] = Counter()  # counts of kinds that are not defined yet
        self._lines = self._beyond = 0
        self._unread = Unread()

    def take(self, lines: list[bytes]) -> None:
        """Take the next lines of the file."""
        times = Counter(lines)
        bad: list[bytes] = []
        # Before the figures, which nearly always name a kind that is defined in the same lines.
        definitions = [line for line in times if line[:1] not in b"+-"]
        if sum(map(times.__getitem__, definitions)) > len(definitions):
            # Each line counts where it stands, as later lines name it by its number.
            definitions = [line for line in lines if line[:1] not in b"+-"]
        for line in definitions:
            try:
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError
                self._define(line[:1], line[2:])
            except ParseError:
                raise
            except (ValueError, IndexError, OverflowError):
                bad.append(line)
        for line, count in times.items():
            sign = 1 if line[:1] == b"+" else -1 if line[:1] == b"-" else 0
            if not sign:
                continue
            try:
                kind = int(line[2:], 16)
                if kind < len(self._left):
                    self._left[kind] += sign * count
                elif len(self._early) < MAX_EARLY or kind in self._early:
                    self._early[kind] += sign * count
                else:
                    self._beyond += count
            except (ValueError, IndexError, OverflowError):
                bad += [line] * count
        if bad:
            wrong = set(bad)
            at, line = next((at, line) for at, line in enumerate(lines, start=1) if line in wrong)
            self._unread.add(self._lines + at, clean(line[:EXCERPT_CHARS].decode("utf-8", "replace")))
            self._unread.count += len(bad) - 1
        self._lines += len(lines)

    def _define(self, letter: bytes, rest: bytes) -> None:
        """Take any other line. Raises ValueError, IndexError and OverflowError for what makes no sense."""
        if letter == b"t":
            pointer, caller = _numbers(rest, 2)
            if len(self._caller_of) >= MAX_LINES:
                self._beyond += 1
            elif caller >= len(self._caller_of):
                raise ValueError
            elif pointer < len(self._pointers):
                self._pointer_of.append(pointer)
                self._caller_of.append(caller)
            elif len(self._pointers) < MAX_TEXTS:
                raise ValueError
            else:
                self._pointer_of.append(0)
                self._caller_of.append(caller)
        elif letter == b"a":
            size_bytes, stack = _numbers(rest, 2)
            if len(self._size) >= MAX_LINES:
                self._beyond += 1
            else:
                self._size.append(size_bytes)
                self._stack.append(stack if stack < len(self._caller_of) else 0)
                self._left.append(0)
        elif letter == b"s":
            self._string(rest)
        elif letter == b"i":
            self._keep(self._pointers, rest)
        elif letter == b"c":
            self._last_ms = max(self._last_ms, int(rest, 16))
        elif letter == b"X":
            self._argv = rest.decode("utf-8", "replace")
        elif letter == b"A":
            self._attached = True
        elif letter == b"S":
            self._suppression(rest.strip().removeprefix(b"leak:"))
        elif letter == b"v":
            self._set_version(rest)
        elif letter in (b"x", b"m"):
            raise ParseError(
                "a raw recording of heaptrack, which has no names yet",
                todo="interpret it first: heaptrack_interpret <FILE >OUT",
            )
        elif letter not in (b"#", b"R", b"I"):
            raise ValueError

    def _set_version(self, rest: bytes) -> None:
        numbers = [int(word, 16) for word in rest.split()[:2]]
        # Before 1.0, heaptrack wrote its own version alone, and the last of these files are what is version 1 now.
        self._version = numbers[1] if len(numbers) > 1 else int(numbers == [0x10200])
        if not 1 <= self._version <= _NEWEST_VERSION:
            todo = "convert it: heaptrack_print --flamegraph-cost-type leaked -F OUT FILE"
            raise ParseError(f"version {self._version} of heaptrack's data, which memtui does not know", todo=todo)

    def _string(self, rest: bytes) -> None:
        if self._version >= 3:
            length, _, rest = rest.partition(b" ")
            rest = rest[: int(length, 16)]
        self._keep(self._strings, rest)

    def _keep(self, texts: list[bytes], text: bytes) -> None:
        self._text_bytes += len(text)
        if self._text_bytes > MAX_TEXT_BYTES or len(texts) >= MAX_TEXTS:
            self._beyond += 1
            text = b""
        if len(texts) < MAX_TEXTS:
            texts.append(text)

    def _suppression(self, text: bytes) -> None:
        """Take a suppression in LeakSanitizer's syntax. Raises ValueError for an empty one."""
        if not text:
            raise ValueError
        if len(self._suppressions) >= MAX_SUPPRESSIONS or len(text) > MAX_SUPPRESSION_CHARS:
            self._beyond += 1
        else:
            self._suppressions.append(text.decode("utf-8", "replace"))

    def report(self) -> LeakReport:
        if self._version < 0:
            raise ParseError("no data of heaptrack: it does not begin with a version")
        if not self._size:
            raise ParseError("a recording with no allocation in it: the program ended too early, or the file is cut")
        for kind in [kind for kind in self._early if kind < len(self._left)]:
            self._left[kind] += self._early.pop(kind)
        undefined = sum(map(abs, self._early.values()))
        stacks: dict[int, list[int]] = {}
        wrong = 0
        for size_bytes, stack, left in zip(self._size, self._stack, self._left, strict=True):
            if left > 0:
                sums = stacks.setdefault(stack, [0, 0])
                sums[0] += size_bytes * left
                sums[1] += left
            wrong += left < 0
        frames = _Frames(self._strings, self._pointers, self._suppressions)
        left_out_bytes = left_out = 0
        for stack, (size_bytes, objects) in stacks.items():
            pointers = self._pointers_of(stack)
            if frames.suppressed(pointers):
                left_out_bytes, left_out = left_out_bytes + size_bytes, left_out + objects
            else:
                frames.table.add(LeakKind.NOT_FREED, frames.steps(pointers), size_bytes, objects)
        total_bytes, total_objects = frames.table.totals()
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=ReportStatus.TRUNCATED if undefined or self._beyond else self._unread.status(ReportStatus.COMPLETE),
            argv=tuple(clean(self._argv).split()),
            run=RunFacts(seconds=self._last_ms / 1000),
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=(*self._notes(left_out_bytes, left_out, wrong, undefined), *frames.table.notes()),
            leaks=frames.table.records(),
        )

    def _pointers_of(self, step: int) -> list[int]:
        pointers: list[int] = []
        # A caller's number is below its own, so that this ends. One more than is kept, so that the cut is counted.
        while step and len(pointers) <= MAX_DEPTH:
            pointers.append(self._pointer_of[step])
            step = self._caller_of[step]
        return pointers

    def _notes(self, left_out_bytes: int, left_out: int, wrong: int, undefined: int) -> Iterator[str]:
        yield "What was not freed when the recording ended, reachable or not: heaptrack does not look for what is lost"
        if self._attached:
            yield "heaptrack was attached to a running process: what was allocated before is not counted"
        if left_out:
            why = "heaptrack_print does not count them either (the program or heaptrack suppresses them)"
            yield f"{left_out_bytes} bytes in {left_out} objects are left out: {why}"
        if wrong:
            yield f"{wrong} kinds of allocations were freed more often than made: their figures are left out"
        yield from self._unread.notes()
        if undefined:
            yield f"{undefined} allocations and frees are left out: the file does not say of what"
        if self._beyond:
            yield f"{self._beyond} lines beyond what memtui holds are left out"


class _Frames:
    """The frames of instruction pointers, read when the first stack needs them."""

    def __init__(self, strings: list[bytes], pointers: list[bytes], suppressions: list[str]) -> None:
        self.table = StackTable()
        self._strings = strings
        self._pointers = pointers
        self._numbers: dict[int, list[int]] = {}
        self._suppressions = [matcher(Pattern(Part.ANY, text)) for text in suppressions]
        self._suppressed: dict[int, bool] = {}

    def steps(self, pointers: list[int]) -> list[int]:
        """The frames' numbers in the table, leaf first."""
        steps: list[int] = []
        for pointer in pointers:
            numbers = self._numbers.get(pointer)
            if numbers is None:
                numbers = self._numbers[pointer] = self._read(pointer)
            steps += numbers
        return steps

    def suppressed(self, pointers: list[int]) -> bool:
        """Whether a name on the stack is one of a suppressed leak."""
        for pointer in pointers:
            known = self._suppressed.get(pointer)
            if known is None:
                _, module, calls = _pointer(self._pointers[pointer])
                numbers = {module, *(number for function, file, _ in calls for number in (function, file))}
                known = self._suppressed[pointer] = any(
                    matches(text) for text in map(self._text, numbers) if text for matches in self._suppressions
                )
            if known:
                return True
        return False

    def _read(self, pointer: int) -> list[int]:
        address, module, calls = _pointer(self._pointers[pointer])
        named = [call for call in calls if call[0]] or calls[:1]
        return [
            self.table.frame(
                address,
                module=self._text(module),
                function=self._text(function),
                file=self._text(file),
                line=line if 0 < line < 1 << 31 else None,
                inlined=depth < len(named),
            )
            for depth, (function, file, line) in enumerate(named, start=1)
        ]

    def _text(self, number: int) -> str:
        return self._strings[number].decode("utf-8", "replace") if number < len(self._strings) else ""


def _pointer(line: bytes) -> tuple[int, int, list[tuple[int, int, int]]]:
    """An instruction pointer's address, the number of its module, and (function, file, line) of its calls, 0 for none.

    A function without a line has no file either; all may be missing.
    """
    try:
        numbers = [int(word, 16) for word in line.split()[: 2 + 3 * MAX_INLINED]]
    except ValueError:
        numbers = []
    address, module, *first = [*numbers[:5], 0, 0, 0, 0, 0][:5]
    more = zip(numbers[5::3], numbers[6::3], numbers[7::3], strict=False)
    calls = [(first[0], first[1], first[2]), *more]
    return min(address, (1 << 64) - 1), module, calls


def _numbers(rest: bytes, count: int) -> list[int]:
    numbers = [int(word, 16) for word in rest.split()]
    if len(numbers) != count or min(numbers) < 0:
        raise ValueError
    return numbers
