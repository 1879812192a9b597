"""massif's profiles, as valgrind 3.19 wrote one and as m_xtree.c writes others."""

from __future__ import annotations

import io

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.valgrind.massif import parse_massif
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.report_files import sample

HEAD = "desc: (none)\ncmd: ./prog --port 9000\ntime_unit: B\n"


def snapshot(number: int, size_bytes: int, tree: str = "empty", nodes: str = "") -> str:
    rule = "#-----------\n"
    figures = f"time={number * 10}\nmem_heap_B={size_bytes}\nmem_heap_extra_B=8\nmem_stacks_B=16\n"
    return f"{rule}snapshot={number}\n{rule}{figures}heap_tree={tree}\n{nodes}"


PEAK = (
    "n3: 1000 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.\n"
    " n2: 700 0x109192: open_session(int) (server.cpp:88)\n"
    "  n0: 400 0x1092A4: main (server.cpp:131)\n"
    "  n0: 300 in 12 places, all below massif's threshold (1.00%)\n"
    " n1: 250 0x4C2A: ??? (in /usr/lib/libz.so.1.2.13)\n"
    "  n0: 250 0x1092B0: main (server.cpp:140)\n"
    " n0: 50 in 1 place, below massif's threshold (1.00%)\n"
)


def parsed(text: str) -> LeakReport:
    return parse_massif(io.BytesIO(text.encode()))


def rows(report: LeakReport) -> dict[tuple[str | None, ...], int]:
    assert all((record.kind, record.objects) == (LeakKind.IN_USE, 0) for record in report.leaks)
    return {tuple(frame.function for frame in record.stack): record.size_bytes for record in report.leaks}


def test_a_real_profile() -> None:
    report = parse_massif(io.BytesIO(sample("massif.out")))
    assert (report.total_bytes, report.status, report.argv) == (25_684, ReportStatus.COMPLETE, ("./losses",))
    assert rows(report)[("lose", "main")] == 5000
    assert report.notes == (
        "Snapshot 19 of 20 is shown, the last with a heap tree, at 138358 i: 25684 bytes in use. "
        "The allocator added 196, stacks had 0: 25880 in all",
    )


def test_the_peak_is_shown_whatever_comes_behind_it() -> None:
    late = "n1: 10 (heap allocation functions)\n n0: 10 0x1: late (a.c:1)\n"
    text = HEAD + snapshot(0, 0) + snapshot(1, 1000, "peak", PEAK) + snapshot(2, 10, "detailed", late)
    report = parsed(text)
    assert rows(report) == {
        ("open_session(int)", "main"): 400,
        ("open_session(int)",): 300,
        (None, "main"): 250,
        (): 50,
    }
    assert report.total_bytes == 1000 and "Snapshot 1 of 3 is shown, the peak, at 10 B" in report.notes[0]
    assert "1024 in all" in report.notes[0] and report.argv == ("./prog", "--port", "9000")
    libz = next(record for record in report.leaks if record.size_bytes == 250).stack[0]
    assert libz.module is not None and libz.module.path == "/usr/lib/libz.so.1.2.13"


def test_a_larger_snapshot_without_a_tree_is_told() -> None:
    report = parsed(HEAD + snapshot(0, 1000, "detailed", PEAK) + snapshot(1, 9000))
    assert report.total_bytes == 1000 and report.notes[1] == "Snapshot 1 was the largest, 9024 bytes in all"


def test_of_the_events_of_an_xtree_the_bytes_in_use_are_shown() -> None:
    """valgrind --xtree-memory=full --xtree-memory-file=x.ms: a snapshot for each event, all of the same time."""
    events = {
        "curB : currently allocated Bytes": 1000,
        "curBk : currently allocated Blocks": 7,
        "totB : total allocated Bytes": 9000,
    }
    trees = [f"n1: {size} {event}\n n0: {size} 0x1: f (a.c:1)\n" for event, size in events.items()]
    report = parsed(
        HEAD
        + "".join(
            snapshot(n, size, "detailed", tree)
            for n, (size, tree) in enumerate(zip(events.values(), trees, strict=True))
        )
    )
    assert rows(report) == {("f",): 1000} and "Snapshot 0 of 3" in report.notes[0] and len(report.notes) == 1


def test_no_tree_is_no_result() -> None:
    report = parsed(HEAD + snapshot(0, 0) + snapshot(1, 9000))
    assert (report.status, report.leaks) == (ReportStatus.NOT_RUN, ())
    assert "None of the 2 snapshots has a heap tree" in report.notes[0] and "9024" in report.notes[1]


@pytest.mark.parametrize("lines", [1, 2, 4, 6])
def test_a_tree_that_is_cut_is_said_to_be(lines: int) -> None:
    cut = "".join(PEAK.splitlines(keepends=True)[:lines])
    report = parsed(HEAD + snapshot(0, 1000, "peak", cut))
    assert report.status is ReportStatus.TRUNCATED and "does not" not in report.notes[0]
    assert report.total_bytes == 1000, "what the tree has no children for is at the parent"


def test_nonsense_is_counted() -> None:
    report = parsed(HEAD + snapshot(0, 1000, "peak", PEAK + "  n0: many 0x1: f (a.c:1)\nhello\n"))
    assert report.status is ReportStatus.TRUNCATED and "2 lines make no sense" in report.notes[-1]


@pytest.mark.parametrize("text", ["", "desc: x\n", HEAD, "hello\n"])
def test_what_is_no_profile(text: str) -> None:
    with pytest.raises(ParseError):
        parsed(text)


def test_deep_trees_are_bounded() -> None:
    nodes = "".join(f"{' ' * depth}n1: 10 0x{depth + 1:X}: f{depth} (a.c:1)\n" for depth in range(2000))
    report = parsed(HEAD + snapshot(0, 10, "peak", nodes))
    assert report.total_bytes == 10 and report.status is ReportStatus.TRUNCATED
