"""Lines and functions address by address against llvm-symbolizer, on programs of every DWARF version."""

from __future__ import annotations

import posixpath
import shutil
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.dwarf.calls import find_calls
from memtui_parsers.dwarf.sections import open_dwarf
from memtui_parsers.elf.image import read_image
from memtui_parsers.elf.symbols import read_functions
from tests.fixtures.demangled import demangle

STEP = 7

MAIN = """
#include "part.h"
#include <string>
#include <vector>
template <int N> struct Tower { static inline int climb(int x) { return Tower<N - 1>::climb(x) * 3 + N; } };
template <> struct Tower<0> { static inline int climb(int x) { return x; } };
static inline int* leak(int n) { return new int[n]; }
__attribute__((noinline)) static int work(int n) { return *leak(n) + shared_inline(n); }
__attribute__((section(".text.dropped"))) int dropped(int n) {
  int total = 0;
  for (int i = 0; i < n; i++) total += shared_inline(i) * n;
  return total;
}
int main(int argc, char** argv) {
  std::vector<std::string> seen;
  for (int i = 0; i < argc; i++) seen.push_back(argv[i] + std::to_string(Tower<20>::climb(i) + work(i) + part(i)));
  return seen.size();
}
"""
HEADER = """
#pragma once
#include <string>
int part(int n);
inline int shared_inline(int n) {
  std::string text = std::to_string(n);
  return text.size() + 3;
}
"""
PART = """
#include "part.h"
struct Base { virtual ~Base() {} virtual int answer(int n) { return n; } };
struct Derived : Base { std::string name; ~Derived() override {} int answer(int n) override { return shared_inline(n); } };
int part(int n) { Derived d; Base& b = d; return b.answer(n); }
"""

# The linkers that fold functions of equal code: Debian 12 has gold, which newer releases leave out.
FOLDING = "gold" if shutil.which("ld.gold") else "lld"
BUILDS = [
    *(f"-gdwarf-{version} {level}" for version in (2, 3, 4, 5) for level in ("-O0", "-O2")),
    "-gdwarf-5 -O2 -no-pie",
    "-gdwarf-4 -O1 -ffunction-sections -Wl,--gc-sections",
    f"-gdwarf-4 -O1 -ffunction-sections -fuse-ld={FOLDING} -Wl,--gc-sections -Wl,--icf=all",
    "-gdwarf-4 -O1 -gz=zlib",
    "-gdwarf-5 -O2 -gz=zlib",
    "-gdwarf-5 -O2 -gz=zlib-gnu",
    "-gdwarf-5 -O2 -gsplit-dwarf",
    "-gdwarf-4 -O2 -flto",
    "-gdwarf-5 -O1 -fdebug-prefix-map={folder}=.",
    "-gdwarf-4 -O1 -fdebug-prefix-map={folder}=.",
    "-gdwarf-4 -O2 -gno-as-loc-support",
    "-gdwarf-5 -O2 -gno-as-loc-support",
    "-g1 -O2",
    "-g -gdwarf64 -O1",
]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dwarf")
    (folder / "include").mkdir()
    (folder / "main.cpp").write_text(MAIN)
    (folder / "part.cpp").write_text(PART)
    (folder / "include" / "part.h").write_text(HEADER)
    return folder


def build(folder: Path, flags: str) -> Path:
    path = folder / ("program" + flags.translate(str.maketrans("", "", " ,{}=")))
    command = [
        "g++",
        "-std=c++17",
        "-Iinclude",
        "-o",
        str(path),
        "main.cpp",
        "part.cpp",
        *flags.format(folder=folder).split(),
    ]
    subprocess.run(command, check=True, cwd=folder)
    return path


def text_addresses(path: Path, step: int) -> list[int]:
    with path.open("rb") as stream:
        section = read_image(stream).section(".text")
    assert section is not None
    return list(range(section.address, section.address + section.size, step))


def our_lines(path: Path, addresses: list[int]) -> dict[int, tuple[str, int]]:
    with path.open("rb") as stream:
        image = read_image(stream)
        sections = open_dwarf(stream, image)
        assert sections is not None
        lowest = min(s.vaddr for s in image.segments if s.kind == "PT_LOAD" and s.executable)
        found = find_calls(sections, addresses, lowest=lowest)
        answers = [(a, (calls[0].file, calls[0].line)) for a, calls in found if calls[0].file is not None]
    assert len(answers) == len(dict(answers)), "an address is answered once"
    return dict(answers)


