"""Reads heap profiles in pprof's protocol buffer (google/pprof, proto/profile.proto), after gzip was removed.

Go, gperftools' newer pprof, tcmalloc and the profilers of Rust and Node.js write it. Its strings come last, so samples,
locations and functions are kept by number until then.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import BinaryIO, NamedTuple

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.pprof.protobuf_wire import CutShortError, Value, fields, packed, signed, stream_fields
from memtui_parsers.formats.pprof.sample_types import Columns, Counted, SampleType, bytes_in, choose
from memtui_parsers.formats.stack_table import MAX_DEPTH, StackTable
from memtui_parsers.report.samples import few_samples_note
from memtui_parsers.values import LeakKind, LeakReport, Mapping, ReportStatus

CHECKER = "pprof"

# Bounds against hostile files, far above what profilers write.
MAX_STACKS = 500_000
MAX_STEPS = 20_000_000
MAX_ENTRIES = 500_000  # of locations, functions, strings each
MAX_LINES = 2_000_000
MAX_INLINED = 128
MAX_STRING_BYTES = 64 << 20
MAX_MAPPINGS = 100_000
MAX_SAMPLE_TYPES = 64

_GNU_BUILD_ID = re.compile(r"(?:[0-9a-f]{2}){4,64}")


class PprofProfile(NamedTuple):
    """A profile as a report, and the mappings of its process, with which frames without a function can be named."""

    report: LeakReport
    mappings: tuple[Mapping, ...]


class _Location(NamedTuple):
    mapping: int
    address: int
    lines: tuple[tuple[int, int], ...]  # (function, line), the innermost call first


class _Function(NamedTuple):
    name: int
    system_name: int
    file: int


class _MappingEntry(NamedTuple):
    start: int
    end: int
    offset: int
    path: int
    build_id: int


def parse_pprof(stream: BinaryIO, sample_type: str = "") -> PprofProfile:
    """Read what is in use by stack, or what ``sample_type`` names.

    Raises ParseError for what is no profile, does not count bytes, or has no such sample type.
    """
    message = _Message(sample_type)
    try:
        for number, value in stream_fields(stream):
            message.take(number, value)
    except CutShortError:
        if not message.samples:
            raise
        message.cut = True
    return message.profile()


class _Message:
    """Collects the profile's fields in the order of the file."""

    def __init__(self, sample_type: str) -> None:
        self.samples: dict[tuple[int, ...], list[int]] = {}
        self.cut = False
        self._wanted = sample_type
        self._types: list[tuple[int, int]] = []
        self._locations: dict[int, _Location] = {}
        self._functions: dict[int, _Function] = {}
        self._mappings: dict[int, _MappingEntry] = {}
        self._strings: list[bytes] = []
        self._string_bytes = self._lines = self._steps = 0
        self._period = self._time_ns = 0
        self._period_type: tuple[int, int] = (0, 0)
        self._default_type = 0
        self._beyond = self._undefined = 0

    def take(self, number: int, value: Value) -> None:
        if number == 9 and isinstance(value, int):
            self._time_ns = signed(value)
        elif number == 12 and isinstance(value, int):
            self._period = signed(value)
        elif number == 14 and isinstance(value, int):
            self._default_type = value
        if isinstance(value, int):
            return
        if number == 1 and len(self._types) < MAX_SAMPLE_TYPES:
            self._types.append(_value_type(value))
        elif number == 2:
            self._sample(value)
        elif number == 3 and len(self._mappings) < MAX_MAPPINGS:
            self._mapping(value)
        elif number == 4 and len(self._locations) < MAX_ENTRIES:
            self._location(value)
        elif number == 5 and len(self._functions) < MAX_ENTRIES:
            numbers = _integers(value)
            self._functions[numbers.get(1, 0)] = _Function(numbers.get(2, 0), numbers.get(3, 0), numbers.get(4, 0))
        elif number == 6 and len(self._strings) < MAX_ENTRIES:
            self._string_bytes += len(value)
            self._strings.append(value if self._string_bytes <= MAX_STRING_BYTES else b"")
        elif number == 11:
            self._period_type = _value_type(value)

    def profile(self) -> PprofProfile:
        if not self._types:
            raise ParseError("no pprof profile: it says of nothing what its samples count")
        if not self.samples:
            raise ParseError("a profile without samples: nothing was recorded, or the rest of the file is missing")
        columns = self._columns()
        table = StackTable()
        numbers = {identifier: self._frames(location, table) for identifier, location in self._locations.items()}
        period_bytes = 0 if columns.counted is Counted.OTHER else self._period_bytes()
        kind, shrunk_bytes, shrunk = self._kind(columns), 0, 0
        for identifiers, values in self.samples.items():
            size_bytes, objects = _at(values, columns.size) * columns.unit_bytes, _at(values, columns.objects)
            if size_bytes < 0 or (size_bytes == 0 and objects < 0):
                shrunk_bytes, shrunk = shrunk_bytes - size_bytes, shrunk + 1
            elif size_bytes or objects:
                self._undefined += not numbers.keys() >= set(identifiers)
                calls = chain.from_iterable(numbers.get(identifier, ()) for identifier in identifiers)
                samples = _samples(size_bytes, objects, period_bytes) if kind is not LeakKind.GROWTH else None
                # One more than the table keeps, so that it counts the cut.
                table.add(kind, list(islice(calls, MAX_DEPTH + 1)), size_bytes, max(0, objects), samples)
        total_bytes, total_objects = table.totals()
        leaks = table.records()
        if not leaks and not shrunk:
            raise _nothing(columns)
        few = few_samples_note([leak.samples for leak in leaks if leak.samples is not None])
        report = LeakReport(
            checker=CHECKER,
            mode="",
            status=ReportStatus.TRUNCATED if self.cut else ReportStatus.COMPLETE,
            argv=self._argv(),
            started=_iso(self._time_ns),
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=(
                *self._notes(columns),
                *few,
                *_shrunk_note(shrunk_bytes, shrunk, total_bytes),
                *table.notes(),
            ),
            leaks=leaks,
        )
        return PprofProfile(report, tuple(self._mapped()))

    def _sample(self, message: bytes) -> None:
        locations: list[int] = []
        values: list[int] = []
        for number, value in fields(message):
            if number == 1:
                locations += packed(value)
            elif number == 2:
                values += map(signed, packed(value))
        stack = tuple(locations[: MAX_DEPTH + 1])
        before = self.samples.get(stack)
        if before is None:
            self._steps += len(stack)
            if stack and (len(self.samples) >= MAX_STACKS or self._steps > MAX_STEPS):
                self._beyond += 1
                stack = ()
            before = self.samples.setdefault(stack, [])
        before[:] = [a + b for a, b in zip_longest(before, values[:MAX_SAMPLE_TYPES], fillvalue=0)]

    def _location(self, message: bytes) -> None:
        identifier = mapping = address = 0
        lines: list[tuple[int, int]] = []
        for number, value in fields(message):
            if number == 4 and isinstance(value, bytes) and len(lines) < MAX_INLINED and self._lines < MAX_LINES:
                numbers = _integers(value)
                lines.append((numbers.get(1, 0), numbers.get(2, 0)))
                self._lines += 1
            elif isinstance(value, int):
                if number == 1:
                    identifier = value
                elif number == 2:
                    mapping = value
                elif number == 3:
                    address = value
        self._locations[identifier] = _Location(mapping, address, tuple(lines))

    def _mapping(self, message: bytes) -> None:
        numbers = _integers(message)
        self._mappings[numbers.get(1, 0)] = _MappingEntry(*(numbers.get(n, 0) for n in (2, 3, 4, 5, 6)))

    def _columns(self) -> Columns:
        numbers = max(map(max, self._types))
        if numbers >= len(self._strings):
            self.cut = True  # between two fields, which looks like the file's own end
            return Columns(len(self._types) - 1, len(self._types) - 2, 1, Counted.OTHER, "", ())
        types = [SampleType(self._text(name), self._text(unit)) for name, unit in self._types]
        return choose(types, self._text(self._default_type), self._wanted)

    def _period_bytes(self) -> int:
        """How many bytes lie between two samples on average; 0 or 1: the file does not say, or all is counted."""
        return self._period * bytes_in(self._text(self._period_type[1]))

    def _kind(self, columns: Columns) -> LeakKind:
        if any(_at(values, columns.size) < 0 for values in self.samples.values()):
            return LeakKind.GROWTH
        return LeakKind.ALLOCATED if columns.counted is Counted.ALLOCATED else LeakKind.IN_USE

    def _frames(self, location: _Location, table: StackTable) -> list[int]:
        mapping = self._mappings.get(location.mapping)
        build_id = self._text(mapping.build_id) if mapping else ""
        path = self._text(mapping.path) if mapping else ""
        # A location's address lies within the call instruction; frames have the return address.
        address = min(location.address + 1, (1 << 64) - 1) if location.address else 0
        if not _GNU_BUILD_ID.fullmatch(build_id):
            build_id = ""
        frames = []
        for depth, (function, line) in enumerate(location.lines or ((0, 0),), start=1):
            named = self._functions.get(function)
            name, system_name, file = (self._text(n) for n in named) if named else ("", "", "")
            frames.append(
                table.frame(
                    address,
                    module=path,
                    build_id=build_id,
                    function=name,
                    linkage_name=system_name if system_name != name else "",
                    file=file,
                    line=line if 0 < line < 1 << 31 else None,
                    inlined=depth < len(location.lines),
                )
            )
        return frames

    def _mapped(self) -> Iterator[Mapping]:
        for entry in self._mappings.values():
            if entry.start < entry.end <= 1 << 64:
                # The profile states no inode; 0 would mean that the mapping is of no file.
                yield Mapping(entry.start, entry.end, "r-xp", entry.offset, 1, clean(self._text(entry.path)))

    def _argv(self) -> tuple[str, ...]:
        """The program's path: the format says that the first mapping is the program's."""
        first = next(iter(self._mappings.values()), None)
        path = clean(self._text(first.path)) if first else ""
        return (path,) if path and not path.startswith("[") else ()

    def _notes(self, columns: Columns) -> Iterator[str]:
        if self.cut:
            yield "The file ends in the middle: names that stood behind it are missing"
        if not columns.name:
            # Go, gperftools and tcmalloc write objects before bytes, and what is in use last.
            yield "What the figures count was cut off, too: the last is taken for bytes in use"
        elif columns.counted is Counted.ALLOCATED:
            yield f"These figures ({columns.name}) count all that was ever allocated, freed or not"
        if columns.others:
            others = ", ".join(columns.others)
            yield f"This profile counts several things: {columns.name} is shown, --sample-type NAME shows another ({others})"
        if self._period_bytes() > 1:
            yield f"Sampled about once in {self._period_bytes()} bytes: the figures are estimates"
        if self._undefined:
            yield f"{self._undefined} stacks lack calls: the file does not say what these are"
        if self._beyond:
            yield f"{self._beyond} samples beyond what memtui holds are counted without their frames"

    def _text(self, index: int) -> str:
        return self._strings[index].decode("utf-8", "replace") if 0 <= index < len(self._strings) else ""


