"""Names through libstdc++'s demangler, compared with c++filt."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.elf.demangle import MAX_DEMANGLED_CHARS, is_mangled, strip_version, tidy
from tests.fixtures.demangled import demangle


def test_names_of_a_real_library_read_as_cxxfilt_reads_them() -> None:
    library = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
    listed = subprocess.run(["nm", "-D", library], check=True, capture_output=True, text=True).stdout
    names = sorted({line.split()[-1].partition("@")[0] for line in listed.splitlines()})
    assert len(names) > 3000
    filtered = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    expected = {n: t[:MAX_DEMANGLED_CHARS] for n, t in zip(names, filtered.splitlines(), strict=True)}
    found = demangle(names)
    # c++filt spells out std::string, std::istream and the like in names that libstdc++ leaves short.
    differing = {n for n in names if found[n] != expected[n]}
    assert not {n for n in differing if "std::basic_" not in expected[n]}
    assert len(differing) < len(names) // 10


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main", "main"),
        ("i", "i"),
        ("", ""),
        ("_Z12open_sessioni", "open_session(int)"),
        ("_Z12open_sessioni@@V1", "open_session(int)"),
        ("malloc@GLIBC_2.2.5", "malloc"),
        ("_Z4openv.isra.0", "open() [clone .isra.0]"),
        ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"),
        ("_Z1fB5cxx11v", "f[abi:cxx11]()"),
        ("_Zbroken", "_Zbroken"),
        ("_Z", "_Z"),
        ("_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE",
         "core::ptr::drop_in_place<alloc::string::String>"),
    ],
)  # fmt: skip
def test_one_name(name: str, text: str) -> None:
    assert demangle([name]) == {name: text}


def test_an_answer_is_bounded() -> None:
    name = (
        "_Z1f"
        + "St4pairIiiE"
        + "".join(f"S_I{s}{s}E" for s in ("S0_", "S1_", "S2_", "S3_", "S4_", "S5_", "S6_", "S7_"))
    )
    (text,) = demangle([name]).values()
    assert len(text) <= MAX_DEMANGLED_CHARS
    assert len(tidy("_Z1f", "x" * 10_000)) == MAX_DEMANGLED_CHARS
    assert len(tidy("x" * 10_000, None)) == MAX_DEMANGLED_CHARS


@given(st.text(max_size=40))
def test_any_text_gives_some_text(name: str) -> None:
    assert set(demangle([name, "_Z" + name])) == {name, "_Z" + name}
    assert not is_mangled("q" + name)
    assert "@" not in strip_version(name)[1:]
