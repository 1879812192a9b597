"""Line programs made by hand: what compilers seldom write, and what nobody should."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui_parsers.dwarf.calls import find_calls
from memtui_parsers.dwarf.forms import Encoding, read_form
from memtui_parsers.dwarf.sections import DwarfSections, open_dwarf
from memtui_parsers.elf.image import ElfImage, Section, read_image
from memtui_parsers.elf.numbers import sleb, uleb
from memtui_parsers.elf.sections import SectionReader, open_section
from memtui_parsers.elf.symbols import read_functions
from memtui_parsers.errors import ParseError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OPCODE_LENGTHS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])


class Bytes:
    """A section in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def program(
    opcodes: bytes, *, version: int = 4, operations: int = 1, lengths: bytes = OPCODE_LENGTHS, instruction: int = 1
) -> bytes:
    """A unit with the files /d/a.c and /d/b.c; line base -5, line range 14."""
    fixed = bytes([instruction]) + (bytes([operations]) if version >= 4 else b"")
    fixed += bytes([1, 256 - 5, 14, len(lengths) + 1]) + lengths
    if version >= 5:
        tables = bytes([1, 1, 8, 1]) + b"/d\0" + bytes([2, 1, 8, 2, 0x0B, 2]) + b"a.c\0\0b.c\0\0"
    else:
        tables = b"/d\0\0" + b"a.c\0\1\0\0" + b"b.c\0\1\0\0" + b"\0"
    header = struct.pack("<I", len(fixed + tables)) + fixed + tables
    body = struct.pack("<H", version) + (b"\x08\0" if version >= 5 else b"") + header + opcodes
    return struct.pack("<I", len(body)) + body


def set_address(address: int) -> bytes:
    return b"\0\x09\x02" + struct.pack("<Q", address)


END = b"\0\x01\x01"
COPY = b"\x01"


def advance_line(amount: int) -> bytes:
    return b"\x03" + bytes([amount & 0x7F])


def advance_pc(amount: int) -> bytes:
    return b"\x02" + bytes([amount])


def answered(sections: DwarfSections, wanted: Sequence[int], lowest: int = 0x1000) -> dict[int, tuple[str, int]]:
    found = find_calls(sections, wanted, lowest=lowest)
    return {address: (calls[0].file, calls[0].line) for address, calls in found if calls[0].file is not None}


def lines(data: bytes, wanted: Sequence[int], lowest: int = 0x1000) -> dict[int, tuple[str, int]]:
    return answered(DwarfSections(Bytes(data)), wanted, lowest)


def test_a_row_holds_up_to_the_next_and_the_last_of_several_wins() -> None:
    code = (
        set_address(0x2000)
        + COPY
        + advance_line(4)
        + COPY
        + advance_pc(8)
        + advance_line(1)
        + COPY
        + advance_pc(4)
        + END
    )
    assert lines(program(code), [0x1FFF, 0x2000, 0x2007, 0x2008, 0x200B, 0x200C]) == {
        0x2000: ("/d/a.c", 5),
        0x2007: ("/d/a.c", 5),
        0x2008: ("/d/a.c", 6),
        0x200B: ("/d/a.c", 6),
    }


@pytest.mark.parametrize("tombstone", [0, 0x10, (1 << 64) - 1, (1 << 64) - 2])
def test_functions_that_the_linker_dropped_do_not_answer(tombstone: int) -> None:
    dropped = set_address(tombstone) + COPY + b"\x02\xff\xff\x7f" + END
    kept = set_address(0x2000) + advance_line(6) + COPY + advance_pc(8) + END
    assert lines(program(dropped + kept), [0x1500, 0x2001]) == {0x2001: ("/d/a.c", 7)}


def test_special_and_constant_opcodes_move_both_address_and_line() -> None:
    # 13 + (line + 5) + 14 * address: line 3, address 2.
    special = bytes([13 + (3 + 5) + 14 * 2])
    code = set_address(0x2000) + COPY + special + b"\x08" + COPY + b"\x09\x10\x00" + COPY + END
    found = lines(program(code), list(range(0x2000, 0x2040)))
    assert found[0x2001] == ("/d/a.c", 1) and found[0x2002] == ("/d/a.c", 4)
    assert max(found) == 0x2002 + (255 - 13) // 14 + 0x10 - 1


