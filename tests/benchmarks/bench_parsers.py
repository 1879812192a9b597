"""Parses made reports of the size that large programs give, and prints CPU and peak memory; valgrind's XML beside ElementTree.

Run by `make bench`, or alone: python tests/benchmarks/bench_parsers.py. Ends with 1 where valgrind's XML takes more CPU than at
25 MB/s, or more than 100 MiB. ElementTree's iterparse, the standard library's way, does the same sums and names no frame.
"""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
XML_RECORDS = 33_000
SLOWEST_MB_PER_S = 25
MOST_MIB = 100
FUNCTIONS = 20_000

_XML_HEAD = """<?xml version="1.0"?>

<valgrindoutput>

<protocolversion>4</protocolversion>
<protocoltool>memcheck</protocoltool>

<pid>10</pid>
<ppid>9</ppid>
<tool>memcheck</tool>

<args>
  <argv>
    <exe>./rpc_server</exe>
  </argv>
</args>

<status>
  <state>FINISHED</state>
  <time>00:00:00:00.055 </time>
</status>

"""
_XML_TAIL = "<errorcounts>\n</errorcounts>\n\n<suppcounts>\n</suppcounts>\n\n</valgrindoutput>\n"


def stacks(records: int) -> Iterator[list[int]]:
    """Function numbers, leaf first. As in a real program the calls fan out from main(): few roots, many leaves."""
    dice = random.Random(2)
    for _ in range(records):
        depth = dice.randint(8, 30)
        yield [int(dice.random() * min(FUNCTIONS, 4 ** (depth - n))) for n in range(depth)]


