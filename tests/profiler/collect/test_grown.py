"""A dump on growth becomes a report: samples are no objects, and what nobody was seen to touch has a row of its own."""

from __future__ import annotations

from pathlib import Path

from memtui_parsers.values import GrowthFacts, GrowthOutcome, LeakKind
from memtui_profiler.checkers.growth import CHECKER
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.session.rows import GrowthRow, Leak, ReportEnd, ReportNote, Row

DUMP = """heap profile: {objects}: {size} [{objects}: {size}] @ growth
{entries}
MAPPED_LIBRARIES:
00400000-00401000 r-xp 00000000 00:00 0 /no/such/program
"""


def rows_of(
    folder: Path, growth: GrowthFacts, *entries: tuple[int, int, int], notes: tuple[str, ...] = ()
) -> list[Row]:
    """``entries``: samples, bytes, address."""
    lines = "".join(f"{n}: {size} [{n}: {size}] @ {address:#x}\n" for n, size, address in entries)
    objects, size = (sum(entry[at] for entry in entries) for at in (0, 1))
    path = folder / "growth-0001.heap"
    path.write_text(DUMP.format(objects=objects, size=size, entries=lines))
    request = CollectRequest(1, CHECKER.name, CHECKER.usual_mode, dump=str(path), live=True, growth=growth, notes=notes)
    return list(collect(CollectRequest.from_json(request.to_json())))


def test_samples_are_no_objects(tmp_path: Path) -> None:
    growth = GrowthFacts(10.0, 5000, 4000, samples=30)
    rows = rows_of(tmp_path, growth, (20, 3000, 0x400100), (10, 2000, 0x400200), notes=("said by the watcher",))
    leaks = [row for row in rows if isinstance(row, Leak)]
    assert [(leak.size_bytes, leak.objects, leak.samples) for leak in leaks] == [(3000, 0, 20), (2000, 0, 10)]
    assert {leak.kind for leak in leaks} == {LeakKind.GROWTH.value}
    (end,) = (row for row in rows if isinstance(row, ReportEnd))
    assert (end.status, end.total_bytes, end.total_objects) == ("complete", 5000, 0)
    (facts,) = (row for row in rows if isinstance(row, GrowthRow))
    assert (facts.seconds, facts.grown_bytes, facts.samples, facts.outcome) == (10.0, 5000, 30, "stacks")
    notes = [row.text for row in rows if isinstance(row, ReportNote)]
    assert notes[0] == "said by the watcher"


def test_what_nobody_was_seen_to_touch_has_a_row(tmp_path: Path) -> None:
    growth = GrowthFacts(10.0, 10_000, 3000, outcome=GrowthOutcome.CANNOT_TELL)
    leaks = [row for row in rows_of(tmp_path, growth, (20, 3000, 0x400100)) if isinstance(row, Leak)]
    assert [(leak.size_bytes, leak.stack == b"", leak.samples) for leak in leaks] == [
        (7000, True, None),
        (3000, False, 20),
    ]


def test_a_rest_that_is_noise_has_none(tmp_path: Path) -> None:
    growth = GrowthFacts(10.0, 10_000_000, 9_999_000)
    assert len([row for row in rows_of(tmp_path, growth, (2000, 9_999_000, 0x400100)) if isinstance(row, Leak)]) == 1


def test_nothing_grew(tmp_path: Path) -> None:
    growth = GrowthFacts(10.0, 0, 0, outcome=GrowthOutcome.NOTHING_GREW)
    rows = rows_of(tmp_path, growth)
    assert not [row for row in rows if isinstance(row, Leak)]
    (end,) = (row for row in rows if isinstance(row, ReportEnd))
    assert (end.status, end.total_bytes, end.seen_bytes) == ("complete", 0, None)