def test_several_operations_in_one_instruction() -> None:
    # Three operations in 16 bytes: the fourth operation lies in the second instruction.
    step = bytes([13 + (1 + 5) + 14 * 2])
    code = set_address(0x2000) + COPY + step + step + advance_pc(2) + END
    found = lines(program(code, operations=3, instruction=16), [0x2000, 0x200F, 0x2010, 0x201F, 0x2020])
    assert found == {0x2000: ("/d/a.c", 2), 0x200F: ("/d/a.c", 2), 0x2010: ("/d/a.c", 3), 0x201F: ("/d/a.c", 3)}


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_opcodes_that_nobody_knows_are_passed_over(version: int) -> None:
    lengths = OPCODE_LENGTHS + bytes([2])
    code = (
        set_address(0x2000) + b"\x0d\x81\x01\x05" + b"\0\x04\x80abc" + b"\x05\x07\x06\x0a" + COPY + advance_pc(2) + END
    )
    # File 1 is the first one before version 5, the second one since.
    name = "/d/b.c" if version == 5 else "/d/a.c"
    assert lines(program(code, version=version, lengths=lengths), [0x2001]) == {0x2001: (name, 1)}


def test_a_file_that_the_program_defines_itself() -> None:
    define = b"\0\x0a\x03" + b"new.h\0" + bytes([1, 0, 0])
    code = define + set_address(0x2000) + b"\x04\x03" + COPY + advance_pc(1) + END
    assert lines(program(code), [0x2000]) == {0x2000: ("/d/new.h", 1)}


def test_file_names_as_clang_writes_them() -> None:
    """Directories and files in .debug_line_str, each file with its MD5 (DW_FORM_data16)."""
    strings = b"/build\0../src\0a.c\0"
    tables = bytes([1, 1, 0x1F, 2]) + struct.pack("<II", 0, 7)
    tables += bytes([3, 1, 0x1F, 2, 0x0F, 5, 0x1E, 1]) + struct.pack("<IB", 14, 1) + bytes(range(16))
    fixed = bytes([1, 1, 1, 256 - 5, 14, 13]) + OPCODE_LENGTHS
    code = set_address(0x2000) + b"\x04\x00" + COPY + advance_pc(1) + END
    body = struct.pack("<HBBI", 5, 8, 0, len(fixed + tables)) + fixed + tables + code
    sections = DwarfSections(Bytes(struct.pack("<I", len(body)) + body), line_strings=Bytes(strings))
    assert answered(sections, [0x2000]) == {0x2000: ("/src/a.c", 1)}


def test_a_line_that_no_source_has_is_no_line() -> None:
    code = set_address(0x2000) + b"\x03\xff\xff\xff\xff\xff\xff\x00" + COPY + advance_pc(1) + END
    assert lines(program(code), [0x2000]) == {0x2000: ("/d/a.c", 0)}


def test_a_damaged_program_leaves_the_others_alone() -> None:
    good = program(set_address(0x2000) + COPY + advance_pc(4) + END)
    for bad in (program(b"\0"), program(b"\x03" + b"\xff" * 40), program(b"", version=9), program(b"", lengths=b"")):
        assert lines(bad + good, [0x2001]) == {0x2001: ("/d/a.c", 1)}


def test_the_first_program_that_answers_is_believed() -> None:
    one = program(set_address(0x2000) + COPY + advance_pc(4) + END)
    other = program(set_address(0x2000) + advance_line(8) + COPY + advance_pc(4) + END)
    assert lines(one + other, [0x2001]) == {0x2001: ("/d/a.c", 1)}


@given(opcodes=st.binary(max_size=300), version=st.sampled_from([2, 3, 4, 5]), tail=st.binary(max_size=40))
def test_any_opcodes_end_well(opcodes: bytes, version: int, tail: bytes) -> None:
    wanted = [0x1001, 0x2000, 0x2001, 0x7FFF_FFFF_FFFF]
    for data in (program(opcodes, version=version), program(set_address(0x2000) + opcodes + tail), opcodes):
        assert set(lines(data, wanted)) <= set(wanted)


@given(st.binary(max_size=40), st.integers(0, 0x2C), st.sampled_from([2, 3, 4, 5]))
def test_any_attribute_ends_well(data: bytes, form: int, version: int) -> None:
    try:
        _, end = read_form(form, data, 0, Encoding("little", 4, 8, version))
        assert 0 <= end <= len(data)
    except ParseError as error:
        assert error.reason


@given(st.integers(-(2**62), 2**62))
def test_numbers_round_trip(number: int) -> None:
    encoded = b""
    rest = number
    while True:
        byte, rest = rest & 0x7F, rest >> 7
        last = (rest == 0 and not byte & 0x40) or (rest == -1 and bool(byte & 0x40))
        encoded += bytes([byte if last else byte | 0x80])
        if last:
            break
    assert sleb(encoded, 0) == (number, len(encoded))
    if number >= 0:
        assert uleb(encoded, 0) == (number, len(encoded))


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("hostile")
    source = folder / "a.cpp"
    source.write_text(
        "struct A { int f(int n) { return n + 1; } };\nint g(int n) { return A().f(n); }\nint main() { return g(1); }\n"
    )
    subprocess.run(["g++", "-g", "-gdwarf-5", "-Os", "-o", folder / "a", source], check=True)
    return (folder / "a").read_bytes()


