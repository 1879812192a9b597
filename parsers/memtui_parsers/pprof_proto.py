"""Heap profiles in pprof's protocol buffer (google/pprof, proto/profile.proto), already unpacked: what Go, gperftools' newer
pprof, tcmalloc and the profilers of Rust and Node.js write. The strings come last in it, so all is held by number until then.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import BinaryIO, NamedTuple

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.protobuf_wire import CutShortError, Value, fields, packed, signed, stream_fields
from memtui_parsers.stack_table import MAX_DEPTH, StackTable
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
MAX_SAMPLE_TYPES = 8

_INUSE, _ALLOCATED, _GUESSED = "inuse", "alloc", "guessed"
_GNU_BUILD_ID = re.compile(r"(?:[0-9a-f]{2}){4,64}")


class PprofProfile(NamedTuple):
    """``mappings``: where the addresses of frames without a function lie, for those who can look into the files."""

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


class _Columns(NamedTuple):
    """Which of a sample's values are what; ``objects`` -1: none of them. ``prefix``: the word before ``_space``, '' for none."""

    bytes: int
    objects: int
    prefix: str


def parse_pprof(stream: BinaryIO) -> PprofProfile:
    """What is in use by stack. Raises ParseError when this is no profile, or one that knows no bytes."""
    message = _Message()
    try:
        for number, value in stream_fields(stream):
            message.take(number, value)
    except CutShortError:
        if not message.samples:
            raise
        message.cut = True
    return message.profile()