def write_valgrind_xml(path: Path) -> None:
    modules = ("/srv/rpc_server", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30", "/srv/libcodec.so")
    frames = [
        f"    <frame>\n      <ip>0x{0x109000 + n * 16:X}</ip>\n      <obj>{modules[n % 3]}</obj>\n"
        f"      <fn>_ZN3net7session12handle_frameILi{n}EEEvRKNS_6BufferE</fn>\n      <dir>/srv/build/src/net</dir>\n"
        f"      <file>session_{n % 97}.cpp</file>\n      <line>{n % 3000}</line>\n    </frame>\n"
        for n in range(FUNCTIONS)
    ]
    kinds = ("DefinitelyLost", "IndirectlyLost", "PossiblyLost", "StillReachable")
    with path.open("w") as out:
        out.write(_XML_HEAD)
        for n, stack in enumerate(stacks(XML_RECORDS)):
            out.write(
                f"<error>\n  <unique>0x{n:x}</unique>\n  <tid>1</tid>\n  <kind>Leak_{kinds[n % 4]}</kind>\n  <xwhat>\n"
                f"    <text>64 bytes in 1 blocks are lost in loss record {n + 1:,} of {XML_RECORDS:,}</text>\n"
                "    <leakedbytes>64</leakedbytes>\n    <leakedblocks>1</leakedblocks>\n  </xwhat>\n  <stack>\n"
            )
            out.write("".join([frames[f] for f in stack]) + "  </stack>\n</error>\n\n")
        out.write(_XML_TAIL)


def write_lsan_log(path: Path) -> None:
    with path.open("w") as out:
        out.write("=====\n==5==ERROR: LeakSanitizer: detected memory leaks\n\n")
        count = 20_000
        for stack in stacks(count):
            out.write("Direct leak of 64 byte(s) in 1 object(s) allocated from:\n    #0 0x7f00 in malloc (/l.so+0x1)\n")
            for n, f in enumerate(stack, start=1):
                out.write(
                    f"    #{n} 0x{0x55000000 + f:x} in net::handle<{f}>(Buffer const&) /srv/src/net_{f % 97}.cpp:{f % 3000}\n"
                )
            out.write("\n")
        out.write(f"SUMMARY: LeakSanitizer: {64 * count} byte(s) leaked in {count} allocation(s).\n")


def write_folded(path: Path) -> None:
    with path.open("w") as out:
        for stack in stacks(100_000):
            out.write(";".join(f"net::handle<{f}> (net_{f % 97}.cpp)" for f in reversed(stack)) + "; 64\n")


def write_pprof(path: Path) -> None:
    def varint(number: int) -> bytes:
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes([*out, number])

    def field(number: int, value: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(value)) + value

    def scalar(number: int, value: int) -> bytes:
        return varint(number << 3) + varint(value)

    words = ["", "inuse_objects", "count", "inuse_space", "bytes", *(f"net.handle{n}" for n in range(FUNCTIONS))]
    with gzip.open(path, "wb", 1) as out:
        out.write(field(1, scalar(1, 1) + scalar(2, 2)) + field(1, scalar(1, 3) + scalar(2, 4)))
        for stack in stacks(50_000):
            out.write(field(2, field(1, b"".join(varint(f + 1) for f in stack)) + field(2, b"\x01\x40")))
        for n in range(1, FUNCTIONS + 1):
            out.write(field(4, scalar(1, n) + scalar(3, n * 16) + field(4, scalar(1, n) + scalar(2, n % 3000))))
            out.write(field(5, scalar(1, n) + scalar(2, n + 4)))
        out.write(b"".join(field(6, word.encode()) for word in words))


def with_memtui(path: Path, name: str) -> int:
    import io

    from memtui_parsers.formats.folded_stacks import parse_folded_stacks
    from memtui_parsers.formats.pprof.profile import parse_pprof
    from memtui_parsers.formats.sanitizer_log import parse_lsan_log
    from memtui_parsers.formats.unpack import gunzip
    from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml

    with path.open("rb") as stream:
        match name:
            case "valgrind XML":
                return len(parse_valgrind_xml(stream).leaks)
            case "LSan log":
                return len(parse_lsan_log(stream).leaks)
            case "folded stacks":
                return len(parse_folded_stacks(stream).leaks)
            case _:
                return len(parse_pprof(io.BufferedReader(gunzip(stream))).report.leaks)


def with_elementtree(path: Path) -> int:
    """Sums by kind and addresses of the stack, cleared as it goes: the least that a report needs."""
    from xml.etree.ElementTree import iterparse

    found: dict[tuple[str | None, tuple[str | None, ...]], int] = {}
    events = iterparse(path, events=("start", "end"))
    _, root = next(events)
    for event, element in events:
        if event == "end" and element.tag == "error":
            key = (element.findtext("kind"), tuple(ip.text for ip in element.iterfind("stack/frame/ip")))
            found[key] = found.get(key, 0) + int(element.findtext("xwhat/leakedbytes") or 0)
            root.clear()
    return len(found)


FILES = {
    "valgrind XML": ("big.xml", write_valgrind_xml),
    "LSan log": ("big.log", write_lsan_log),
    "folded stacks": ("big.folded", write_folded),
    "pprof": ("big.pb.gz", write_pprof),
}


def measure(name: str, how: str, path: Path) -> None:
    """In a process of its own, so that its peak is the parser's; /proc's figure, which does not inherit the parent's."""
    began = time.process_time()
    found = with_elementtree(path) if how == "ElementTree" else with_memtui(path, name)
    cpu_s = time.process_time() - began
    status = Path("/proc/self/status").read_text()
    (peak_kb,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(f"{found} {cpu_s} {peak_kb / 1024}\n")


def main() -> int:
    held = True
    with tempfile.TemporaryDirectory() as folder:
        for name, (file, write) in FILES.items():
            path = Path(folder) / file
            write(path)
            for how in ("memtui", "ElementTree") if name == "valgrind XML" else ("memtui",):
                command = [sys.executable, __file__, name, how, str(path)]
                environment = {"PYTHONPATH": str(ROOT / "parsers")}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found, (cpu_s, peak_mib) = done.stdout.split()[0], map(float, done.stdout.split()[1:])
                size_mb = path.stat().st_size / 1e6
                speed = size_mb / cpu_s
                figures = f"{cpu_s:.2f} s CPU, {speed:.0f} MB/s, peak {peak_mib:.0f} MiB"
                sys.stdout.write(f"{name}, {size_mb:.0f} MB, {found} stacks: {how}: {figures}\n")
                sys.stdout.flush()
                if name == "valgrind XML" and how == "memtui":
                    held = speed >= SLOWEST_MB_PER_S and peak_mib <= MOST_MIB
            path.unlink()
    if not held:
        sys.stdout.write(f"valgrind XML: not within {SLOWEST_MB_PER_S} MB/s and {MOST_MIB} MiB\n")
    return 0 if held else 1


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
