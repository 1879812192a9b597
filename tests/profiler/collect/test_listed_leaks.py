"""Leak dumps as gperftools 2.16 leaves them: up to 8 KiB of the entries before the mappings are missing."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from memtui_parsers.values import ReportStatus
from memtui_profiler.checkers import heapcheck
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.session.rows import Leak, LeakFrame, ReportEnd, ReportNote
from memtui_profiler.target.program import this_machine
from memtui_profiler.target.tcmalloc_library import TcmallocLibrary, best_library, preloadable_libraries
from tests.fixtures.leaky import build

HEADING = b"MAPPED_LIBRARIES:\n"


@dataclass(frozen=True)
class Checked:
    dump: Path
    log: Path


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    folder = tmp_path_factory.mktemp("checked")
    library = best_library(preloadable_libraries(this_machine(), 64), need_checker=True)
    assert library is not None
    variables = heapcheck.environment("draconian", folder, {})
    environment = {**os.environ, **variables, "HEAP_CHECK_MAX_LEAKS": "1000", "LD_PRELOAD": library.path}
    run = subprocess.run([build("containers").path], env=environment, capture_output=True, check=False)
    log = folder / "stderr.log"
    log.write_bytes(run.stderr)
    return Checked(next(folder.glob("*.heap")), log)


def cut(dump: Path, lost_bytes: int) -> Path:
    """The dump without the last bytes of its entries, and without the empty line behind them."""
    content = dump.read_bytes()
    entries, _, mappings = content.partition(b"\n" + HEADING)
    result = dump.with_name(f"{lost_bytes}-{dump.name}")
    result.write_bytes(entries[: max(0, len(entries) - lost_bytes)] + b"\n" + HEADING + mappings)
    return result


def report(dump: Path, log: Path | None) -> tuple[dict[tuple[str, ...], tuple[int, int]], ReportEnd, list[str]]:
    """Bytes and objects by stack of addresses, the end, and the notes."""
    request = CollectRequest(
        1, "heapcheck", "draconian", dump=str(dump), log=None if log is None else str(log), live=True
    )
    rows = list(collect(request))
    addresses = {row.ordinal: row.address for row in rows if isinstance(row, LeakFrame)}
    leaks = {}
    for row in rows:
        if isinstance(row, Leak):
            ordinals = memoryview(row.stack).cast("I").tolist()
            leaks[tuple(addresses[n] for n in ordinals)] = row.size_bytes, row.objects
    (end,) = [row for row in rows if isinstance(row, ReportEnd)]
    return leaks, end, [row.text for row in rows if isinstance(row, ReportNote)]


LOST = [1, 17, 70, 100, 1000, 1 << 20]


@pytest.mark.parametrize("lost_bytes", LOST)
@pytest.mark.whole_dumps
def test_leaks_of_a_cut_dump_are_those_that_the_checker_listed(checked: Checked, lost_bytes: int) -> None:
    whole, whole_end, _ = report(checked.dump, checked.log)
    leaks, end, notes = report(cut(checked.dump, lost_bytes), checked.log)
    assert leaks == whole
    assert (end.status, end.total_bytes) == (ReportStatus.COMPLETE.value, whole_end.total_bytes)
    if lost_bytes > 1:  # of one byte the last address alone is shorter, or only the line's end is missing
        assert any("listed on stderr" in note for note in notes), notes


@pytest.mark.parametrize("lost_bytes", LOST[2:])
@pytest.mark.whole_dumps
def test_a_cut_dump_alone_is_cut_and_has_no_stack_that_is_not_there(checked: Checked, lost_bytes: int) -> None:
    whole, whole_end, _ = report(checked.dump, None)
    leaks, end, notes = report(cut(checked.dump, lost_bytes), None)
    assert leaks.keys() <= whole.keys()
    assert end.status == ReportStatus.TRUNCATED.value and end.total_bytes < whole_end.total_bytes
    assert any("cut" in note or "lost" in note for note in notes)


def test_the_version_that_cuts_is_known_and_has_all_leaks_listed() -> None:
    def of(version: str) -> TcmallocLibrary:
        return TcmallocLibrary("/lib/libtcmalloc.so.4", version, minimal=False, has_checker=True, how="preload")

    assert [of(version).cuts_dumps for version in ("2.10", "2.15", "2.16", "2.16.90", "2.17")] == [
        False, False, True, True, False,
    ]  # fmt: skip


def listing(*leaks: str) -> str:
    heading = "Leak check _main_ detected leaks of {} bytes in {} objects\nThe 2 largest leaks:\n"
    return heading + "".join(leaks) + "\n\nIf the preceding stack traces are not enough to find the leaks\n"


def test_a_list_that_is_cut_too_adds_no_stack_that_is_not_there(tmp_path: Path) -> None:
    """What neither has is shown without a stack, so that the sum is the checker's own."""
    dump, log = tmp_path / "p.1._main_-end.heap", tmp_path / "stderr.log"
    dump.write_text(
        "heap profile:     6:      300 [     6:      300] @ heapprofile\n"
        "     2:      100 [     2:      100] @ 0x1000 0x2000\n\n"
        "MAPPED_LIBRARIES:\n"
    )
    whole = "Leak of 150 bytes in 3 objects allocated from:\n\t@ 1000 \n\t@ 2000 \n"
    cut = "Leak of 100 bytes in 2 objects allocated from:\n\t@ 3000 \n\t@ 40\n00 \n\t@ 5000 \n"
    log.write_text(listing(whole, cut).format(300, 6))
    leaks, end, notes = report(dump, log)
    assert leaks == {("0x1000", "0x2000"): (150, 3), (): (150, 3)}
    assert (end.status, end.total_bytes, end.total_objects) == (ReportStatus.TRUNCATED.value, 300, 6)
    assert any("150 bytes in 3 objects" in note for note in notes)
