"""Finds the call frame information of an address in an ELF file (LSB Core 5.0, "Exception Frames"; DWARF 5, section 6.4.1).

The sorted table in .eh_frame_hdr leads to a function's entry (FDE) in .eh_frame, and that to what it shares with others
(CIE). Static programs have no such table; one is made of .eh_frame then. Segments are read, not sections, which the vdso
and programs after ``strip --strip-sections`` do not have.

Our own and not pyelftools', which decodes every entry of a file before it answers: python3.11's take it 8 s; here a row
takes some 0.1 ms. The tests compare the rows of both. The bytes are read and not mapped: a file that is cut short
while it is mapped would end the reader by SIGBUS.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from memtui_parsers.elf.image import ElfImage, Segment, read_at
from memtui_parsers.elf.numbers import fixed, sleb, text, uleb
from memtui_parsers.errors import ParseError
from memtui_parsers.unwind.frame_programs import Alignment, FrameRow, initial_row, row_at

# node has 13 MiB of .eh_frame.
MAX_FRAME_BYTES = 256 << 20
MAX_ENTRIES = 8_000_000
MAX_CIES = 65_536
X86_64 = "x86-64"

_MASK = (1 << 64) - 1
_OMITTED = 0xFF
_SORTED_TABLE = 0x3B  # pairs of signed 4 bytes, relative to the table's header
_FORMATS = {0x00: "<Q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}
_RELATIVE, _INDIRECT = 0x70, 0x80
_ABSOLUTE, _TO_PLACE, _TO_HEADER = 0x00, 0x10, 0x30


class Frame(NamedTuple):
    """What call frame information says of one address.

    ``start``: where its function begins, a virtual address of the file. ``is_signal``: the frame of a signal, whose caller
    was interrupted at the return address itself and not after a call.
    """

    start: int
    row: FrameRow
    return_register: int
    is_signal: bool


class _Cie(NamedTuple):
    alignment: Alignment
    return_register: int
    encoding: int
    has_augmentation: bool
    is_signal: bool
    initial: FrameRow


class FrameTable:
    """The call frame information of one file. Addresses are virtual addresses of the file."""

    def __init__(self, frames: bytes, vaddr: int, starts: Sequence[int], entries: Sequence[int], base: int) -> None:
        """``frames`` are the bytes of .eh_frame, at ``vaddr``.

        ``starts`` of functions, sorted, and the ``entries`` of each are relative to ``base``. See read_frame_table().
        """
        self._frames = frames
        self._vaddr = vaddr
        self._starts = starts
        self._entries = entries
        self._base = base
        self._cies: dict[int, _Cie] = {}

    @property
    def size_bytes(self) -> int:
        """What is kept of the file."""
        return len(self._frames) + 8 * len(self._starts)

    def frame_at(self, address: int) -> Frame | None:
        """None: no function that has such information covers the address. Raises ParseError."""
        index = bisect.bisect_right(self._starts, address - self._base) - 1
        if index < 0:
            return None
        at = self._base + self._entries[index] - self._vaddr
        end, cie, at = self._entry(at)
        if cie is None:
            return None
        start, at = self._pointer(at, cie.encoding)
        size, at = self._pointer(at, cie.encoding & 0x0F)
        if not start <= address < start + size:
            return None
        if cie.has_augmentation:
            skipped, at = uleb(self._frames, at)
            at += skipped
        program = self._frames[at:end]
        row = row_at(
            program, cie.alignment, cie.initial, start, address, lambda place: self._in_program(at, place, cie.encoding)
        )
        return Frame(start, row, cie.return_register, cie.is_signal)

    def indexed(self) -> FrameTable:
        """The same information with a table of its own, made of all entries; some 1 s for 500,000 of them."""
        found: list[tuple[int, int]] = []
        at = 0
        while at + 8 <= len(self._frames) and len(found) < MAX_ENTRIES:
            size, _ = fixed(self._frames, at, 4, "little")
            if size == 0:
                break
            try:
                end, cie, inside = self._entry(at)
                if cie is not None:
                    found.append((self._pointer(inside, cie.encoding)[0], self._vaddr + at))
            except ParseError:
                break
            at = end
        found.sort()
        return FrameTable(self._frames, self._vaddr, [start for start, _ in found], [entry for _, entry in found], 0)

    def _entry(self, at: int) -> tuple[int, _Cie | None, int]:
        """(its end, its CIE or None for one that is a CIE itself, place after its head)."""
        if at < 0:
            raise ParseError("an entry lies outside of the call frame information")
        size, at = fixed(self._frames, at, 4, "little")
        if size == 0xFFFFFFFF:
            size, at = fixed(self._frames, at, 8, "little")
        end = at + size
        if size < 4 or end > len(self._frames):
            raise ParseError("an entry of call frame information is cut short")
        back, inside = fixed(self._frames, at, 4, "little")
        return end, self._cie(at - back) if back else None, inside

    def _cie(self, at: int) -> _Cie:
        if (known := self._cies.get(at)) is None:
            if len(self._cies) >= MAX_CIES:
                raise ParseError("there are too many CIEs")
            known = self._cies[at] = self._read_cie(at)
        return known

    def _read_cie(self, at: int) -> _Cie:
        if at < 0:
            raise ParseError("a CIE lies outside of the call frame information")
        size, at = fixed(self._frames, at, 4, "little")
        end = at + size
        back, at = fixed(self._frames, at, 4, "little")
        version, at = fixed(self._frames, at, 1, "little")
        if back or size == 0xFFFFFFFF or end > len(self._frames) or version not in (1, 3):
            raise ParseError("an entry points to what is no CIE")
        augmentation, at = text(self._frames, at)
        code, at = uleb(self._frames, at)
        data, at = sleb(self._frames, at)
        return_register, at = fixed(self._frames, at, 1, "little") if version == 1 else uleb(self._frames, at)
        encoding = _ABSOLUTE
        if has_data := augmentation.startswith(b"z"):
            data_size, inside = uleb(self._frames, at)
            at = inside + data_size
            encoding = self._encoding(augmentation[1:], inside)
        elif augmentation:
            raise ParseError("the augmentation of a CIE is not known")
        alignment = Alignment(code, data)
        initial = initial_row(self._frames[at:end], alignment, lambda place: self._in_program(at, place, encoding))
        return _Cie(alignment, return_register, encoding, has_data, b"S" in augmentation, initial)

    def _encoding(self, letters: bytes, at: int) -> int:
        """How a CIE's FDEs write addresses: the operand of ``R``."""
        encoding = _ABSOLUTE
        for letter in letters:
            if letter == ord("R"):
                encoding, at = fixed(self._frames, at, 1, "little")
            elif letter == ord("L"):
                at += 1
            elif letter == ord("P"):
                personality, at = fixed(self._frames, at, 1, "little")
                at = self._skipped(at, personality)
            elif letter not in b"SB":
                raise ParseError("the augmentation of a CIE is not known")
        return encoding

    def _skipped(self, at: int, encoding: int) -> int:
        form = _FORMATS.get(encoding & 0x0F)
        if form is None:
            raise ParseError(f"the pointer encoding 0x{encoding:x} is not known")
        return at + struct.calcsize(form)

    def _in_program(self, begin: int, place: int, encoding: int) -> tuple[int, int]:
        value, at = self._pointer(begin + place, encoding)
        return value, at - begin

    def _pointer(self, at: int, encoding: int) -> tuple[int, int]:
        return _pointer(self._frames, at, encoding, self._vaddr, None)


