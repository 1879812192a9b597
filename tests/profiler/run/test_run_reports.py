from __future__ import annotations

from pathlib import Path

from memtui_profiler.checkers.ending import Output
from memtui_profiler.checkers.heapprofile import outputs
from memtui_profiler.run.run_reports import MOST, SnapshotWatch


def write(folder: Path, *names: str) -> list[Output]:
    for name in names:
        (folder / name).write_text("heap profile:")
    return outputs(folder)


def sized(there: list[Output]) -> list[tuple[Output, int]]:
    return [(output, output.path.stat().st_size) for output in there]


def test_what_the_profiler_writes_is_given_once_it_has_stopped_growing(tmp_path: Path) -> None:
    watch = SnapshotWatch()
    there = write(tmp_path, "heap.0001.heap")
    assert watch.finished(sized(there)) == []
    there[0].path.write_text("heap profile: more")
    assert watch.finished(sized(there)) == []
    assert watch.finished(sized(there)) == [there[0].path]
    assert watch.finished(sized(there)) == [] and watch.left(there) == [] and watch.taken == 1


def test_one_that_was_asked_for_comes_at_once_behind_those_before_it(tmp_path: Path) -> None:
    watch = SnapshotWatch()
    there = write(tmp_path, "heap.0001.heap", "heap_77.0001.heap", "heap.0002.heap", "heap.0003.heap")
    asked = watch.take(there, "heap.0002.heap")
    assert [path.name for path in asked] == ["heap.0001.heap", "heap.0002.heap"]
    assert watch.take(there, "heap.0002.heap") == [], "given out already"
    assert watch.take(there, "heap.0009.heap") == []
    assert {output.path.name for output in watch.left(there)} == {"heap_77.0001.heap", "heap.0003.heap"}


def test_one_that_was_asked_for_does_not_bring_the_rest_of_a_program_that_dumps_without_end(tmp_path: Path) -> None:
    watch = SnapshotWatch()
    there = write(tmp_path, *(f"heap.{number:04}.heap" for number in range(1, MOST + 51)))
    watch.finished(sized(there))
    assert len(watch.finished(sized(there))) == MOST
    assert [path.name for path in watch.take(there, there[-1].path.name)] == [there[-1].path.name]