def their_answers(path: Path, addresses: list[int]) -> dict[int, tuple[str, tuple[str, int] | None]]:
    """The physical function (linkage name) and the innermost line."""
    command = ["llvm-symbolizer", f"--obj={path}", "--inlines", "--functions=linkage", "--no-demangle"]
    asked = "".join(f"{address:#x}\n" for address in addresses)
    output = subprocess.run(command, input=asked, check=True, capture_output=True, text=True).stdout
    answers: dict[int, tuple[str, tuple[str, int] | None]] = {}
    for address, block in zip(addresses, output.rstrip("\n").split("\n\n"), strict=True):
        lines = block.split("\n")
        file, line, _ = lines[1].rsplit(":", 2)
        # Where no line program speaks llvm names the symbol table's file: that is no line.
        known = file != "??" and not (file == "crtstuff.c" and line == "0")
        answers[address] = (lines[-2], (posixpath.normpath(file), int(line)) if known else None)
    return answers


@pytest.mark.parametrize("flags", BUILDS)
def test_the_same_lines_as_llvm_symbolizer(sources: Path, flags: str) -> None:
    path = build(sources, flags)
    addresses = text_addresses(path, STEP)
    ours = our_lines(path, addresses)
    theirs = their_answers(path, addresses)
    assert len(ours) > 200
    assert {a: ours.get(a) for a in addresses} == {a: theirs[a][1] for a in addresses}


@pytest.mark.parametrize("flags", ["-g -O0", "-g -O2", "-g1 -O2 -no-pie"])
def test_the_same_functions_as_llvm_symbolizer(sources: Path, flags: str) -> None:
    path = build(sources, flags)
    addresses = text_addresses(path, STEP)
    with path.open("rb") as stream:
        table = read_functions(stream)
        ours = {address: table.names_at((address,)).get(address) for address in addresses}
    theirs = {address: name for address, (name, _) in their_answers(path, addresses).items()}
    readable = demangle({name for name in (*ours.values(), *theirs.values()) if name})

    def shown(name: str | None) -> str:
        # Constructors have two names for one address; they read the same. DWARF's names lack the clones' suffixes.
        return readable[name].partition(" [clone")[0] if name and name != "??" else ""

    assert sum(1 for name in ours.values() if name) > 200
    assert {a: shown(n) for a, n in ours.items()} == {a: shown(n) for a, n in theirs.items()}


def test_without_aranges_the_answers_are_the_same(sources: Path) -> None:
    path = build(sources, "-gdwarf-4 -O2")
    addresses = text_addresses(path, STEP)
    before = our_lines(path, addresses)
    subprocess.run(["objcopy", "--remove-section=.debug_aranges", path], check=True)
    assert our_lines(path, addresses) == before
    subprocess.run(["objcopy", "--remove-section=.debug_info", path], check=True)
    alone = our_lines(path, addresses)
    assert {a: line for a, (_, line) in alone.items()} == {a: line for a, (_, line) in before.items()}
    assert {file for file, _ in alone.values()} >= {"main.cpp", "include/part.h"}, "relative to who knows what"


def test_addr2line_agrees(sources: Path) -> None:
    path = build(sources, "-gdwarf-4 -O2")
    addresses = text_addresses(path, STEP)
    asked = "".join(f"{address:#x}\n" for address in addresses)
    output = subprocess.run(["addr2line", "-e", path], input=asked, check=True, capture_output=True, text=True).stdout
    ours = our_lines(path, addresses)
    for address, line in zip(addresses, output.splitlines(), strict=True):
        file, _, number = line.partition(" (")[0].rpartition(":")
        if number.isdigit() and int(number):
            assert ours[address] == (posixpath.normpath(file), int(number))


def test_code_of_no_program_has_no_line(sources: Path) -> None:
    path = build(sources, "-g -O2")
    assert our_lines(path, [0, 1, 0x10, 1 << 40, (1 << 64) - 1]) == {}
    assert our_lines(path, []) == {}
