"""Files without end, of each shape that a parser could be caught by: read whole, in memory that does not grow with them.

Each in a process of its own, whose peak is its parser's. The sizes are far above any bound on what is held, far below what a
file can have: whatever grew with the file would show.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import sys
from memtui_parsers.errors import ParseError
from memtui_parsers.{module} import {function}

class Endless:
    def __init__(self, pieces):
        self.pieces = pieces
        self.held = b""

    def read(self, size=-1):
        while len(self.held) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.held += piece
        piece, self.held = self.held[:size], self.held[size:]
        return piece

def pieces():
    unit, left, number = {unit!r}, {mib} << 20, 0
    yield {head!r}
    while left > 0:
        if b"@@" in unit:
            piece = b"".join(unit.replace(b"@@", b"%d" % n) for n in range(number, number + 500))
            number += 500
        else:
            piece = unit * (1 + (1 << 16) // len(unit))
        left -= len(piece)
        yield piece

try:
    {function}(Endless(pieces()))
except ParseError as error:
    sys.stderr.write(str(error))
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""


class Case(NamedTuple):
    """``unit`` again and again, ``mib`` of it; ``@@`` in it is another number each time."""

    parser: tuple[str, str]
    head: bytes
    unit: bytes
    mib: int
    most_mib: int


XML = "formats.valgrind.xml", "parse_valgrind_xml"
LSAN = "formats.sanitizer_log", "parse_lsan_log"
FOLDED = "formats.folded_stacks", "parse_folded_stacks"
PPROF = "formats.pprof.profile", "parse_pprof"
JSON = "report.json_reader", "parse_report_json"
HEAP = "formats.gperftools_heap", "parse_heap"
HEAPCHECK = "formats.heapcheck_log", "parse_heapcheck_log"
TEXT = "formats.valgrind.text", "parse_valgrind_text"
HEAPTRACK = "formats.heaptrack", "parse_heaptrack"
SNIFF = "formats.sniff", "sniff"

ROOT_TAG = b"<valgrindoutput><protocolversion>4</protocolversion>"
LONG_FRAME = b"<stack><frame><fn>f@@" + b"y" * 3000 + b"</fn></frame>"
WHAT = b"<xwhat><text>t</text><leakedbytes>8</leakedbytes><leakedblocks>1</leakedblocks></xwhat>"
LEAK = b"<error><kind>Leak_PossiblyLost</kind>" + WHAT
LEAKED = (
    b"==5==ERROR: LeakSanitizer: detected memory leaks\n\nDirect leak of 8 byte(s) in 1 object(s) allocated from:\n"
)
SUMMARY = b"SUMMARY: L: 8 byte(s) leaked in 1 allocation(s)\n"
TYPES = b"\x0a\x04\x08\x01\x10\x02"
HEAP_HEAD = b"heap profile: 1: 8 [ 1: 8] @ heapprofile\n"
MAPS = b"MAPPED_LIBRARIES:\n"
CHECKED = b"Leak check _main_ detected leaks of 8 bytes in 1 objects\nThe 1 largest leaks:\n"
LOST = b"==5== 8 bytes in 1 blocks are definitely lost in loss record 1 of 1\n"
HEAD = b'{"schema": "memtui-report/1", "leaks": ['

# An interpreter with a parser takes 20 to 30 MiB.
CASES = {
    "xml, one text": Case(XML, ROOT_TAG + b"<pid>", b"x", 64, 60),
    "xml, one text of references": Case(XML, ROOT_TAG + b"<pid>", b"&amp;", 32, 60),
    "xml, one comment": Case(XML, ROOT_TAG + b"<!--", b"x", 64, 60),
    "xml, one tag": Case(XML, ROOT_TAG + b"<pid", b" a", 64, 60),
    "xml, elements in elements": Case(XML, ROOT_TAG, b"<pid>", 32, 60),
    "xml, one frame": Case(XML, ROOT_TAG + LEAK + b"<stack><frame>", b"<ip>0x1</ip>", 32, 60),
    "xml, one stack": Case(XML, ROOT_TAG + LEAK + b"<stack>", b"<frame><ip>0x1</ip></frame>", 32, 60),
    "xml, suppressions": Case(XML, ROOT_TAG + b"<suppcounts>", b"<pair><count>1</count><name>n@@</name></pair>", 12, 250),
    "xml, frames": Case(XML, ROOT_TAG, LEAK + b"<stack><frame><ip>0x@@</ip><fn>f@@</fn></frame></stack></error>", 24, 400),
    "xml, long names": Case(XML, ROOT_TAG, LEAK + LONG_FRAME + b"</stack></error>", 48, 250),
    "xml, errors": Case(XML, ROOT_TAG, b"<error><unique>@@</unique><what>" + b"w@@" * 300 + b"</what></error>", 48, 250),
    "lsan, one line": Case(LSAN, LEAKED + b"    #1 0x1 in ", b"f(", 64, 60),
    "lsan, one stack": Case(LSAN, LEAKED, b"    #1 0x1 in f /a.c:1\n", 32, 60),
    "lsan, frames": Case(LSAN, LEAKED, LEAKED + b"    #1 0x@@ in f@@ /a.c:1\n\n", 16, 400),
    "lsan, reports": Case(LSAN, b"", LEAKED + SUMMARY, 32, 60),
    "folded, one line": Case(FOLDED, b"", b"main;", 64, 60),
    "folded, frames": Case(FOLDED, b"", b"main;f@@" + b"z" * 300 + b" 5\n", 48, 300),
    "pprof, one field": Case(PPROF, TYPES + b"\x32\xff\xff\xff\x7f", b"s", 64, 60),
    "pprof, strings": Case(PPROF, TYPES, b"\x32\x80\x20" + b"s" * 4096, 128, 200),
    "pprof, samples": Case(PPROF, TYPES, b"\x12\x08\x0a\x03\x01\x02\x03\x12\x01\x05", 8, 60),
    "json, one value": Case(JSON, HEAD + b'"', b"x", 128, 80),
    "json, lists in lists": Case(JSON, HEAD, b"[", 32, 60),
    "json, small lists": Case(JSON, HEAD + b"[", b"[],", 64, 250),
    "json, fields": Case(JSON, b"{", b'"k@@": [1, 2],', 8, 60),
    "heap, one line": Case(HEAP, HEAP_HEAD + b"1: 8 [1: 8] @", b" 0x10", 64, 60),
    "heap, one header": Case(HEAP, b"heap profile:", b" 1", 64, 60),
    "heap, one stack again": Case(HEAP, HEAP_HEAD, b"1: 8 [1: 8] @ 0x10 0x20\n", 64, 60),
    "heap, stacks": Case(HEAP, HEAP_HEAD, b"@@: 8@@ [1: 8] @ 0x1@@ 0x2@@ 0x3@@\n", 64, 450),
    "heap, deep stacks": Case(HEAP, HEAP_HEAD, b"1: 8 [1: 8] @ 0x@@" + b" 0x10 0x20 0x30 0x40" * 60 + b"\n", 128, 250),
    "heap, libraries": Case(HEAP, HEAP_HEAD + MAPS, b"@@000-@@fff r-xp 0 08:01 1 /l@@\n", 64, 400),
    "heap, long paths": Case(HEAP, HEAP_HEAD + MAPS, b"@@000-@@fff r-xp 0 08:01 1 /" + b"y" * 3000 + b"@@\n", 256, 150),
    "heap, jemalloc's": Case(HEAP, b"heap_v2/1\n", b"@ 0x1@@ 0x2@@\n t*: 1: 8 [0: 0]\n t1: 1: 8 [0: 0]\n", 64, 450),
    "heapcheck, one line": Case(HEAPCHECK, CHECKED, b"x", 64, 60),
    "heapcheck, one stack": Case(HEAPCHECK, CHECKED + b"Leak of 8 bytes in 1 objects allocated from:\n", b"\t@ 401000 f\n", 8, 60),
    "heapcheck, checks": Case(HEAPCHECK, b"", CHECKED + b"Leak of 8 bytes in 1 objects allocated from:\n\t@ 4@@ f@@\n", 8, 100),
    "text, one line": Case(TEXT, LOST + b"==5==    at 0x1: f", b"(", 64, 60),
    "text, one stack": Case(TEXT, LOST, b"==5==    by 0x1: f (a.c:1)\n", 16, 60),
    "text, frames": Case(TEXT, b"", LOST + b"==5==    at 0x@@: f@@ (a.c:1)\n==5==\n", 16, 400),
    "heap, symbols": Case(HEAP, b"--- symbol\n", b"0x@@ f@@--g@@\n", 24, 300),
    "heaptrack, one line": Case(HEAPTRACK, b"v 1 3\ns ", b"x", 64, 60),
    "heaptrack, strings": Case(HEAPTRACK, b"v 1 3\n", b"s 3e8 " + b"x" * 1000 + b"\n", 400, 350),
    "heaptrack, stacks": Case(HEAPTRACK, b"v 1 3\ni 1 0\n", b"t 1 0\na 8 1\n+ @@\n", 64, 350),
    "sniff, one line": Case(SNIFF, b"", b"x", 300, 60),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_memory_does_not_grow_with_the_file(name: str) -> None:
    case = CASES[name]
    module, function = case.parser
    program = PROGRAM.format(module=module, function=function, head=case.head, unit=case.unit, mib=case.mib)
    command = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": str(ROOT / "parsers")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    assert int(done.stdout) / 1024 < case.most_mib, done.stderr