def _integers(message: bytes) -> dict[int, int]:
    return {number: value for number, value in fields(message) if isinstance(value, int)}


def _value_type(message: bytes) -> tuple[int, int]:
    """Return the numbers of two strings: what is counted, and in which unit."""
    numbers = _integers(message)
    return numbers.get(1, 0), numbers.get(2, 0)


def _at(values: Sequence[int], index: int) -> int:
    return values[index] if 0 <= index < len(values) else 0


def _samples(size_bytes: int, objects: int, period_bytes: int) -> int | None:
    """Return about how many samples an estimate rests on; None where nothing was sampled, or objects are not counted.

    A block of s bytes is sampled with probability 1-exp(-s/period), and the figures were divided by that.
    """
    if period_bytes <= 1 or size_bytes <= 0 or objects <= 0:
        return None
    return max(1, round(objects * -math.expm1(-size_bytes / objects / period_bytes)))


def _nothing(columns: Columns) -> ParseError:
    """Such a profile does not look for leaks, so that it must not read as one that found none."""
    others = f"--sample-type NAME shows another: {', '.join(columns.others)}" if columns.others else ""
    name = columns.name or "what it counts"
    return ParseError(f"a profile that has nothing to show: {name} is 0 in all its samples", todo=others)


def _shrunk_note(shrunk_bytes: int, stacks: int, grown_bytes: int) -> list[str]:
    """A note on the negative figures of a difference of two profiles, which pprof -diff_base -proto writes."""
    if not stacks:
        return []
    return [
        f"This is the difference of two profiles: what has grown is listed. {stacks} stacks that have shrunk, "
        f"by {shrunk_bytes} bytes in all, are not; the profiles differ by {grown_bytes - shrunk_bytes:+} bytes"
    ]


def _iso(time_ns: int) -> str | None:
    if not 0 < time_ns < 4_000_000_000 * 10**9:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns / 1e9))
