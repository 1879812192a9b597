"""The difference of two reports: every stack once, sums that add up, and ranks that another report gives to other lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.report.difference import Change, difference
from memtui_parsers.report.leak_id import leak_ids
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, Module, ReportStatus

SERVER = Module("/srv/relay/rpc_server", "5d1f")


def frame(at: int, function: str | None = None, line: int | None = None) -> Frame:
    return Frame(0x55_0000_0000 + at, SERVER, at, function, None, "server.cpp" if line else None, line)


def record(leak_id: str, size: int, objects: int = 1, *stack: Frame, kind: LeakKind = LeakKind.NOT_FREED) -> LeakRecord:
    return LeakRecord(leak_id, size, objects, kind, stack or (frame(sum(map(ord, leak_id)), leak_id),))


def report(*leaks: LeakRecord, status: ReportStatus = ReportStatus.COMPLETE, argv: tuple[str, ...] = ()) -> LeakReport:
    return LeakReport(
        checker="heapcheck",
        mode="draconian",
        status=status,
        argv=argv,
        total_bytes=sum(leak.size_bytes for leak in leaks),
        total_objects=sum(leak.objects for leak in leaks),
        leaks=leaks,
    )


def named(stacks: Sequence[tuple[Frame, ...]], sizes: Sequence[int]) -> LeakReport:
    """A report as the collector makes it: ids by the real rule."""
    return report(
        *(
            LeakRecord(leak_id, size, 1, LeakKind.NOT_FREED, stack)
            for leak_id, stack, size in zip(leak_ids(stacks), stacks, sizes, strict=True)
        )
    )


def changes(old: LeakReport, new: LeakReport) -> list[tuple[str, int, int, str]]:
    return [
        (delta.record.leak_id, delta.delta_bytes, delta.delta_objects, delta.change.value)
        for delta in difference(old, new).deltas
    ]


def test_each_stack_is_new_gone_grown_shrunk_or_the_same() -> None:
    old = report(record("a", 100, 10), record("b", 50, 5), record("c", 7, 1), record("d", 30, 3), record("e", 8, 1))
    new = report(record("a", 160, 16), record("n", 9, 2), record("b", 40, 4), record("c", 7, 1), record("e", 8, 2))
    assert changes(old, new) == [
        ("a", 60, 6, "grown"),
        ("n", 9, 2, "new"),
        ("b", -10, -1, "shrunk"),
        ("c", 0, 0, "same"),
        ("e", 0, 1, "grown"),
        ("d", -30, -3, "gone"),
    ]
    found = difference(old, new)
    assert (found.deltas[0].before_bytes, found.deltas[0].before_objects) == (100, 10)
    assert (found.delta_bytes, found.delta_objects) == (29, 5)
    assert found.notes == ()


def test_the_joined_report_lists_what_is_gone_with_nothing_left() -> None:
    old, new = report(record("a", 100, 10), record("d", 30, 3)), report(record("a", 160, 16))
    found = difference(old, new)
    joined = found.joined()
    assert [leak.leak_id for leak in joined.leaks] == [delta.record.leak_id for delta in found.deltas] == ["a", "d"]
    assert (joined.leaks[1].size_bytes, joined.leaks[1].objects, joined.total_bytes) == (0, 0, 160)
    assert found.deltas[1].record.size_bytes == 30


def test_a_line_that_begins_to_leak_takes_no_other_lines_rank() -> None:
    """The collector ranks alike stacks by address: a new one in front takes the id that the old one had."""
    first, second = (frame(0x100, "f()", 10),), (frame(0x200, "f()", 20),)
    old, new = named([second], [1000]), named([second, first], [1500, 64])
    assert [leak.leak_id[-2:] for leak in new.leaks] == ["-2", new.leaks[1].leak_id[-2:]]
    assert old.leaks[0].leak_id == new.leaks[1].leak_id
    found = difference(old, new)
    assert [(delta.delta_bytes, delta.change) for delta in found.deltas] == [(500, Change.GROWN), (64, Change.NEW)]
    back = difference(new, old)
    assert [(delta.delta_bytes, delta.change) for delta in back.deltas] == [(-500, Change.SHRUNK), (-64, Change.GONE)]


def test_alike_stacks_of_another_build_are_told_by_their_rank() -> None:
    old = named([(frame(0x100, "f()", 10),), (frame(0x200, "f()", 20),)], [1000, 50])
    moved = Module(SERVER.path, "ffff")
    stacks = [(replace(frame(at, "f()", line), module=moved),) for at, line in ((0x140, 12), (0x240, 22))]
    assert [delta.delta_bytes for delta in difference(old, named(stacks, [1001, 52])).deltas] == [1, 2]


def test_lines_of_one_build_that_change_places_are_two_stacks() -> None:
    first, second, third = (((frame(at, "f()", line),)) for at, line in ((0x100, 10), (0x200, 20), (0x300, 30)))
    found = difference(named([first, second], [100, 50]), named([first, third], [100, 70]))
    assert [(delta.delta_bytes, delta.change.value) for delta in found.deltas] == [
        (0, "same"),
        (70, "new"),
        (-50, "gone"),
    ]


def test_addresses_without_a_name_or_a_file_are_all_there_is_to_go_by() -> None:
    first, second, third = ((Frame(at), Frame(0x2000)) for at in (0x1000, 0x1100, 0x1300))
    found = difference(named([first, second], [1000, 500]), named([first, third], [2000, 70_000]))
    assert [delta.change.value for delta in found.deltas] == ["grown", "new", "gone"]


def test_a_report_without_names_yet_is_compared_by_address() -> None:
    stack = (frame(0x100, "f()", 10), frame(0x300, "main", 3))
    bare = tuple(replace(step, function=None, file=None, line=None) for step in stack)
    inlined = (replace(frame(0x100, "g()", 90), inlined=True), *stack)
    old, new = named([bare], [10]), named([inlined], [30])
    assert old.leaks[0].leak_id != new.leaks[0].leak_id
    assert [delta.delta_bytes for delta in difference(old, new).deltas] == [20]


def test_other_code_at_the_same_place_is_another_stack() -> None:
    old, new = named([(frame(0x100, "f()"),)], [10]), named([(frame(0x100, "g()"),)], [10])
    assert [delta.change for delta in difference(old, new).deltas] == [Change.NEW, Change.GONE]


def test_kinds_are_compared_across_only_where_each_report_has_one() -> None:
    not_freed = report(record("a", 100), record("b", 5))
    in_use = report(record("a", 130, kind=LeakKind.IN_USE), record("b", 5, kind=LeakKind.IN_USE))
    found = difference(not_freed, in_use)
    assert [delta.delta_bytes for delta in found.deltas] == [30, 0]
    assert found.notes[0].startswith("compared across kinds: not-freed before, in-use now")
    both = report(record("a", 130, kind=LeakKind.DIRECT), record("a", 7, kind=LeakKind.INDIRECT))
    mixed = difference(not_freed, both)
    assert [delta.change.value for delta in mixed.deltas] == ["new", "new", "gone", "gone"]
    assert mixed.notes == ("compared kind by kind: not-freed before, direct, indirect now",)
    assert [delta.delta_bytes for delta in difference(both, both).deltas] == [0, 0]


def test_what_makes_a_comparison_less_than_it_looks_is_said() -> None:
    whole, cut = report(record("a", 1)), report(record("a", 1), status=ReportStatus.TRUNCATED)
    assert "older report was cut short" in difference(cut, whole).notes[0]
    assert "newer report was cut short" in difference(whole, cut).notes[0]
    not_run = report(status=ReportStatus.NOT_RUN)
    assert "did not run" in difference(not_run, whole).notes[0]
    one, other = report(argv=("./a", "-v")), report(argv=("/usr/bin/b",))
    assert difference(one, other).notes == ("the reports are of two programs",)
    assert difference(one, replace(one, argv=("/elsewhere/a",))).notes == ()
    told = replace(whole, total_bytes=500)
    assert difference(whole, told).notes == ("the checkers' totals differ by +499 bytes, the stacks they list by +0",)


RECORDS = st.lists(
    st.builds(
        LeakRecord,
        st.sampled_from(["a", "a-2", "a-3", "b", "b-x", "-", "c-2", ""]),
        st.integers(0, 1 << 50),
        st.integers(0, 1 << 30),
        st.sampled_from([LeakKind.NOT_FREED, LeakKind.DIRECT, LeakKind.INDIRECT]),
        st.lists(st.integers(1, 3).map(lambda n: frame(n, f"f{n}", n)), max_size=2).map(tuple),
    ),
    max_size=9,
)
REPORTS = RECORDS.map(lambda leaks: report(*leaks))


@given(REPORTS, REPORTS)
def test_whatever_the_reports_every_record_counts_once_and_the_sums_add_up(old: LeakReport, new: LeakReport) -> None:
    found = difference(old, new)
    assert found.delta_bytes == new.total_bytes - old.total_bytes
    assert found.delta_objects == new.total_objects - old.total_objects
    assert [delta.record for delta in found.deltas[: len(new.leaks)]] == list(new.leaks)
    gone = [delta.record for delta in found.deltas[len(new.leaks) :]]
    kept = [delta for delta in found.deltas[: len(new.leaks)] if delta.change is not Change.NEW]
    assert len(gone) + len(kept) == len(old.leaks)
    assert sum(delta.before_bytes for delta in found.deltas) == old.total_bytes
    assert all(leak in old.leaks for leak in gone)
    for delta in found.deltas:
        now = 0 if delta.change is Change.GONE else delta.record.size_bytes
        assert now - delta.before_bytes == delta.delta_bytes
    assert len(found.joined().leaks) == len(found.deltas)


@given(REPORTS)
def test_a_report_differs_from_itself_in_nothing(same: LeakReport) -> None:
    found = difference(same, same)
    assert {delta.change for delta in found.deltas} <= {Change.SAME}
    assert len(found.deltas) == len(same.leaks)


@given(REPORTS, REPORTS)
def test_back_again_is_the_other_way_round(old: LeakReport, new: LeakReport) -> None:
    there, back = difference(old, new), difference(new, old)
    assert there.delta_bytes == -back.delta_bytes
    count = {change: sum(delta.change is change for delta in there.deltas) for change in Change}
    turned = {change: sum(delta.change is change for delta in back.deltas) for change in Change}
    assert (count[Change.NEW], count[Change.SAME]) == (turned[Change.GONE], turned[Change.SAME])


def test_a_hostile_report_of_stacks_that_are_all_alike_takes_no_longer() -> None:
    old = report(*(record("a-2", n, 1, frame(16 * n, "f")) for n in range(20_000)))
    new = report(*(record("a-2", n, 1, frame(8 + 16 * n, "f")) for n in range(20_000)))
    began = time.process_time()
    found = difference(old, new)
    assert len(found.deltas) == 40_000
    assert time.process_time() - began < 5.0


def test_two_hundred_thousand_stacks_are_compared_in_seconds() -> None:
    frames = [frame(n, f"f{n}", n) for n in range(1000)]
    leaks = tuple(
        LeakRecord(
            f"{n:016x}",
            64 + n,
            1,
            LeakKind.NOT_FREED,
            (frames[n // 1000], *(frames[(n * k) % 1000] for k in range(1, 12))),
        )
        for n in range(200_000)
    )
    old = report(*leaks[:190_000])
    new = report(*(replace(leak, size_bytes=leak.size_bytes + 8) for leak in leaks[10_000:]))
    renamed = report(*(replace(leak, leak_id=f"y{leak.leak_id}") for leak in leaks))
    began = time.process_time()
    found = difference(old, new)
    by_place = difference(report(*leaks), renamed)
    spent = time.process_time() - began
    counts = [sum(delta.change is change for delta in found.deltas) for change in (Change.NEW, Change.GONE)]
    assert counts == [10_000, 10_000]
    assert by_place.delta_bytes == 0
    assert spent < 15.0, "some 4 s where nothing else runs"
