"""Names that are made to hurt a demangler cost a fraction of a second, and the others are still read."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from memtui_profiler.symbols.demangling import demangled

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def seq(number: int) -> str:
    """The mangled name's word for substitution ``number``."""
    if number == 0:
        return "S_"
    digits = ""
    number -= 1
    while True:
        digits = DIGITS[number % 36] + digits
        number //= 36
        if number == 0:
            return f"S{digits}_"


def doubling(levels: int) -> str:
    """Each level is a pair of the level before: 2**levels words when spelled out."""
    return "_Z1fSt4pairI1AS0_E" + "".join(f"S_I{seq(2 + n)}{seq(2 + n)}E" for n in range(levels))


def test_ordinary_names_versions_and_rust() -> None:
    names = ["_Z4openi", "_Z4openi@@V2", "main", "_RNvCs1234_7mycrate3foo", "two words", "_Z3fo\nv", ""]
    found = demangled(names)
    assert found["_Z4openi"] == found["_Z4openi@@V2"] == "open(int)"
    assert found["main"] == "main" and found["two words"] == "two words" and found[""] == ""
    assert found["_RNvCs1234_7mycrate3foo"].endswith("::foo")
    assert found["_Z3fo\nv"] == "_Z3fo\nv"


def test_a_name_longer_than_libstdcxx_takes() -> None:
    name = "_Z1fI" + "1A" * 600 + "EvT_"
    assert demangled([name])[name].startswith("void f<A, A, ")


def test_hostile_names_stay_mangled_and_spare_the_rest() -> None:
    assert len(demangled([doubling(3)])[doubling(3)]) > 300, "the name is well formed"
    hostile = [doubling(levels) for levels in (30, 60, 100)]
    start = time.monotonic()
    found = demangled([*hostile, "_Z4openi", "_ZN3Foo3barEv"])
    assert time.monotonic() - start < 10
    assert [found[name] for name in hostile] == hostile
    assert found["_Z4openi"] == "open(int)" and found["_ZN3Foo3barEv"] == "Foo::bar()"


def test_the_same_answers_with_and_without_cxxfilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
    listed = subprocess.run(["nm", "-D", library], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()} | {
        "_Z4openv.isra.0",
        "_Z1f\u00e9",
        "_Zbroken",
        "@",
        "_Z1fSs",
    }
    assert len(names) > 3000
    with_cxxfilt = demangled(names)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demangled(names) == with_cxxfilt
    assert with_cxxfilt["_Z1fSs"] == "f(std::string)"


def test_names_that_are_spelled_out_to_hundreds_of_megabytes_are_bounded() -> None:
    levels = range(13, 19)
    names = [doubling(n).replace("1fSt", f"{len(f'f{k}')}f{k}St") for n in levels for k in range(20)]
    start = time.monotonic()
    found = demangled([*names, "_Z4openi"])
    assert time.monotonic() - start < 30
    assert all(len(text) <= 4096 for text in found.values())
    assert found["_Z4openi"] == "open(int)"
