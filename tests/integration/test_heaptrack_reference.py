"""heaptrack's recordings of real programs beside `heaptrack_print` on the same file: the same totals, by stack and in all."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_parsers.formats.unpack import unpacker

PROGRAM = """
#include <cstdlib>
#include <map>
#include <string>
struct Session { char bytes[512]; };
Session* volatile kept[1000];
static inline __attribute__((always_inline)) Session* inner() { return new Session; }
__attribute__((noinline)) Session* open_session() { return inner(); }
__attribute__((noinline)) void cache(std::map<int, std::string>& into) {
  for (int n = 0; n < 500; n++) into[n] = std::string(100 + n % 50, 'x');
}
int main() {
  for (int n = 0; n < 1000; n++) { kept[n] = open_session(); if (n % 3 == 0) { delete kept[n]; kept[n] = nullptr; } }
  auto* map = new std::map<int, std::string>;
  cache(*map);
  for (int n = 0; n < 20000; n++) { void* volatile block = malloc(n); free(block); }
}
"""
_FACTORS = {"B": 1, "K": 1e3, "M": 1e6, "G": 1e9}


def record(folder: Path, *command: str) -> Path:
    out = folder / "recording"
    subprocess.run(["heaptrack", "-o", str(out), *command], capture_output=True, check=True)
    (path,) = folder.glob("recording*")
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heaptrack")
    (folder / "leaky.cpp").write_text(PROGRAM)
    subprocess.run(["g++", "-g", "-O1", "-o", "leaky", "leaky.cpp"], cwd=folder, check=True)
    return record(folder, str(folder / "leaky"))


def printed(path: Path, folder: Path) -> tuple[str, int]:
    """What heaptrack_print says was leaked in all, and the sum by stack that it writes for a flame graph."""
    out = folder / "folded"
    command = [
        "heaptrack_print",
        "-a0",
        "-p0",
        "-T0",
        "--flamegraph-cost-type",
        "leaked",
        "-F",
        str(out),
        "-f",
        str(path),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    total = re.search(r"total memory leaked: (.*)", shown)
    assert total
    return total[1], sum(int(line.rpartition(" ")[2]) for line in out.read_text().splitlines())


def opened(path: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "memtui", "open", "--format", "json", str(path)]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert isinstance(report, dict)
    return report


def assert_same_total(path: Path, folder: Path) -> dict[str, object]:
    report = opened(path)
    words, by_stack = printed(path, folder)
    total = report["total"]
    assert isinstance(total, dict) and total["bytes"] == by_stack > 0
    assert total["bytes"] / _FACTORS[words[-1]] == pytest.approx(float(words[:-1]), abs=0.006)
    assert report["checker"] == "heaptrack" and report["status"] == "complete"
    return report


def test_a_program_of_c_plus_plus(recording: Path, tmp_path: Path) -> None:
    report = assert_same_total(recording, tmp_path)
    text = json.dumps(report)
    assert '"inlined": true' in text and "open_session" in text and "cache(" in text
    leaks = report["leaks"]
    assert isinstance(leaks, list) and (leaks[0]["bytes"], leaks[0]["objects"]) == (666 * 512, 666)


def test_packed_by_gzip_and_with_strings_as_older_versions_wrote_them(recording: Path, tmp_path: Path) -> None:
    with open(recording, "rb") as packed:
        unpack = unpacker(packed.read(4))
        assert unpack is not None
        packed.seek(0)
        text = io.BufferedReader(unpack(packed, 1 << 30)).read()
    again = tmp_path / "again.gz"
    again.write_bytes(gzip.compress(text))
    report = assert_same_total(again, tmp_path)
    older = re.sub(rb"(?m)^s [0-9a-f]+ ", b"s ", re.sub(rb"\Av ([0-9a-f]+) 3", rb"v \1 2", text))
    old = tmp_path / "old.gz"
    old.write_bytes(gzip.compress(older))
    assert assert_same_total(old, tmp_path)["leaks"] == report["leaks"]


def test_a_program_whose_libraries_keep_what_heaptrack_suppresses(tmp_path: Path) -> None:
    program = (
        "import time, socket; time.tzset(); kept = [bytearray(1000 + n) for n in range(3000)]; import os; os._exit(0)"
    )
    assert_same_total(record(tmp_path, sys.executable, "-S", "-c", program), tmp_path)


def test_a_recording_cut_short_is_told(recording: Path, tmp_path: Path) -> None:
    cut = tmp_path / f"cut{recording.suffix}"
    data = recording.read_bytes()
    cut.write_bytes(data[: len(data) * 9 // 10])
    done = subprocess.run([sys.executable, "-m", "memtui", "open", "--plain", str(cut)], capture_output=True, text=True)
    assert "ends in the middle" in done.stdout + done.stderr and "no leaks found" not in done.stdout
