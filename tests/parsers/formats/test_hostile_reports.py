"""A stack 10,000 deep and names that would act on a terminal, in every format that a report can come in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from memtui_parsers.formats.heapcheck_log import HeapcheckLog, report_from_log
from memtui_parsers.formats.pprof.profile import PprofProfile
from memtui_parsers.values import HeapProfile, LeakReport
from tests.fixtures.heap_entries import entries_of
from tests.fixtures.mutations import hold, try_parser
from tests.fixtures.report_files import PARSERS

DEEP = 10_000
# Colour, a window's title, a C1 sequence, a NUL, right to left, a zero-width space, half of a character, markup, a line's end.
EVIL = b"f\x1b[31m\x1b]0;x\x07\xc2\x9b31m\x00\xe2\x80\xae\xe2\x80\x8b\xff[red]"
SLOWEST_S = 10.0

Names = list[bytes]


def xml(names: Names) -> bytes:
    frames = b"".join(b"<frame><ip>0x1</ip><obj>/srv/%s</obj><fn>%s</fn></frame>" % (name, name) for name in names)
    leak = b"<kind>Leak_DefinitelyLost</kind><xwhat><text>t</text><leakedbytes>8</leakedbytes>"
    leak += b"<leakedblocks>1</leakedblocks></xwhat>"
    head = b"<valgrindoutput><protocolversion>4</protocolversion><tool>memcheck</tool>"
    return head + b"<error>" + leak + b"<stack>" + frames + b"</stack></error></valgrindoutput>"


def text(names: Names) -> bytes:
    frames = b"".join(b"==5==    by 0x1: %s (%s.c:1)\n" % (name, name) for name in names)
    return (
        b"==5== 8 bytes in 1 blocks are definitely lost in loss record 1 of 1\n"
        + frames
        + b"==5==\n==5== LEAK SUMMARY:\n"
    )


def lsan(names: Names) -> bytes:
    frames = b"".join(b"    #%d 0x1 in %s /srv/%s.c:1\n" % (n, name, name) for n, name in enumerate(names, 1))
    head = (
        b"==5==ERROR: LeakSanitizer: detected memory leaks\n\nDirect leak of 8 byte(s) in 1 object(s) allocated from:\n"
    )
    malloc = b"    #0 0x1 in malloc (/lib/liblsan.so.0+0x1)\n"
    return head + malloc + frames + b"\nSUMMARY: LeakSanitizer: 8 byte(s) leaked in 1 allocation(s).\n"


def pprof(names: Names) -> bytes:
    def varint(number: int) -> bytes:
        return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])

    def field(number: int, value: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(value)) + value

    def scalars(*pairs: tuple[int, int]) -> bytes:
        return b"".join(varint(number << 3) + varint(value) for number, value in pairs)

    words = [b"", b"inuse_objects", b"count", b"inuse_space", b"bytes", *names]
    count = range(1, len(names) + 1)
    sample = field(1, b"".join(map(varint, count))) + field(2, b"\x01\x08")
    body = field(1, scalars((1, 1), (2, 2))) + field(1, scalars((1, 3), (2, 4))) + field(2, sample)
    body += b"".join(field(4, scalars((1, n), (3, n)) + field(4, scalars((1, n)))) for n in count)
    body += b"".join(field(5, scalars((1, n), (2, n + 4))) for n in count)
    return body + b"".join(field(6, word) for word in words)


def folded(names: Names) -> bytes:
    return b";".join(name.replace(b";", b":") for name in names) + b" 8\n"


def report_json(names: Names) -> bytes:
    rest = {"address": "0x1", "module": None, "offset": None, "line": 1, "inlined": False}
    words = [(name.decode("utf-8", "replace"), name.decode("latin-1")) for name in names]
    frames = [{"function": function, "file": file, **rest} for function, file in words]
    document = json.loads(PARSERS["json_reader"].seeds()[1])
    document["total"] = {"bytes": 8, "objects": 1}
    document["leaks"] = [{"id": "0" * 16, "bytes": 8, "objects": 1, "kind": "direct", "stack": frames}]
    return json.dumps(document).encode()


def heap(names: Names) -> bytes:
    stack = b" ".join(b"0x%x" % (n + 1) for n in range(len(names)))
    libraries = b"".join(b"%x-%x r-xp 0 08:01 1 /srv/%s\n" % (n, n + 1, name) for n, name in enumerate(names))
    return b"heap profile: 1: 8 [1: 8] @ heapprofile\n1: 8 [1: 8] @ " + stack + b"\n\nMAPPED_LIBRARIES:\n" + libraries


def heapcheck(names: Names) -> bytes:
    head = b"Leak check _main_ detected leaks of 8 bytes in 1 objects\nThe 1 largest leaks:\n"
    return (
        head + b"Leak of 8 bytes in 1 objects allocated from:\n" + b"".join(b"\t@ 401000 %s\n" % name for name in names)
    )


def heaptrack(names: Names) -> bytes:
    strings = b"".join(b"s %x %s\n" % (len(name), name) for name in names)
    # From the outermost call inwards, as a step names its caller.
    steps = b"".join(b"i 1 0 %x\nt %x %x\n" % (len(names) - n, n + 1, n) for n in range(len(names)))
    return b"v 10500 3\nX ./p\n" + strings + steps + b"a 8 %x\n+ 0\n" % len(names)


def massif(names: Names) -> bytes:
    head = b"desc: (none)\ncmd: ./a\ntime_unit: i\n#-----------\nsnapshot=0\n#-----------\ntime=0\nmem_heap_B=8\n"
    last = len(names)
    nodes = b"".join(
        b"%*sn%d: 8 0x%x: %s (a.c:1)\n" % (depth, b"", depth < last, depth, name) for depth, name in enumerate(names, 1)
    )
    return head + b"heap_tree=peak\nn1: 8 (heap allocation functions)\n" + nodes


def dhat(names: Names) -> bytes:
    frames = [f"0x{n:x}: {name.decode('utf-8', 'replace')} (a.c:1)" for n, name in enumerate(names, 1)]
    point = {"tb": 8, "tbk": 1, "gb": 8, "gbk": 1, "eb": 0, "ebk": 0, "fs": list(range(1, len(names) + 1))}
    return json.dumps({"dhatFileVersion": 2, "mode": "heap", "pps": [point], "ftbl": ["[root]", *frames]}).encode()


MADE: dict[str, Callable[[Names], bytes]] = {
    "valgrind_xml": xml,
    "valgrind_text": text,
    "massif": massif,
    "dhat": dhat,
    "sanitizer_log": lsan,
    "pprof": pprof,
    "folded_stacks": folded,
    "json_reader": report_json,
    "gperftools_heap": heap,
    "heapcheck_log": heapcheck,
    "heaptrack": heaptrack,
}


def read(name: str, data: bytes) -> tuple[int, int]:
    """Bytes of all leaks, and frames of the first."""
    found = try_parser(PARSERS[name], data)
    if isinstance(found, HeapProfile):
        (entry,) = entries_of(found)
        return entry.inuse_bytes, len(entry.addresses)
    if isinstance(found, HeapcheckLog):
        found = report_from_log(found, mode="")
        hold(found)
    report = found.report if isinstance(found, PprofProfile) else found
    assert isinstance(report, LeakReport)
    (leak,) = report.leaks
    return leak.size_bytes, len(leak.stack)


def test_every_format_is_here() -> None:
    assert MADE.keys() == PARSERS.keys() - {"sniff", "as_written"}


@pytest.mark.parametrize("name", MADE)
def test_a_stack_without_end_is_cut_and_counted(name: str) -> None:
    # A line of a heap profile that is longer than 32 frames make it by far is passed over, and said: test_gperftools_heap.py.
    data = MADE[name]([b"f%d" % n for n in range(400 if name == "gperftools_heap" else DEEP)])
    began = time.process_time()
    size_bytes, depth = read(name, data)
    assert time.process_time() - began < SLOWEST_S
    # JSON is memtui's own, and bounded by the size of a leak's text.
    assert size_bytes == 8 and 200 <= depth <= (DEEP if name == "json_reader" else 512)


@pytest.mark.parametrize("name", MADE)
def test_names_that_act_on_a_terminal_come_out_harmless(name: str) -> None:
    """As try_parser() holds of every text in what was read; those of JSON are cleaned on their way into a session."""
    data = MADE[name]([EVIL, b"g", EVIL + b"2"])
    size_bytes, depth = read(name, data)
    assert size_bytes == 8 and depth == 3
