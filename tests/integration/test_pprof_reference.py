"""Profiles in pprof's formats beside `go tool pprof`, jeprof and google-pprof on the same file: the totals that both show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.fixtures.report_files import REPORTS
from tests.parsers.formats.pprof.test_profile import message, one, text

_FACTORS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def go_total_bytes(path: Path, sample_type: str = "") -> float:
    """What `go tool pprof` says that the profile has in all; of the column it shows by itself where none is named."""
    options = [f"-sample_index={sample_type}"] if sample_type else []
    command = ["go", "tool", "pprof", "-top", "-symbolize=none", "-unit=B", *options, str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figure = re.search(r" of ([\d.]+)([kMG]?B) total", shown)
    assert figure, shown
    return float(figure[1]) * _FACTORS[figure[2]]


def perl_total_mb(tool: str, path: Path | str, *options: str) -> float:
    """The total that jeprof or google-pprof says in megabytes."""
    shown = subprocess.run([tool, "--text", *options, str(path)], capture_output=True, text=True, check=True).stdout
    total = re.search(r"Total: ([\d.]+) MB", shown)
    assert total, shown
    return float(total[1])


def opened(path: Path, *options: str) -> tuple[int, dict[str, int], list[str]]:
    """The exit code of `memtui open`, the total of the report, and its notes or the lines of the refusal."""
    command = [sys.executable, "-m", "memtui", "open", "--format", "json", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.returncode, {}, done.stderr.splitlines()
    report = json.loads(done.stdout)
    assert report["total"]["bytes"] == sum(leak["bytes"] for leak in report["leaks"])
    return 0, report["total"], report["notes"]


def test_ddprof_names_with_hyphens() -> None:
    path = REPORTS / "pprof-ddprof.pb.gz"
    _, total, notes = opened(path)
    assert total == {"bytes": 10_500, "objects": 15} and total["bytes"] == go_total_bytes(path)
    assert any("inuse-space is shown" in note and "alloc-space" in note for note in notes)
    _, total, _ = opened(path, "--sample-type", "alloc_space")
    assert total["bytes"] == go_total_bytes(path, "alloc-space")
    code, _, told = opened(path, "--sample-type", "nothing")
    assert code == 3 and "alloc-space, inuse-space" in told[0]


@pytest.mark.parametrize("unit", ["bytes", "kilobytes", "kB", "MB"])
@pytest.mark.parametrize("name", ["inuse_space", "space"])
def test_units_and_the_column_that_pprof_shows(unit: str, name: str, tmp_path: Path) -> None:
    words = ("alloc_space", unit, name, unit, "f", "g")
    functions = b"".join(text(5, bytes([8, n, 16, 4 + n])) for n in (1, 2))
    locations = b"".join(text(4, bytes([8, n]) + text(4, bytes([8, n]))) for n in (1, 2))
    path = tmp_path / "heap.pb"
    path.write_bytes(
        message(*words, samples=one([9000, 1500], [1]) + one([77, 12], [2]), more=locations + functions, types=(1, 3))
    )
    _, total, _ = opened(path)
    assert total["bytes"] == go_total_bytes(path)


def test_real_profiles_of_go() -> None:
    for path in (REPORTS / "pprof-go.pb.gz", REPORTS / "pprof-native.pb.gz"):
        assert opened(path)[1]["bytes"] == go_total_bytes(path)


def test_the_text_of_go() -> None:
    path = REPORTS / "go-heap.txt"
    total = opened(path)[1]
    assert total["bytes"] == go_total_bytes(path, "inuse_space")
    command = ["go", "tool", "pprof", "-top", "-symbolize=none", "-sample_index=inuse_objects", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(rf" of {total['objects']} total", shown), shown


def test_a_symbolized_profile_beside_jeprof() -> None:
    path = REPORTS / "jeprof-raw.prof"
    assert round(opened(path)[1]["bytes"] / (1 << 20), 1) == perl_total_mb("jeprof", path)
    command = [sys.executable, "-m", "memtui", "open", "--plain", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    first, second = shown.split("\n1. ")[1].split("\n2. ")
    assert re.match(r"236\.2 MiB.*: read_block\n", first) and re.match(r"61\.8 MiB.*: copy_string\n", second), shown
    assert "no names" not in shown


def test_which_of_the_calls_at_an_address_is_the_innermost(tmp_path: Path) -> None:
    path = tmp_path / "symbolized"
    path.write_text(
        "--- symbol\nbinary=/srv/app\n0x20 outer--inner\n0x2f main\n---\n--- heap\n"
        "heap profile: 1: 1048576 [1: 1048576] @ heapprofile\n1: 1048576 [1: 1048576] @ 0x20 0x30\n\nMAPPED_LIBRARIES:\n"
    )
    shown = subprocess.run(["jeprof", "--text", str(path)], capture_output=True, text=True, check=True).stdout
    command = [sys.executable, "-m", "memtui", "open", "--format", "json", str(path)]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [frame["function"] for frame in report["leaks"][0]["stack"]] == ["inner", "outer", "main"]
    assert re.search(r"1\.0 100\.0% 100\.0% .* inner \(inline\)", shown), shown


class _Server(BaseHTTPRequestHandler):
    """What a server with gperftools' handlers answers: its heap, and the names of addresses that are posted."""

    heap = b""
    names: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        self._say(
            {"/pprof/heap": self.heap, "/pprof/symbol": b"num_symbols: 1\n", "/pprof/cmdline": b"/srv/app\n"}[self.path]
        )

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode().strip().split("+")
        found = ((address, self.names.get(address.removeprefix("0x").lstrip("0"))) for address in asked)
        self._say("".join(f"{address}\t{name}\n" for address, name in found if name).encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("tool", [pytest.param("google-pprof", marks=pytest.mark.heap_checker), "jeprof"])
def test_what_pprof_fetches_raw_of_a_server(tool: str, tmp_path: Path) -> None:
    _Server.heap = (REPORTS / "pprof-native.heap").read_bytes()
    _Server.names = {"56527eb8a2a3": "outer(char const*)--inner(int)", "56527eb8a25d": "leaf"}
    _Server.names |= {"56527eb8a2a4": _Server.names["56527eb8a2a3"]}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/pprof/heap"
        environment = {
            **os.environ,
            "PPROF_TMPDIR": str(tmp_path),
            "JEPROF_TMPDIR": str(tmp_path),
            "HOME": str(tmp_path),
        }
        done = subprocess.run([tool, "--raw", address], capture_output=True, env=environment)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0 and done.stdout.startswith(b"--- symbol"), done.stderr
    raw = tmp_path / "raw.prof"
    raw.write_bytes(done.stdout)
    code, total, _ = opened(raw)
    assert (code, total) == (0, {"bytes": 11_072, "objects": 73})
    shown = subprocess.run(
        [sys.executable, "-m", "memtui", "open", "--plain", str(raw)], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"inner\(int\) \(inlined\).*\n +outer\(char const\*\)", shown), shown


@pytest.mark.parametrize(
    "text", ["heap profile: 0: 0 [0: 0] @ heap/1048576\n\n# runtime.MemStats\n", "heap_v2/524288\n"]
)
def test_a_sampled_profile_of_nothing_is_never_no_leaks(text: str, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_text(text)
    code, _, told = opened(path)
    assert code == 3 and "nothing in it was sampled" in told[0]
