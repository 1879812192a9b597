"""ELF facts against readelf on real programs, and against forged files."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui_parsers.elf.facts import ElfFacts, defined_symbols, elf_vaddr, read_elf_facts
from memtui_parsers.elf.image import Segment
from memtui_parsers.errors import ParseError
from memtui_parsers.values import Mapping

SOURCE = 'extern "C" { int exported_value = 3; int exported_function() { return exported_value; } }\nint main() {}\n'


def build(folder: Path, name: str, *flags: str, source: str = SOURCE) -> Path:
    code = folder / f"{name}.cpp"
    code.write_text(source)
    subprocess.run(["g++", "-o", folder / name, code, *flags], check=True)
    return folder / name


def facts(path: Path) -> ElfFacts:
    with path.open("rb") as stream:
        return read_elf_facts(stream)


def readelf(path: Path, *options: str) -> str:
    return subprocess.run(["readelf", "-W", *options, path], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elf")


def test_a_pie_program_with_debug_info(folder: Path) -> None:
    path = build(folder, "pie", "-g", "-pie", "-fPIE", "-Wl,--build-id=sha1", "-Wl,-rpath,/opt/lib")
    found = facts(path)
    assert (found.kind, found.is_pie, found.is_program, found.is_static) == ("dyn", True, True, False)
    assert (found.machine, found.bits, found.little_endian) == ("x86-64", 64, True)
    assert found.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert "libc.so.6" in found.needed and found.runpath == "/opt/lib" and found.rpath is None
    assert f"Build ID: {found.build_id}\n" in readelf(path, "-n")
    assert found.has_symtab and found.has_debug_info and found.debuglink is None


def test_a_stripped_program_keeps_no_debug_info(folder: Path) -> None:
    path = build(folder, "stripped", "-g", "-s", "-no-pie", "-Wl,--build-id=none")
    found = facts(path)
    assert (found.kind, found.is_pie, found.is_program) == ("exec", False, True)
    assert not found.has_symtab and not found.has_debug_info and found.build_id == ""


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_a_static_program_has_no_interpreter(folder: Path, flag: str) -> None:
    found = facts(build(folder, f"static{flag}", flag))
    assert found.interpreter is None and found.is_static and found.needed == ()


def test_a_library_is_no_static_program(folder: Path) -> None:
    path = build(folder, "libthing.so", "-shared", "-fPIC", "-Wl,-soname,libthing.so.7", source=SOURCE.split("\n")[0])
    found = facts(path)
    assert found.soname == "libthing.so.7" and not found.is_program and not found.is_static and not found.is_pie


def test_libc_is_a_library_though_it_has_an_interpreter() -> None:
    found = facts(Path("/lib/x86_64-linux-gnu/libc.so.6"))
    assert found.interpreter and not found.is_pie and not found.is_program


def test_a_separate_debug_file_is_named_by_its_link(folder: Path) -> None:
    path = build(folder, "linked", "-g")
    subprocess.run(["objcopy", "--only-keep-debug", path, f"{path}.debug"], check=True)
    subprocess.run(["strip", path], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={path}.debug", path], check=True)
    import zlib

    assert facts(path).debuglink == ("linked.debug", zlib.crc32(Path(f"{path}.debug").read_bytes()))
    debug = facts(Path(f"{path}.debug"))
    assert debug.has_symtab and debug.has_debug_info and debug.build_id == facts(path).build_id


def test_which_symbols_are_defined(folder: Path) -> None:
    path = build(folder, "symbols")
    names = {"exported_value", "exported_function", "main", "function", "no_such_symbol", "__libc_start_main"}
    with path.open("rb") as stream:
        assert defined_symbols(stream, names) == {"exported_value", "exported_function", "main"}
    subprocess.run(["strip", path], check=True)
    with path.open("rb") as stream:
        assert defined_symbols(stream, names) == set()


def test_the_same_as_nm_on_libstdcxx() -> None:
    path = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
    listed = subprocess.run(["nm", "-D", "--without-symbol-versions", path], check=True, capture_output=True, text=True)
    defined = {line.split()[2] for line in listed.stdout.splitlines() if not line.startswith(" ")}
    undefined = {line.split()[1] for line in listed.stdout.splitlines() if line.startswith(" ")}
    with open(path, "rb") as stream:
        assert defined_symbols(stream, defined | undefined) == defined


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie",), ("-pie", "-fPIE", "-Wl,-z,noseparate-code")])
def test_addresses_of_a_running_program_lead_to_its_symbols(folder: Path, flags: tuple[str, ...]) -> None:
    source = """
        #include <cstdio>
        int data = 1;
        int main() { printf("%p %p\\n", (void*)main, (void*)&data); fflush(stdout);
          for (FILE* f = fopen("/proc/self/maps", "r"); int c = getc(f); putchar(c)) if (c == EOF) break; }
    """
    path = build(folder, "running" + "".join(flags).replace(",", ""), *flags, source=source)
    first, *lines = subprocess.run([path], check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split() for line in readelf(path, "-s").splitlines()]
    symbols = {row[7]: int(row[1], 16) for row in rows if len(row) > 7 and row[0] != "Num:"}
    for name, shown in zip(("main", "data"), first.split(), strict=True):
        address = int(shown, 16)
        found = []
        for line in lines:
            words = line.split()
            if words[-1] != str(path):
                continue
            start, end = (int(x, 16) for x in words[0].split("-"))
            mapping = Mapping(start, end, words[1], int(words[2], 16), int(words[4]), words[-1])
            found.append(elf_vaddr(address, mapping, facts(path).segments))
        assert [x for x in found if x is not None] == [symbols[name]]


def test_two_segments_in_one_page_of_the_file() -> None:
    segments = (Segment("PT_LOAD", 5, 0, 0x400000, 0x1800), Segment("PT_LOAD", 6, 0x1800, 0x602800, 0x400))
    code = Mapping(0x400000, 0x402000, "r-xp", 0, 1, "/x")
    data = Mapping(0x602000, 0x603000, "rw-p", 0x1000, 1, "/x")
    assert elf_vaddr(0x401234, code, segments) == 0x401234
    assert elf_vaddr(0x602900, data, segments) == 0x602900
    assert elf_vaddr(0x602000, code, segments) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01" + b"\0" * 9, b"\x7fELF\x09\x09\x01" + b"\xff" * 80],
)
def test_what_is_no_elf_file(content: bytes) -> None:
    with pytest.raises(ParseError):
        read_elf_facts(io.BytesIO(content))


def test_a_file_cut_short(folder: Path) -> None:
    whole = build(folder, "whole").read_bytes()
    with pytest.raises(ParseError, match="cut short"):
        read_elf_facts(io.BytesIO(whole[: len(whole) // 2]))


def test_a_header_that_claims_countless_sections(folder: Path) -> None:
    forged = bytearray(build(folder, "countless").read_bytes())
    start = struct.unpack_from("<Q", forged, 40)[0]
    struct.pack_into("<H", forged, 60, 0)
    struct.pack_into("<Q", forged, start + 32, 1 << 62)
    with pytest.raises(ParseError, match="too many"):
        read_elf_facts(io.BytesIO(bytes(forged)))


@pytest.fixture(scope="module")
def small(folder: Path) -> bytes:
    return build(folder, "small", "-g1", "-Os", "-Wl,-rpath,/x").read_bytes()


@settings(max_examples=300, deadline=2000)
@given(data=st.data())
def test_hostile_files_raise_nothing_but_parse_errors(small: bytes, data: st.DataObject) -> None:
    forged = bytearray(small)
    tables = [struct.unpack_from("<Q", small, 32)[0], struct.unpack_from("<Q", small, 40)[0], 0]
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.sampled_from(tables)) + data.draw(st.integers(0, 600))
        change = data.draw(st.binary(min_size=1, max_size=8))
        if at < len(forged):
            forged[at : at + len(change)] = change
    forged = forged[: data.draw(st.integers(0, len(small))) or len(small)]
    for look in (read_elf_facts, lambda s: defined_symbols(s, {"main", "x"})):
        try:
            look(io.BytesIO(bytes(forged)))
        except ParseError as error:
            assert error.reason
