"""What is written is read back by the parser of gperftools' dumps."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_parsers.formats.sniff import sniff
from memtui_profiler.growth.dump_file import MOST_FRAMES, MOST_ROWS, dump_text, write_dump
from memtui_profiler.growth.growth import GrowthRow

MAPS = [b"00400000-00500000 r-xp 00000000 08:01 7                          /usr/bin/server"]


def test_it_is_a_whole_growth_profile(tmp_path: Path) -> None:
    rows = [
        GrowthRow((0x401234, 0x402000), 1_000_000.4, 900_000, 17),
        GrowthRow((0x403000,), 4096, 4096, 1),
        GrowthRow((0x404000,), 0.2, 0.2, 1),
    ]
    path = tmp_path / "growth-0001.heap"
    write_dump(path, rows, MAPS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with open(path, "rb") as file:
        profile = parse_heap(file)
    assert (profile.kind, profile.period, profile.whole, profile.notes) == ("growth", 0, True, ())
    assert profile.figures[:2] == [17, 1_000_000] and profile.figures[4:6] == [1, 4096]
    assert profile.addresses == (0x401234, 0x402000, 0x403000)
    assert [mapping.path for mapping in profile.mappings] == ["/usr/bin/server"]
    with open(path, "rb") as file:
        assert sniff(file) is not None


def test_an_empty_one_is_whole_too() -> None:
    profile = parse_heap(io.BytesIO(b"".join(dump_text([], MAPS))))
    assert profile.whole and profile.stacks == ()


def test_it_has_no_more_than_the_parser_takes() -> None:
    rows = [GrowthRow((*range(n, n + 300),), 10, 10, 1) for n in range(1, MOST_ROWS + 10)]
    profile = parse_heap(io.BytesIO(b"".join(dump_text(rows, []))))
    assert profile.whole and profile.notes == () and len(profile.stacks) == MOST_ROWS
    assert max(map(len, profile.stacks)) == 4 * MOST_FRAMES


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "growth-0001.heap").mkdir()
    with pytest.raises(OSError):
        write_dump(tmp_path / "growth-0001.heap", [], MAPS)
    assert [file.name for file in tmp_path.iterdir()] == ["growth-0001.heap"]
    with pytest.raises(OSError):
        write_dump(tmp_path / "none" / "growth-0001.heap", [], MAPS)
