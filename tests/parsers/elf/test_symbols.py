"""Function names by address: against nm on real libraries, and on tables made by hand."""

from __future__ import annotations

import io
import lzma
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.elf.image import ElfImage, Section
from memtui_parsers.elf.symbols import FunctionTable, read_functions

FUNC, OBJECT, NOTYPE, IFUNC = 2, 1, 0, 10
LOCAL, GLOBAL, WEAK = 0, 1, 2
Symbol = tuple[str, int, int, int, int, int]  # name, value, size, kind, binding, section


def table(*symbols: Symbol, bits: int = 64, little: bool = True) -> FunctionTable:
    names, entries = b"\0", b""
    order = "<" if little else ">"
    for name, value, size, kind, binding, index in symbols:
        info = binding << 4 | kind
        if bits == 64:
            entries += struct.pack(order + "IBBHQQ", len(names), info, 0, index, value, size)
        else:
            entries += struct.pack(order + "IIIBBH", len(names), value, size, info, 0, index)
        names += name.encode() + b"\0"
    sections = (
        Section(".symtab", "SHT_SYMTAB", 0, 0, 0, len(entries), 1, 0),
        Section(".strtab", "SHT_STRTAB", 0, 0, len(entries), len(names), 0, 0),
    )
    image = ElfImage("x86-64", bits, little, "dyn", len(entries + names), sections, ())
    return read_functions(io.BytesIO(entries + names), image)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
def test_a_function_holds_its_size(bits: int, little: bool) -> None:
    functions = table(("f", 0x1000, 16, FUNC, GLOBAL, 1), ("g", 0x1020, 8, IFUNC, GLOBAL, 1), bits=bits, little=little)
    assert [functions.names_at((a,)).get(a) for a in (0xFFF, 0x1000, 0x100F, 0x1010, 0x101F, 0x1020, 0x1027, 0x1028)] == [
        None, "f", "f", None, None, "g", "g", None,
    ]  # fmt: skip


def test_what_is_no_function_or_elsewhere_has_no_say() -> None:
    functions = table(
        ("data", 0x1000, 16, OBJECT, GLOBAL, 1),
        ("label", 0x1000, 16, NOTYPE, GLOBAL, 1),
        ("ext", 0x1000, 16, FUNC, GLOBAL, 0),
    )
    assert functions.names_at((0x1001,)).get(0x1001) is None and len(functions) == 0


def test_of_aliases_the_global_then_the_plain_then_the_long_name() -> None:
    at = 0x1000
    names = [("__libc_malloc", GLOBAL), ("malloc", GLOBAL), ("malloc_weak", WEAK), ("malloc_internal", LOCAL)]
    functions = table(*((name, at, 16, FUNC, binding, 1) for name, binding in names))
    assert functions.names_at((at,)).get(at) == "malloc"
    functions = table(*((name, at, 16, FUNC, LOCAL, 1) for name in ("ab", "abc", "abd")))
    assert functions.names_at((at,)).get(at) == "abc"


def test_a_version_is_not_part_of_a_name() -> None:
    assert table(("malloc@@V2", 0x1000, 16, FUNC, GLOBAL, 1)).names_at((0x1000,)).get(0x1000) == "malloc"


def test_a_function_inside_another_and_one_without_a_size() -> None:
    functions = table(
        ("outer", 0x1000, 0x100, FUNC, GLOBAL, 1),
        ("inner", 0x1020, 0x10, FUNC, LOCAL, 1),
        ("bare", 0x2000, 0, FUNC, GLOBAL, 1),
    )
    assert [functions.names_at((a,)).get(a) for a in (0x1010, 0x1025, 0x1040, 0x1100, 0x2000, 0x2500)] == [
        "outer", "inner", "outer", None, "bare", "bare",
    ]  # fmt: skip


def test_every_function_of_libstdcxx_is_found_where_nm_says() -> None:
    path = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
    listed = subprocess.run(["nm", "-D", "-S", path], check=True, capture_output=True, text=True).stdout
    names: dict[int, set[str]] = {}
    ends: dict[int, int] = {}
    for line in listed.splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "TtWwi":
            names.setdefault(int(words[0], 16), set()).add(words[3].partition("@")[0])
            ends[int(words[0], 16)] = int(words[0], 16) + int(words[1], 16) - 1
    assert len(names) > 3000
    with open(path, "rb") as stream:
        functions = read_functions(stream)
        assert {a for a, known in names.items() if functions.names_at((a,)).get(a) not in known} == set()
        assert {a for a, known in names.items() if functions.names_at((ends[a],)).get(ends[a]) not in known} == set()


def test_the_small_symbol_table_that_fedora_leaves_in(tmp_path: Path) -> None:
    code = tmp_path / "a.cpp"
    code.write_text(
        "static __attribute__((noinline)) int hidden(int n) { return n + 1; }\nint main(int c, char**) { return hidden(c); }\n"
    )
    path = tmp_path / "a"
    subprocess.run(["g++", "-O1", "-rdynamic", "-o", path, code], check=True)
    with path.open("rb") as stream:
        whole = read_functions(stream)
        whole_names = {a: whole.names_at((a,)).get(a) for a in range(0x1000, 0x1400)}
    places = [a for a, name in whole_names.items() if name == "_ZL6hiddeni"]
    assert places
    (tmp_path / "mini.xz").write_bytes(lzma.compress(path.read_bytes()))
    subprocess.run(["objcopy", "--strip-all", f"--add-section=.gnu_debugdata={tmp_path}/mini.xz", path], check=True)
    with path.open("rb") as stream:
        assert read_functions(stream).names_at((places[0],)).get(places[0]) == "_ZL6hiddeni"
        mains = [a for a in range(0x1000, 0x1400) if whole_names.get(a) == "main"]
        assert read_functions(stream).names_at((mains[0],)).get(mains[0]) == "main"
    (tmp_path / "mini.xz").write_bytes(b"no xz")
    subprocess.run(["objcopy", f"--update-section=.gnu_debugdata={tmp_path}/mini.xz", path], check=True)
    with path.open("rb") as stream:
        assert read_functions(stream).names_at((mains[0],)).get(mains[0]) == "main"


symbols = st.tuples(
    st.text(st.characters(exclude_characters="\0@", codec="utf-8"), min_size=1, max_size=6),
    st.integers(1, 60),
    st.integers(0, 12),
    st.sampled_from([FUNC, OBJECT]),
    st.sampled_from([LOCAL, GLOBAL, WEAK]),
    st.integers(0, 1),
)


@given(st.lists(symbols, max_size=12))
def test_the_innermost_function_is_named(listed: list[Symbol]) -> None:
    functions = table(*listed)
    for address in range(80):
        over = [s for s in listed if s[3] == FUNC and s[5] and s[1] <= address < s[1] + s[2]]
        name = functions.names_at((address,)).get(address)
        if over:
            innermost = max(s[1] for s in over)
            assert name in {s[0] for s in over if s[1] == innermost}
        elif name is not None:
            assert name in {s[0] for s in listed if s[3] == FUNC and s[5] and s[2] == 0 and s[1] <= address}
