"""Lines and function names of 10,000 addresses against llvm-symbolizer: CPU seconds and memory, and the same answers.

    python tests/benchmarks/bench_symbols.py [BINARY]

Without a BINARY one is built from template-heavy C++ (some 15 MB of DWARF, 25 s). The kernel counts the CPU time of each side in a
process of its own; STYLE.md's target is llvm-symbolizer's CPU and a third of its memory on 100 MB.
"""

from __future__ import annotations

import os
import posixpath
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "parsers"), str(ROOT / "profiler")]

ADDRESSES = 10_000
UNITS = 3
UNIT = """
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
namespace unit@ {
template <int K> struct Thing {
  std::map<int, std::vector<std::string>> data;
  std::unordered_map<std::string, std::shared_ptr<Thing>> more;
  int add(int k, const std::string& s) {
    data[k * K].push_back(s);
    more[s] = std::make_shared<Thing>();
    std::sort(data[k * K].begin(), data[k * K].end());
    std::function<int(int)> f = [&](int x) { return x * K + int(data.size()); };
    return f(k);
  }
};
template <int K> int use(int x) {
  Thing<K> t;
  if constexpr (K > 0) return t.add(x, "a") + use<K - 1>(x);
  return t.add(x, "b");
}
int run(int x) { return std::regex_search(std::to_string(x), std::regex("a+b|c")) + use<20>(x); }
}
"""

Answers = dict[int, tuple[str, int]]


def build(folder: Path) -> Path:
    calls = []
    for number in range(UNITS):
        (folder / f"u{number}.cpp").write_text(UNIT.replace("@", str(number)))
        subprocess.run(["g++", "-std=c++17", "-g", "-O1", "-c", f"u{number}.cpp"], check=True, cwd=folder)
        calls.append(f"unit{number}::run(c)")
    declared = "".join(f"namespace unit{n} {{ int run(int); }}\n" for n in range(UNITS))
    (folder / "main.cpp").write_text(f"{declared}int main(int c, char**) {{ return {' + '.join(calls)}; }}\n")
    objects = [f"u{n}.o" for n in range(UNITS)]
    subprocess.run(["g++", "-g", "-O1", "-o", "program", "main.cpp", *objects], check=True, cwd=folder)
    return folder / "program"


def sample(path: Path) -> list[int]:
    from memtui_parsers.elf_image import read_image

    with path.open("rb") as stream:
        text = read_image(stream).section(".text")
    assert text is not None
    places = range(text.address, text.address + text.size)
    return sorted(random.Random(1).sample(places, min(ADDRESSES, len(places))))


def ours(path: Path, addresses: list[int]) -> Answers:
    from memtui_parsers.dwarf_lines import find_lines, open_dwarf
    from memtui_parsers.elf_image import read_image
    from memtui_parsers.elf_symbols import read_functions

    with path.open("rb") as stream:
        image = read_image(stream)
        functions = read_functions(stream, image)
        for address in addresses:
            functions.name_at(address)
        sections = open_dwarf(stream, image)
        assert sections is not None
        lowest = min(s.vaddr for s in image.segments if s.kind == "PT_LOAD" and s.executable)
        found = find_lines(sections, addresses, little_endian=True, address_bytes=8, lowest=lowest)
        return {address: (file, line) for address, file, line in found}


def theirs(path: Path, addresses: list[int]) -> Answers:
    asked = "".join(f"{address:#x}\n" for address in addresses)
    command = ["llvm-symbolizer", f"--obj={path}", "--inlines", "--functions=linkage"]
    output = subprocess.run(command, input=asked, check=True, capture_output=True, text=True).stdout
    answers: Answers = {}
    for address, block in zip(addresses, output.rstrip("\n").split("\n\n"), strict=True):
        file, line, _ = block.split("\n")[1].rsplit(":", 2)
        if file != "??" and (file, line) != ("crtstuff.c", "0"):
            answers[address] = (posixpath.normpath(file), int(line))
    return answers


def measured(side: str, path: Path, addresses: list[int]) -> Answers:
    """Run one side in a fork; print what it and its children took."""
    reading, writing = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        found = ours(path, addresses) if side == "memtui" else theirs(path, addresses)
        who = resource.RUSAGE_SELF if side == "memtui" else resource.RUSAGE_CHILDREN
        usage = resource.getrusage(who)
        with os.fdopen(writing, "w") as out:
            out.write(f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}\n")
            out.writelines(f"{a} {line} {file}\n" for a, (file, line) in found.items())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as result:
        cpu_s, rss_kib = result.readline().split()
        rows = [row.rstrip("\n").split(" ", 2) for row in result]
    os.waitpid(pid, 0)
    wall_s = time.monotonic() - start
    sys.stdout.write(f"{side:16} {float(cpu_s):6.2f} s CPU {int(rss_kib) >> 10:5} MiB {wall_s:6.2f} s wall\n")
    return {int(address): (file, int(line)) for address, line, file in rows}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else build(Path(folder))
        addresses = sample(path)
        sys.stdout.write(f"{path.name}: {path.stat().st_size >> 20} MiB, {len(addresses)} addresses\n")
        mine = measured("memtui", path, addresses)
        reference = measured("llvm-symbolizer", path, addresses)
        differing = sum(mine.get(a) != reference.get(a) for a in addresses)
        sys.stdout.write(f"{differing} of {len(addresses)} lines differ\n")


if __name__ == "__main__":
    main()