@settings(max_examples=300, deadline=3000)
@given(data=st.data())
def test_mutated_files_raise_nothing_but_parse_errors(binary: bytes, data: st.DataObject) -> None:
    forged = bytearray(binary)
    image = read_image(io.BytesIO(binary))
    names = (".debug_line", ".debug_info", ".debug_abbrev", ".debug_aranges", ".symtab", ".debug_line_str")
    for _ in range(data.draw(st.integers(1, 6))):
        section = image.section(data.draw(st.sampled_from(names)))
        assert section is not None
        at = section.offset + data.draw(st.integers(0, min(section.size, 400) - 1))
        change = data.draw(st.binary(min_size=1, max_size=9))
        forged[at : at + len(change)] = change
    stream = io.BytesIO(bytes(forged))
    table = read_functions(stream)
    wanted = list(range(0x1000, 0x1200))
    for address in wanted[::16]:
        table.names_at((address,)).get(address)
    sections = open_dwarf(stream, read_image(stream))
    assert sections is not None
    for address, calls in find_calls(sections, wanted, lowest=0x1000):
        assert address in wanted and calls and all(0 <= call.line < 2**31 for call in calls)


def compressed(content: bytes, *, claimed: int | None = None, kind: int = 1) -> tuple[io.BytesIO, ElfImage]:
    """A section of ``content``, compressed by zlib."""
    return section_of(zlib.compress(content), len(content) if claimed is None else claimed, kind)


def section_of(packed: bytes, claimed: int, kind: int) -> tuple[io.BytesIO, ElfImage]:
    stored = struct.pack("<IIQQ", kind, 0, claimed, 1) + packed
    section = Section(".debug_line", "SHT_PROGBITS", 0x800, 0, 0, len(stored), 0, 0)
    return io.BytesIO(stored), ElfImage("x86-64", 64, True, "dyn", len(stored), (section,), ())


def reader(content: bytes, *, claimed: int | None = None, kind: int = 1) -> SectionReader:
    found = open_section(*compressed(content, claimed=claimed, kind=kind), ".debug_line")
    assert found is not None
    return found


def zstd_reader(packed: bytes, claimed: int) -> SectionReader:
    found = open_section(*section_of(packed, claimed, 2), ".debug_line")
    assert found is not None
    return found


@given(st.binary(max_size=5000), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3000)), max_size=8))
def test_a_compressed_section_reads_like_a_stored_one(content: bytes, asked: list[tuple[int, int]]) -> None:
    section = reader(content * 200)
    for offset, size in asked:
        assert section.read(offset * 200, size * 10) == (content * 200)[offset * 200 : offset * 200 + size * 10]


@given(st.binary(max_size=5000), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3000)), max_size=8))
def test_a_section_compressed_by_zstd_reads_like_a_stored_one(content: bytes, asked: list[tuple[int, int]]) -> None:
    section = zstd_reader(zstd.compress(content * 200), len(content) * 200)
    for offset, size in asked:
        assert section.read(offset * 200, size * 10) == (content * 200)[offset * 200 : offset * 200 + size * 10]


def test_compression_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ParseError, match="damaged"):
        reader(b"x", kind=2).read(0, 1)
    with pytest.raises(ParseError, match="unknown way"):
        reader(b"x", kind=77)
    with pytest.raises(ParseError, match="cut short"):
        reader(b"x" * 1000, claimed=5000).read(0, 5000)
    with pytest.raises(ParseError, match="cut short"):
        zstd_reader(zstd.compress(b"x" * 1000), 5000).read(0, 5000)


def test_a_zstd_window_of_a_gigabyte_is_refused() -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 30})
    packed = packer.compress(bytes(1 << 20)) + packer.flush()
    with pytest.raises(ParseError, match="damaged"):
        zstd_reader(packed, 1 << 20).read(0, 100)


def test_a_zstd_bomb_unfolds_no_further_than_it_is_asked_for() -> None:
    packed = zstd.compress(bytes(256 << 20))
    tracemalloc.start()
    try:
        assert zstd_reader(packed, 1 << 60).read(0, 100) == bytes(100)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_zstd_is_imported_for_such_sections_only() -> None:
    program = "import sys, memtui_parsers.dwarf.calls; sys.exit(any('zstd' in name for name in sys.modules))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_bomb_unfolds_no_further_than_it_is_asked_for() -> None:
    section = reader(b"\0" * (256 << 20), claimed=1 << 60)
    start = time.process_time()
    assert section.read(0, 100) == b"\0" * 100
    assert time.process_time() - start < 0.1
    assert answered(DwarfSections(section), [0x2000]) == {}


def test_a_real_file_still_answers_after_the_forgeries(binary: bytes, tmp_path: Path) -> None:
    stream = io.BytesIO(binary)
    sections = open_dwarf(stream, read_image(stream))
    assert sections is not None
    wanted = list(range(0x1000, 0x1200))
    assert len(answered(sections, wanted)) > 5