class _Message:
    """The profile's fields as they come."""

    def __init__(self) -> None:
        self.samples: dict[tuple[int, ...], list[int]] = {}
        self.cut = False
        self._types: list[tuple[int, int]] = []
        self._locations: dict[int, _Location] = {}
        self._functions: dict[int, _Function] = {}
        self._mappings: dict[int, _MappingEntry] = {}
        self._strings: list[bytes] = []
        self._string_bytes = self._lines = self._steps = 0
        self._period = self._time_ns = 0
        self._period_type: tuple[int, int] = (0, 0)
        self._beyond = 0

    def take(self, number: int, value: Value) -> None:
        if number == 9 and isinstance(value, int):
            self._time_ns = signed(value)
        elif number == 12 and isinstance(value, int):
            self._period = signed(value)
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
            found = _integers(value)
            self._functions[found.get(1, 0)] = _Function(found.get(2, 0), found.get(3, 0), found.get(4, 0))
        elif number == 6 and len(self._strings) < MAX_ENTRIES:
            self._string_bytes += len(value)
            self._strings.append(value if self._string_bytes <= MAX_STRING_BYTES else b"")
        elif number == 11:
            self._period_type = _value_type(value)

    def profile(self) -> PprofProfile:
        if not self._types:
            raise ParseError("no pprof profile: it says of nothing what its samples count")
        columns = self._columns()
        table = StackTable()
        numbers = {identifier: self._frames(location, table) for identifier, location in self._locations.items()}
        for identifiers, values in self.samples.items():
            size_bytes, objects = _at(values, columns.bytes), _at(values, columns.objects)
            if size_bytes > 0 or objects > 0:
                calls = chain.from_iterable(numbers.get(identifier, ()) for identifier in identifiers)
                # One more than is kept, so that the cut is counted.
                table.add(LeakKind.IN_USE, list(islice(calls, MAX_DEPTH + 1)), max(0, size_bytes), max(0, objects))
        total_bytes, total_objects = table.totals()
        report = LeakReport(
            checker=CHECKER,
            mode="",
            status=ReportStatus.TRUNCATED if self.cut else ReportStatus.COMPLETE,
            argv=self._argv(),
            started=_iso(self._time_ns),
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=(*self._notes(columns), *table.notes()),
            leaks=table.records(),
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
            before = self.samples.setdefault(stack, [0] * MAX_SAMPLE_TYPES)
        before[:] = [a + b for a, b in zip_longest(before, values[:MAX_SAMPLE_TYPES], fillvalue=0)]

    def _location(self, message: bytes) -> None:
        identifier = mapping = address = 0
        lines: list[tuple[int, int]] = []
        for number, value in fields(message):
            if number == 4 and isinstance(value, bytes) and len(lines) < MAX_INLINED and self._lines < MAX_LINES:
                found = _integers(value)
                lines.append((found.get(1, 0), found.get(2, 0)))
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
        found = _integers(message)
        start, end, offset, path, build_id = (found.get(n, 0) for n in (2, 3, 4, 5, 6))
        self._mappings[found.get(1, 0)] = _MappingEntry(start, end, offset, path, build_id)

    def _columns(self) -> _Columns:
        """What is in use, before all that was ever allocated, before whatever counts bytes."""
        if any(max(words) >= len(self._strings) for words in self._types):
            self.cut = True  # between two fields, where the end cannot be told from the file's own
            return _Columns(len(self._types) - 1, len(self._types) - 2, _GUESSED)
        names = [self._text(name) for name, _ in self._types]
        units = [self._text(unit) for _, unit in self._types]
        for prefix in (_INUSE, _ALLOCATED):
            if f"{prefix}_space" in names:
                objects = names.index(f"{prefix}_objects") if f"{prefix}_objects" in names else -1
                return _Columns(names.index(f"{prefix}_space"), objects, prefix)
        if "bytes" in units:
            objects = next((n for n, name in enumerate(names) if name in ("objects", "count")), -1)
            return _Columns(units.index("bytes"), objects, "")
        raise ParseError("a profile that counts no bytes: not one of memory", excerpt=", ".join(names))

    def _frames(self, location: _Location, table: StackTable) -> list[int]:
        mapping = self._mappings.get(location.mapping)
        build_id = self._text(mapping.build_id) if mapping else ""
        path = self._text(mapping.path) if mapping else ""
        # The address is inside of the call, frames have the return address.
        address = min(location.address + 1, (1 << 64) - 1) if location.address else 0
        if not _GNU_BUILD_ID.fullmatch(build_id):
            build_id = ""
        found = []
        for depth, (function, line) in enumerate(location.lines or ((0, 0),), start=1):
            named = self._functions.get(function)
            name, system_name, file = (self._text(n) for n in named) if named else ("", "", "")
            found.append(
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
        return found

    def _mapped(self) -> Iterator[Mapping]:
        for entry in self._mappings.values():
            if entry.start < entry.end <= 1 << 64:
                # The inode is not in the profile; 0 would mean that it is no file.
                yield Mapping(entry.start, entry.end, "r-xp", entry.offset, 1, clean(self._text(entry.path)))

    def _argv(self) -> tuple[str, ...]:
        """The first mapping is the program, by the format's own rule."""
        first = next(iter(self._mappings.values()), None)
        path = clean(self._text(first.path)) if first else ""
        return (path,) if path and not path.startswith("[") else ()

    def _notes(self, columns: _Columns) -> Iterator[str]:
        if self.cut:
            yield "The file ends in the middle: names that stood behind it are missing"
        if columns.prefix == _GUESSED:
            # Go, gperftools and tcmalloc write objects before bytes, and what is in use last.
            yield "What the figures count was cut off, too: the last is taken for bytes in use"
        elif columns.prefix == _ALLOCATED:
            yield "These figures count all that was ever allocated, freed or not: the profile does not say what is in use"
        if self._period > 1 and self._text(self._period_type[1]) == "bytes":
            yield f"Sampled about once in {self._period} bytes: the figures are estimates"
        if self._beyond:
            yield f"{self._beyond} samples beyond what memtui holds are counted without their frames"

    def _text(self, index: int) -> str:
        return self._strings[index].decode("utf-8", "replace") if 0 <= index < len(self._strings) else ""


def _integers(message: bytes) -> dict[int, int]:
    return {number: value for number, value in fields(message) if isinstance(value, int)}


def _value_type(message: bytes) -> tuple[int, int]:
    """Numbers of the strings for what is counted, and in which unit."""
    found = _integers(message)
    return found.get(1, 0), found.get(2, 0)


def _at(values: Sequence[int], index: int) -> int:
    return values[index] if 0 <= index < len(values) else 0


def _iso(time_ns: int) -> str | None:
    if not 0 < time_ns < 4_000_000_000 * 10**9:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns / 1e9))
