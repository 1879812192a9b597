"""The promise whole: `memtui check` names every planted line, in every kind of program, as google-pprof does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_profiler.process.mmap_events import MmapEvents
from tests.fixtures.command_line import run_memtui
from tests.fixtures.heap_entries import entries_of
from tests.fixtures.leaky import Built, build
from tests.integration.test_leaky_programs import CHECKED, pprof_lines


def check(home: Path, program: Built, *arguments: str) -> tuple[dict[str, Any], Path]:
    """The report, and the dump that it was made of."""
    words = ["check", "--keep", "--check", "draconian", "--format", "json", str(program.path), *arguments]
    done = run_memtui(home, words)
    assert done.returncode == 1, done.stderr
    (dump,) = (home / "state").rglob("*._main_-end.heap")
    return json.loads(done.stdout), dump


def own_lines(document: dict[str, Any], program: Built) -> tuple[Counter[str], Counter[str]]:
    """Objects and bytes by FILE:LINE: of each record the first frame that is in the program's own sources."""
    sources = {leak.file for leak in program.leaks}
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for leak in document["leaks"]:
        for frame in leak["stack"]:
            if frame["file"] in sources:
                place = f"{frame['file']}:{frame['line']}"
                objects[place] += leak["objects"]
                sizes[place] += leak["bytes"]
                break
    return objects, sizes


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_every_planted_line_is_named_as_by_google_pprof(name: str, tmp_path: Path) -> None:
    program = build(name)
    document, dump = check(tmp_path, program, *(["1"] if name == "flood" else []))
    objects, sizes = own_lines(document, program)
    pprof_objects = pprof_lines(program.path, dump, "--inuse_objects")
    for leak in program.leaks:
        place = f"{leak.file}:{leak.line}"
        assert (objects[place], sizes[place]) == (leak.objects, leak.bytes)
        assert objects[place] == pprof_objects[place]
    with dump.open("rb") as stream:
        entries = entries_of(parse_heap(stream))
    assert document["total"] == {
        "bytes": sum(entry.inuse_bytes for entry in entries),
        "objects": sum(entry.inuse_objects for entry in entries),
    }
    assert document["total"]["bytes"] == sum(leak["bytes"] for leak in document["leaks"])
    assert len({(leak["id"], leak["kind"]) for leak in document["leaks"]}) == len(document["leaks"])


@pytest.mark.heap_checker
def test_a_plugin_that_was_unloaded_is_named_too(tmp_path: Path) -> None:
    events = MmapEvents.open()
    if events is None:
        pytest.skip("the kernel lets nobody follow mmaps here")
    events.close()
    program = build("plugin")
    document, _ = check(tmp_path, program)
    objects, sizes = own_lines(document, program)
    for leak in program.leaks:
        place = f"{leak.file}:{leak.line}"
        assert (objects[place], sizes[place]) == (leak.objects, leak.bytes)


@pytest.mark.heap_checker
def test_a_leak_keeps_its_id_from_run_to_run_and_through_a_rebuild(tmp_path: Path) -> None:
    names = ("basic", "no_pie", "dwarf4")
    ids = []
    for run, name in enumerate((*names, "basic")):
        home = tmp_path / str(run)
        home.mkdir()
        program = build(name)
        document, _ = check(home, program)
        planted = {leak.bytes for leak in program.leaks}
        ids.append({leak["bytes"]: leak["id"] for leak in document["leaks"] if leak["bytes"] in planted})
    assert ids[0] == ids[3]
    assert ids[0]
