"""Which files can be the one of which a maps file shows the code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memtui_parsers.elf.facts import code_ranges, may_be_mapped, read_elf_facts
from memtui_parsers.elf.image import Segment
from memtui_parsers.procfs.maps import parse_maps


def test_what_this_process_has_mapped_fits_its_own_files_and_not_each_others() -> None:
    ranges = {
        path: reach
        for path, reach in code_ranges(parse_maps(Path("/proc/self/maps").read_bytes())).items()
        if not path.endswith(" (deleted)")
    }
    files = {}
    for path in ranges:
        with open(path, "rb") as stream:
            files[path] = read_elf_facts(stream)
    assert any("libc.so" in path for path in files)
    for path, facts in files.items():
        assert may_be_mapped(ranges[path], facts), path
        low, high = ranges[path]
        for other in ((low, high + 4096), (low + 4096, high), (low - 4096, high)):
            assert not may_be_mapped(other, facts)


def test_a_text_that_was_moved_to_huge_pages_still_fits() -> None:
    text = (
        b"400000-401000 r--p 00000000 08:01 5 /srv/a\n401000-500000 r-xp 00001000 08:01 5 /srv/a\n"
        b"500000-900000 r-xp 00000000 00:00 0\n900000-901000 r-xp 00500000 08:01 5 /srv/a\n"
        b"901000-902000 r-xp 00501000 08:01 6 /srv/a (deleted)\n7f0000000000-7f0000001000 r-xp 00000000 00:00 0 [vdso]\n"
    )
    assert code_ranges(parse_maps(text)) == {"/srv/a": (0x1000, 0x501000), "/srv/a (deleted)": (0x501000, 0x502000)}


@pytest.mark.parametrize(("page", "reach"), [(4096, (0x1000, 0x3000)), (65536, (0, 0x10000))])
def test_code_is_mapped_in_whole_pages_of_the_machine_that_ran(page: int, reach: tuple[int, int]) -> None:
    with open("/proc/self/exe", "rb") as stream:
        facts = read_elf_facts(stream)
    machine = "x86-64" if page == 4096 else "aarch64"
    code = replace(
        facts,
        machine=machine,
        segments=(Segment("PT_LOAD", 4, 0, 0, 0x500), Segment("PT_LOAD", 5, 0x1100, 0x401100, 0x1E01)),
    )
    assert may_be_mapped(reach, code)
    assert not may_be_mapped((reach[0], reach[1] + page), code)
    assert may_be_mapped(reach, replace(code, machine="x86-64")) == (page == 4096)
    assert not may_be_mapped(reach, replace(facts, segments=(Segment("PT_LOAD", 4, 0, 0, 0x500),)))


def test_musl_maps_code_up_to_the_data_where_it_comes_first() -> None:
    """Measured: a library linked with -z noseparate-code, 2 MiB pages apart, under musl 1.2.3."""
    with open("/proc/self/exe", "rb") as stream:
        facts = read_elf_facts(stream)
    code, data = Segment("PT_LOAD", 5, 0, 0, 0x51C), Segment("PT_LOAD", 6, 0x1FFE20, 0x3FFE20, 0x1F0)
    library = replace(facts, machine="x86-64", segments=(code, data))
    assert may_be_mapped((0, 0x3FF000), library) and may_be_mapped((0, 0x1000), library)
    assert not may_be_mapped((0, 0x2000), library)
    assert not may_be_mapped((0, 0x3FF000), replace(library, segments=(Segment("PT_LOAD", 4, 0, 0, 0x51C), data)))
    assert not may_be_mapped((0, 0x3FF000), replace(library, segments=(code,)))
