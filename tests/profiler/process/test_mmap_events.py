"""The kernel's own word on what a real program maps. Where perf events are forbidden there is nothing to test but the refusal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.procfs.maps import file_path, parse_mapping
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.process import mmap_events, perf_ring
from memtui_profiler.process.mmap_events import MmapEvents
from memtui_profiler.session.rows import Leak, ReportNote, Symbol
from tests.fixtures.leaky import build

TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"


@pytest.fixture
def events() -> MmapEvents:
    opened = MmapEvents.open()
    if opened is None:
        pytest.skip("perf events are not permitted here")
    return opened


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_library_that_came_and_went_is_remembered(events: MmapEvents, tmp_path: Path) -> None:
    program = build("plugin")
    environment = {
        **os.environ,
        "HEAPCHECK": "draconian",
        "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path),
        "LD_PRELOAD": TCMALLOC,
        "PPROF_PATH": "/dev/null/none",
        "TCMALLOC_STACKTRACE_METHOD": "libgcc",
    }
    with subprocess.Popen([program.path], env=environment, stderr=subprocess.DEVNULL) as process:
        process.wait(timeout=60)
    lines = events.lines(process.pid)
    events.close()
    paths = [file_path(parse_mapping(line.encode("utf-8", "surrogateescape"))) for line in lines]
    assert str(program.folder / "libleaky.so") in paths
    assert str(program.path) in paths
    (dump,) = tmp_path.glob("*.heap")
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(dump), extra_maps=tuple(lines))))
    named = {f"{row.file}:{row.line}" for row in rows if isinstance(row, Symbol) and row.line}
    assert {f"{leak.file}:{leak.line}" for leak in program.leaks} <= named
    notes = [row.text for row in rows if isinstance(row, ReportNote)]
    assert "libleaky.so was unloaded before the check; it is named by where it was loaded earlier" in notes
    assert not any("in no file that was loaded" in note for note in notes)
    assert sum(row.objects for row in rows if isinstance(row, Leak)) >= 49


def test_processes_are_told_apart(events: MmapEvents) -> None:
    with subprocess.Popen(["/bin/true"]) as one, subprocess.Popen(["/bin/false"]) as two:
        one.wait(timeout=60)
        two.wait(timeout=60)
    first, second = events.lines(one.pid), events.lines(two.pid)
    events.close()
    assert any(line.endswith("/true") for line in first) and not any(line.endswith("/false") for line in first)
    assert any(line.endswith("/false") for line in second)
    assert os.getpid() not in (one.pid, two.pid)


def test_the_buffer_may_go_round_many_times(events: MmapEvents) -> None:
    for _ in range(150):
        process = subprocess.Popen(["/bin/true"])
        process.wait(timeout=60)
        assert any(line.endswith("/true") for line in events.lines(process.pid))
    events.close()


def test_many_children_do_not_push_the_target_out(events: MmapEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap_events, "MAX_LINES", 20)
    with subprocess.Popen(["/bin/true"]) as target:
        target.wait(timeout=60)
    before = events.lines(target.pid)
    for _ in range(10):
        with subprocess.Popen(["/bin/false"]) as child:
            child.wait(timeout=60)
        events.update(target.pid)
    assert before and events.lines(target.pid) == before
    events.close()


def test_where_it_cannot_work_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap_events, "MAX_CPUS", 0)
    assert MmapEvents.open() is None
    monkeypatch.undo()
    monkeypatch.setattr(perf_ring, "SYSCALLS", dict.fromkeys(perf_ring.SYSCALLS, 1 << 20))
    assert MmapEvents.open() is None
