"""What a file is, told from real files of every kind; and what gzip packed, whole, cut, damaged or made to burst."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from pathlib import Path

import pytest

from memtui_parsers.formats import sniff as sniffer
from memtui_parsers.formats.sniff import CHUNK_BYTES, FileKind, Sniffed, sniff
from memtui_parsers.formats.unpack import gunzip
from tests.fixtures.report_files import HEAPS, REPORTS, in_pieces, sample

HEAPCHECK = b"WARNING: Perftools heap leak checker is active -- Performance may suffer\n"


def of(data: bytes) -> Sniffed:
    return sniff(io.BytesIO(data))


KINDS = {
    "memcheck-*.xml": FileKind.VALGRIND_XML,
    "memcheck-*.txt": FileKind.VALGRIND_TEXT,
    "*san-*.log": FileKind.LSAN_LOG,
    "pprof-*.pb.gz": FileKind.PPROF,
    "*.heap": FileKind.HEAP,
    "heaptrack-leaked.txt": FileKind.FOLDED,
    "sources/*": FileKind.OTHER,
    "heaptrack-summary.txt": FileKind.OTHER,
    "pprof-go.txt": FileKind.OTHER,
}
FILES = [(path, kind) for pattern, kind in KINDS.items() for path in sorted(REPORTS.glob(pattern))]


@pytest.mark.parametrize(("path", "kind"), FILES, ids=[path.name for path, _ in FILES])
def test_real_files_packed_or_not(path: Path, kind: FileKind) -> None:
    data = path.read_bytes()
    packed = data.startswith(b"\x1f\x8b")
    found = of(data)
    assert (found.kind, found.packed) == (kind, packed)
    assert bool(found.why_not) == bool(found.todo) == (kind is FileKind.OTHER)
    other_way = gzip.decompress(data) if packed else gzip.compress(data)
    assert (of(other_way).kind, of(other_way).packed) == (kind, not packed)


@pytest.mark.parametrize(
    "header", [b"heapprofile", b"heap_v2/524288", b"heapz_v2/1", b"heap/1048576", b"growth", b"growthz"]
)
def test_every_header_of_a_heap_profile(header: bytes) -> None:
    assert of(b"heap profile:  1: 8 [ 1: 8] @ " + header + b"\n").kind is FileKind.HEAP
    assert of(b"%warn words\n\nheap profile:  1: 8 [ 1: 8] @ " + header).kind is FileKind.HEAP


def test_jemallocs_profile_is_a_heap_profile() -> None:
    assert of(b"heap_v2/524288\n  t*: 1: 8 [0: 0]\n").kind is FileKind.HEAP
    assert of(b"heap_v2/x\n").kind is of(b"heap_v2/524288 of 7\n").kind is FileKind.OTHER


def test_a_session_and_a_report_in_json() -> None:
    assert of(b"SQLite format 3\0" + bytes(100)).kind is FileKind.SESSION
    assert of(b'{\n  "schema": "memtui-report/1",\n  "memtui": "0.1.0"').kind is FileKind.REPORT_JSON
    assert of(b'{"checker": "lsan", "schema": "memtui-report/1"}').kind is FileKind.REPORT_JSON
    assert of(b'{"schema": "other/1"}').kind is FileKind.OTHER
    assert of((HEAPS / "basic.draconian.heap").read_bytes()).kind is FileKind.HEAP


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (HEAPCHECK, FileKind.HEAPCHECK_LOG),
        (b'No leaks found for check "_main_" (but no', FileKind.HEAPCHECK_LOG),
        (b"==5==ERROR: LeakSanitizer: detected memory leaks\n", FileKind.LSAN_LOG),
        (b"==5== LEAK SUMMARY:\n", FileKind.VALGRIND_TEXT),
        (b"==5== 8 bytes in 1 blocks are definitely lost in loss record 1 of 1\n", FileKind.VALGRIND_TEXT),
    ],
)
def test_a_checkers_words_are_found_behind_much_output(words: bytes, kind: FileKind) -> None:
    noise = b"request done\n" * (CHUNK_BYTES // 13)
    for before in (b"", noise[: CHUNK_BYTES - 10], noise * 3):
        assert of(before + words).kind is kind
        assert of(gzip.compress(before + words, 1)).kind is kind


def test_the_first_checker_to_speak_has_the_log() -> None:
    lsan = b"==5==ERROR: LeakSanitizer: detected memory leaks\n"
    assert of(HEAPCHECK + lsan).kind is FileKind.HEAPCHECK_LOG
    assert of(lsan + HEAPCHECK).kind is FileKind.LSAN_LOG


def test_words_beyond_the_search_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sniffer, "LOG_SEARCH_BYTES", 3 << 20)
    assert of(b"x" * (5 << 20) + HEAPCHECK).kind is FileKind.OTHER


def elf(kind: int, order: int = 1) -> bytes:
    return (
        b"\x7fELF\x02" + bytes([order, 1]) + bytes(9) + kind.to_bytes(2, "big" if order == 2 else "little") + bytes(40)
    )


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", FileKind.EMPTY, "empty"),
        (elf(3), FileKind.PROGRAM, "a program"),
        (elf(4), FileKind.CORE, "a core dump"),
        (elf(4, order=2), FileKind.CORE, "a core dump"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), FileKind.OTHER, "damaged"),
        (b"BZh91AY", FileKind.OTHER, "bzip2"),
        (b"\xfd7zXZ\x00", FileKind.OTHER, "xz"),
        (b"PERFILE2", FileKind.OTHER, "perf"),
        (b"<?xml version='1.0'?>\n<html>", FileKind.OTHER, "it begins with <html>"),
        (b"\0" * 5000, FileKind.OTHER, "neither"),
        (b"request done 12\nrequest done 13\n", FileKind.OTHER, "neither"),
        (b"\x0a\x05hello", FileKind.OTHER, "neither"),
        (b"\x1f\x8b" + b"junk" * 10, FileKind.OTHER, "damaged"),
        (gzip.compress(b"", mtime=0), FileKind.OTHER, "damaged or empty"),
    ],
)
def test_other_files_are_told_with_what_helps(data: bytes, kind: FileKind, words: str) -> None:
    found = of(data)
    assert found.kind is kind and words in found.why_not and found.todo


def test_how_reads_are_cut_does_not_matter() -> None:
    for name in ("memcheck-faults.xml", "pprof-go.pb.gz", "asan-fault.log"):
        data = (REPORTS / name).read_bytes()
        assert sniff(in_pieces(data, [1, 7, 300])) == of(data)


def unpacked(data: bytes, most: int = 1 << 20) -> tuple[bytes, str]:
    raw = gunzip(io.BytesIO(data), most)
    return io.BufferedReader(raw).read(), raw.trouble


def test_members_and_padding_are_one_file() -> None:
    assert unpacked(gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two") + bytes(100_000)) == (
        b"onetwo",
        "",
    )


def test_what_was_whole_of_a_cut_or_damaged_file_comes() -> None:
    text = sample("memcheck-faults.xml")
    packed = gzip.compress(text)
    whole, trouble = unpacked(packed[: len(packed) // 2])
    assert whole and text.startswith(whole) and "ends in the middle" in trouble
    whole, trouble = unpacked(packed + b"trailing words")
    assert whole == text and "damaged" in trouble
    broken = bytearray(packed)
    broken[-6] ^= 1  # of the checksum
    whole, trouble = unpacked(bytes(broken))
    assert text.startswith(whole) and "damaged" in trouble


def test_a_bomb_is_cut_short() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    whole, trouble = unpacked(packed, most=5_000_000)
    assert len(whole) == 5_000_000 and "more than memtui unpacks" in trouble


def test_many_comments_before_an_element_take_no_time() -> None:
    began = time.process_time()
    assert of(b"<!---->" * 5000 + b"!").kind is FileKind.OTHER
    assert time.process_time() - began < 5.0
    assert of(b"<?xml version='1.0'?>\n<!-- a - b -- c -->\n<!--\n-->\n<valgrindoutput>").kind is FileKind.VALGRIND_XML
