from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import MappingIndex, file_path, is_deleted, parse_map_lines, parse_mapping, parse_maps
from memtui_parsers.values import Mapping

LINE = b"55825ceeb000-55825ceec000 r-xp 00001000 08:01 393232                     /srv/rpc_server\n"


def test_a_line_of_a_program() -> None:
    assert parse_mapping(LINE) == Mapping(0x55825CEEB000, 0x55825CEEC000, "r-xp", 0x1000, 393232, "/srv/rpc_server")


@pytest.mark.parametrize(
    ("tail", "path", "file", "deleted"),
    [
        (b"7   /opt/my server/lib a.so", "/opt/my server/lib a.so", "/opt/my server/lib a.so", False),
        (b"7   /srv/lib.so (deleted)", "/srv/lib.so (deleted)", "/srv/lib.so", True),
        (b"7   /tmp/new\\012line", "/tmp/new\nline", "/tmp/new\nline", False),
        (b"7   /tmp/\xff\x1b[31m", "/tmp/\udcff\x1b[31m", "/tmp/\udcff\x1b[31m", False),
        (b"0   [heap]", "[heap]", None, False),
        (b"0 ", "", None, False),
        (b"0", "", None, False),
        (b"12  anon_inode:[perf_event]", "anon_inode:[perf_event]", None, False),
    ],
)
def test_paths_as_the_kernel_writes_them(tail: bytes, path: str, file: str | None, deleted: bool) -> None:
    mapping = parse_mapping(b"1000-2000 rw-s 00000000 fe:01 " + tail)
    assert mapping.path == path
    assert file_path(mapping) == file
    assert is_deleted(mapping) is deleted


@pytest.mark.parametrize("line", [b"", b"hello", b"2000-1000 r-xp 0 08:01 1 /x", b"1000-2000 ---- 0 0:0", b"x" * 20000])
def test_what_is_no_mapping_is_refused(line: bytes) -> None:
    with pytest.raises(ParseError):
        parse_mapping(line)


def test_our_own_maps_are_read_whole() -> None:
    text = Path("/proc/self/maps").read_bytes()
    mappings = parse_maps(text)
    assert len(mappings) == text.count(b"\n")
    assert any(m.executable and "libc" in m.path for m in mappings)


def test_an_address_is_found_in_its_mapping_and_not_in_the_gap() -> None:
    low, high = Mapping(0x1000, 0x2000, "r-xp", 0, 1, "/a"), Mapping(0x3000, 0x4000, "r-xp", 0, 2, "/b")
    index = MappingIndex([high, low])
    assert [index.find(a) for a in (0xFFF, 0x1000, 0x1FFF, 0x2000, 0x3000, 0x4000)] == [
        None,
        low,
        low,
        None,
        high,
        None,
    ]


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(text: bytes) -> None:
    assert isinstance(parse_maps(text), tuple)


@given(
    st.integers(0, 2**64 - 2),
    st.integers(0, 2**40),
    st.text(st.characters(exclude_characters="\n\r\\"), max_size=30).map(lambda t: "/x" + t),
)
def test_a_line_comes_back_as_it_was_written(start: int, size: int, path: str) -> None:
    end = min(start + size, 2**64 - 1)
    line = f"{start:x}-{end:x} r-xp 00000000 08:01 5 {path}".encode("utf-8", "replace")
    assert parse_mapping(line).path.encode("utf-8", "surrogateescape") == path.encode("utf-8", "replace")
    assert (parse_mapping(line).start, parse_mapping(line).end) == (start, end)


def test_lines_that_were_seen_at_several_times_stay_apart() -> None:
    """A name may hold whatever its author likes: it is no second line, and no reason to lose the others."""
    line = "1000-2000 r-xp 00000000 08:01 7 "
    forged = f"{line}/a\n9000-a000 r-xp 00000000 08:01 9 /forged"
    found = parse_map_lines([f"{line}/lib\udcff.so", forged, f"{line}/\ud800", f"{line}/c\n", "no mapping"])
    assert [mapping.path for mapping in found] == [
        "/lib\udcff.so",
        "/a\n9000-a000 r-xp 00000000 08:01 9 /forged",
        "/?",
        "/c",
    ]
