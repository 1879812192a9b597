"""Stacks from the registers of a thread and a copy of the top of its stack: by call frame information, else by frame pointers."""

from __future__ import annotations

import ctypes
import io
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.elf.facts import elf_vaddr
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import MappingIndex, is_deleted, parse_maps
from memtui_parsers.values import Mapping
from memtui_profiler.files import open_regular
from memtui_profiler.growth.call_frames import RBP, RETURN, RSP, CallFrames, Row, Rule
from memtui_profiler.growth.frame_expressions import evaluate
from memtui_profiler.growth.residency import MAPS_BYTES

MAX_FRAMES = 256
MAX_ROWS = 200_000
MAX_FILES = 2000
MAX_BYTES = 256 << 20
UNKNOWN_EVERY_S = 1.0
_WORD = struct.Struct("<Q")
_WORD_MASK = (1 << 64) - 1
_VDSO = "[vdso]"
# Without information: Go, code made at run time, assembler.
_BY_FRAME_POINTER = Row(RBP, 16, b"", {RETURN: Rule("at", -8), RBP: Rule("at", -16)})


@dataclass(frozen=True, slots=True)
class Walked:
    """``addresses``: the innermost first, then return addresses. ``is_whole``: it came to the outermost function."""

    addresses: tuple[int, ...]
    is_whole: bool


class _BeyondStackError(Exception):
    """A word that was not copied."""


class StackWalk:
    """The stacks of one process. What was learned of an address is kept: a frame met before takes some microseconds."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files: dict[str, CallFrames | None] = {}
        self._bytes = 0
        self._rows: dict[int, Row | None] = {}
        self._code: list[Mapping] = []
        self._index = MappingIndex(())
        self.refresh()

    def refresh(self) -> None:
        """Look at what is mapped now. Where other code is, what was known of addresses is forgotten."""
        self._refreshed_at = time.monotonic()
        try:
            with open(f"/proc/{self._pid}/maps", "rb") as file:
                mappings = parse_maps(file.read(MAPS_BYTES))
        except OSError:
            return
        code = [mapping for mapping in mappings if "x" in mapping.permissions]
        if code != self._code:
            self._code, self._index, self._rows = code, MappingIndex(code), {}

    def unwind(self, registers: Sequence[int], stack: bytes) -> Walked:
        """Go from frame to frame, as far as the copied stack and the information lead."""
        base = registers[RSP]

        def read(address: int) -> int:
            at = address - base
            if not 0 <= at <= len(stack) - 8:
                raise _BeyondStackError
            return int(_WORD.unpack_from(stack, at)[0])

        known = list(registers)
        found = [known[RETURN]]
        look = known[RETURN]
        try:
            while len(found) < MAX_FRAMES:
                row = self._row(look)
                if row is None:
                    return Walked(tuple(found[:-1] or found), is_whole=False)
                if row.is_outermost:
                    return Walked(tuple(found), is_whole=True)
                caller = _caller(row, known, read)
                if caller[RSP] <= known[RSP] and len(found) > 1 and not row.signal:
                    break
                if not caller[RETURN]:
                    return Walked(tuple(found), is_whole=True)
                known = caller
                # What a signal has interrupted was not a call.
                look = known[RETURN] if row.signal else known[RETURN] - 1
                found.append(known[RETURN])
        except (_BeyondStackError, ParseError):
            pass
        return Walked(tuple(found), is_whole=False)

    def _row(self, address: int) -> Row | None:
        """The frame at an address; None where there is no code."""
        if address not in self._rows:
            if len(self._rows) >= MAX_ROWS:
                self._rows = {}
            self._rows[address] = self._read_row(address)
        return self._rows[address]

    def _read_row(self, address: int) -> Row | None:
        mapping = self._index.find(address)
        if mapping is None and time.monotonic() - self._refreshed_at > UNKNOWN_EVERY_S:
            self.refresh()  # a library may have been loaded since
            mapping = self._index.find(address)
        if mapping is None:
            return None
        frames = self._frames(mapping)
        if frames is None:
            return _BY_FRAME_POINTER
        if mapping.path == _VDSO:
            vaddr: int | None = address - mapping.start
        else:
            vaddr = elf_vaddr(address, mapping, frames.image.segments)
        try:
            return (None if vaddr is None else frames.row(vaddr)) or _BY_FRAME_POINTER
        except ParseError:
            return _BY_FRAME_POINTER

    def _frames(self, mapping: Mapping) -> CallFrames | None:
        if mapping.path not in self._files:
            if len(self._files) >= MAX_FILES or self._bytes >= MAX_BYTES:
                self._files, self._bytes = {}, 0
            frames = self._files[mapping.path] = self._read_frames(mapping)
            self._bytes += frames.size_bytes if frames is not None else 0
        return self._files[mapping.path]

    def _read_frames(self, mapping: Mapping) -> CallFrames | None:
        try:
            if mapping.path == _VDSO:
                return CallFrames(io.BytesIO(_own_vdso()))
            if not mapping.path.startswith("/"):
                return None
            # Below the target's root: a container's libraries are not ours. The file may have been replaced on the disk.
            mapped = f"/proc/{self._pid}/map_files/{mapping.start:x}-{mapping.end:x}"
            root = Path(f"/proc/{self._pid}/root")
            with open_regular(mapped) if is_deleted(mapping) else open_regular(mapping.path, root) as stream:
                return CallFrames(stream)
        except (OSError, ParseError):
            return None


def _caller(row: Row, known: list[int], read: Callable[[int], int]) -> list[int]:
    """The registers of the caller."""
    if row.expression:
        frame = evaluate(row.expression, known, read)
    else:
        frame = known[row.register] + row.offset if row.register < len(known) else 0
    caller = list(known)
    caller[RSP] = frame & _WORD_MASK
    for register, rule in {RETURN: Rule("at", -8), **row.rules}.items():
        if register > RETURN:
            continue
        if rule.kind == "at":
            value = read(frame + rule.value)
        elif rule.kind == "value":
            value = frame + rule.value
        elif rule.kind == "register" and rule.value < len(known):
            value = known[rule.value]
        elif rule.kind == "at expression":
            value = read(evaluate(rule.expression, known, read, frame))
        elif rule.kind == "expression":
            value = evaluate(rule.expression, known, read, frame)
        else:
            continue
        caller[register] = value & _WORD_MASK
    return caller


def _own_vdso() -> bytes:
    """The kernel's code in each process, which is the same in all: read without the target."""
    with open("/proc/self/maps", "rb") as file:
        for mapping in parse_maps(file.read(MAPS_BYTES)):
            if mapping.path == _VDSO:
                return ctypes.string_at(mapping.start, mapping.end - mapping.start)
    raise OSError("no vdso")