def read_frame_table(stream: BinaryIO, image: ElfImage) -> FrameTable | None:
    """The call frame information of a file; None where it has none. Raises ParseError, also for other machines."""
    if image.machine != X86_64 or image.bits != 64:
        raise ParseError(f"call frame information of {image.machine} is not read")
    header = next((s for s in image.segments if s.kind == "PT_GNU_EH_FRAME"), None)
    if header is None:
        return _from_section(stream, image)
    data = read_at(stream, header.offset, min(header.file_size, MAX_FRAME_BYTES))
    if len(data) < 4 or data[0] != 1 or _OMITTED in data[1:3]:
        return _from_section(stream, image)
    _, to_frames, of_count, of_table = data[:4]
    vaddr, at = _pointer(data, 4, to_frames, header.vaddr, header.vaddr)
    count, at = _pointer(data, at, of_count, header.vaddr, header.vaddr)
    frames = _read_from(stream, image, vaddr)
    if of_table != _SORTED_TABLE or at % 4 or at + 8 * count > len(data):
        return FrameTable(frames, vaddr, (), (), 0).indexed()
    pairs = memoryview(data)[at : at + 8 * count].cast("i")
    return FrameTable(frames, vaddr, pairs[::2], pairs[1::2], header.vaddr)


def _from_section(stream: BinaryIO, image: ElfImage) -> FrameTable | None:
    section = image.section(".eh_frame")
    if section is None or section.size > MAX_FRAME_BYTES:
        return None
    return FrameTable(read_at(stream, section.offset, section.size), section.address, (), (), 0).indexed()


def _read_from(stream: BinaryIO, image: ElfImage, vaddr: int) -> bytes:
    """The bytes from there to the end of their segment: .eh_frame_hdr does not say how long .eh_frame is."""
    owner = next((s for s in image.loads if s.vaddr <= vaddr < s.vaddr + s.file_size), None)
    if owner is None:
        raise ParseError("the call frame information lies in no segment")
    size = _size_by_section(image, owner, vaddr)
    if size > MAX_FRAME_BYTES:
        raise ParseError(f"{size} bytes of call frame information")
    return read_at(stream, owner.offset + vaddr - owner.vaddr, size)


def _size_by_section(image: ElfImage, owner: Segment, vaddr: int) -> int:
    whole = owner.vaddr + owner.file_size - vaddr
    section = image.section(".eh_frame")
    return min(whole, section.size) if section is not None and section.address == vaddr else whole


def _pointer(data: bytes, at: int, encoding: int, vaddr: int, header: int | None) -> tuple[int, int]:
    """An encoded pointer in ``data``, which lies at ``vaddr``: (value, place after it). Raises ParseError."""
    form = _FORMATS.get(encoding & 0x0F)
    relative = encoding & _RELATIVE
    if form is None or encoding & _INDIRECT or relative not in (_ABSOLUTE, _TO_PLACE, _TO_HEADER):
        raise ParseError(f"the pointer encoding 0x{encoding:x} is not known")
    try:
        (value,) = struct.unpack_from(form, data, at)
    except struct.error as error:
        raise ParseError("a pointer is cut short") from error
    if relative == _TO_PLACE:
        value += vaddr + at
    elif relative == _TO_HEADER:
        if header is None:
            raise ParseError("a pointer is relative to nothing")
        value += header
    return value & _MASK, at + struct.calcsize(form)
