"""Which column of a pprof profile is shown: the names of every producer that we know, each unit that pprof knows."""

from __future__ import annotations

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.pprof.sample_types import Counted, SampleType, bytes_in, choose

GO = "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes"
DDPROF = (
    "cpu-samples/count cpu-time/nanoseconds alloc-samples/count alloc-space/bytes inuse-objects/count inuse-space/bytes"
)
RUBY = (
    "cpu-time/nanoseconds alloc-samples/count alloc-samples-unscaled/count heap-live-samples/count heap-live-size/bytes"
)
PYTHON = "wall-samples/count wall-time/nanoseconds alloc-samples/count alloc-space/bytes heap-space/bytes"
PHP = "sample/count alloc-samples/count alloc-size/bytes socket-read-size/bytes file-io-write-size/bytes"
TLAB = "alloc_in_new_tlab_objects/count alloc_in_new_tlab_bytes/bytes"
PERFETTO = "Total malloc count/count;Total malloc size/bytes;Unreleased malloc count/count;Unreleased malloc size/bytes"


def types(text: str) -> list[SampleType]:
    pairs = text.split(";") if ";" in text else text.split()
    return [SampleType(*pair.split("/")) for pair in pairs]


@pytest.mark.parametrize(
    ("named", "default", "size", "objects", "counted"),
    [
        (GO, "", "inuse_space", "inuse_objects", Counted.IN_USE),
        (GO, "alloc_space", "inuse_space", "inuse_objects", Counted.IN_USE),
        (DDPROF, "", "inuse-space", "inuse-objects", Counted.IN_USE),
        (RUBY, "", "heap-live-size", "heap-live-samples", Counted.IN_USE),
        (PYTHON, "", "heap-space", "", Counted.IN_USE),
        (PHP, "", "alloc-size", "alloc-samples", Counted.ALLOCATED),
        (TLAB, "", "alloc_in_new_tlab_bytes", "alloc_in_new_tlab_objects", Counted.ALLOCATED),
        (PERFETTO, "", "Unreleased malloc size", "Unreleased malloc count", Counted.IN_USE),
        ("objects/count space/bytes", "", "space", "objects", Counted.UNSAID),
        ("objects/count space/bytes resident_space/bytes", "space", "space", "objects", Counted.UNSAID),
        ("objects/count space/bytes peak_space/bytes", "peak_space", "space", "objects", Counted.UNSAID),
        ("samples/count cpu/nanoseconds space/bytes", "", "space", "", Counted.UNSAID),
        ("inuse_space/bytes", "", "inuse_space", "", Counted.IN_USE),
        ("inuseObjects/count inuseSpace/kilobytes", "", "inuseSpace", "inuseObjects", Counted.IN_USE),
        ("allocations/count allocated_bytes/bytes", "", "allocated_bytes", "allocations", Counted.ALLOCATED),
        ("live/count live_bytes/bytes allocs/count alloc_bytes/bytes", "", "live_bytes", "", Counted.IN_USE),
        ("gpu-space/bytes peak-space/bytes", "peak-space", "peak-space", "", Counted.OTHER),
    ],
)
def test_the_column_of_every_producer(named: str, default: str, size: str, objects: str, counted: Counted) -> None:
    listed = types(named)
    chosen = choose(listed, default)
    assert (chosen.name, listed[chosen.size].name, chosen.counted) == (size, size, counted)
    assert (listed[chosen.objects].name if chosen.objects >= 0 else "") == objects


@pytest.mark.parametrize("wanted", ["alloc-space", "alloc_space", "ALLOC_SPACE", "AllocSpace"])
def test_another_is_shown_on_demand_in_any_spelling(wanted: str) -> None:
    chosen = choose(types(GO), "", wanted)
    assert (chosen.name, chosen.size, chosen.objects, chosen.others) == ("alloc_space", 1, 0, ("inuse_space",))
    assert choose(types("objects/count space/bytes"), "", "inuse_space").name == "space"


def test_one_that_is_not_there_is_refused_with_the_names_of_those_that_are() -> None:
    with pytest.raises(ParseError, match="resident is no sample type of this profile") as raised:
        choose(types(GO), "", "resident")
    assert raised.value.todo.endswith("alloc_space, inuse_space")
    with pytest.raises(ParseError, match="inuse_objects counts no bytes"):
        choose(types(GO), "", "inuse_objects")


@pytest.mark.parametrize(
    "named", ["samples/count cpu/nanoseconds", "contentions/count delay/ns", "socket-read-size/bytes"]
)
def test_a_profile_without_memory_is_refused(named: str) -> None:
    with pytest.raises(ParseError, match="not one of memory") as raised:
        choose(types(named), "")
    assert "profile of the heap" in raised.value.todo


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("bytes", 1), ("byte", 1), ("B", 1), ("kilobytes", 1 << 10), ("kB", 1 << 10), ("KiB", 1 << 10), ("kbytes", 1 << 10),
        ("megabyte", 1 << 20), ("MB", 1 << 20), ("MiB", 1 << 20), ("gigabytes", 1 << 30), ("TB", 1 << 40), ("PBs", 1 << 50),
        ("count", 0), ("nanoseconds", 0), ("", 0), ("s", 0),
    ],
)  # fmt: skip
def test_units_of_memory(unit: str, size: int) -> None:
    assert bytes_in(unit) == size
