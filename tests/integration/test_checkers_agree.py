"""One program, every checker: the planted lines with their sizes, each tool's own totals, and one id for one leak."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memtui_parsers.formats.gperftools_heap import parse_heap
from tests.fixtures.command_line import run_memtui
from tests.fixtures.leaky import Built, build

MODES = ("normal", "draconian", "memcheck", "lsan", "profile")
LOST = {"unreachable", "not-freed", "definitely-lost", "direct", "in-use"}
BUILDS = (("-O0",), ("-O2",))


def check(home: Path, program: Built, mode: str) -> dict[str, Any]:
    home.mkdir()
    done = run_memtui(home, ["check", "--keep", "--check", mode, "--format", "json", str(program.path)])
    assert done.returncode == (0 if mode == "profile" else 1), done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def planted(document: dict[str, Any], program: Built) -> dict[int, tuple[int, int, frozenset[str]]]:
    """Objects, bytes and ids by planted line: of each lost record the first frame in the program's own sources."""
    found: dict[int, tuple[int, int, frozenset[str]]] = {}
    source = program.leaks[0].file
    for leak in document["leaks"]:
        own = next((frame for frame in leak["stack"] if frame["file"] == source), None)
        if own is not None and leak["kind"] in LOST:
            objects, size, ids = found.get(own["line"], (0, 0, frozenset()))
            found[own["line"]] = objects + leak["objects"], size + leak["bytes"], ids | {leak["id"]}
    return found


@pytest.mark.parametrize("flags", BUILDS, ids=lambda flags: flags[0])
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_every_checker_names_every_planted_line_by_the_same_id(flags: tuple[str, ...], tmp_path: Path) -> None:
    program = build("deep", flags=flags)
    ids: dict[int, set[frozenset[str]]] = {}
    for mode in MODES:
        found = planted(check(tmp_path / mode, program, mode), program)
        for leak in program.leaks:
            objects, size, names = found[leak.line]
            assert (objects, size) == (leak.objects, leak.bytes), (mode, leak)
            ids.setdefault(leak.line, set()).add(names)
    for line, different in ids.items():
        assert len(different) == 1, (line, different)
    assert len({names for different in ids.values() for names in different}) == len(program.leaks)


@pytest.mark.parametrize("name", ["containers", "inlined"])
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_every_checker_reads_a_stack_alike(name: str, tmp_path: Path) -> None:
    """Inlined calls of the standard library too, of which valgrind says their bare names."""
    program = build(name, flags=BUILDS[1])
    stacks: dict[str, dict[str, list[tuple[str, str, int, bool]]]] = {}
    for mode in ("draconian", "memcheck", "lsan"):
        for leak in check(tmp_path / mode, program, mode)["leaks"]:
            frames = [f for f in leak["stack"] if f["module"] == str(program.path) and f["line"]]
            if any(frame["file"] == program.leaks[0].file for frame in frames):
                calls = [(f["function"], f["file"], f["line"], f["inlined"]) for f in frames]
                stacks.setdefault(leak["id"], {}).setdefault(mode, calls)
    common = {leak: by_mode for leak, by_mode in stacks.items() if len(by_mode) == 3}
    assert len(common) >= len(program.leaks)
    assert any(call[3] for by_mode in common.values() for call in by_mode["memcheck"])
    for by_mode in common.values():
        assert by_mode["memcheck"] == by_mode["draconian"] == by_mode["lsan"]


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_totals_are_each_tools_own(tmp_path: Path) -> None:
    program = build("deep", flags=BUILDS[0])
    for mode in MODES:
        document = check(tmp_path / mode, program, mode)
        assert document["total"] == own_totals(tmp_path / mode / "state", mode), mode
        assert document["total"]["bytes"] == sum(leak["bytes"] for leak in document["leaks"])


def own_totals(sessions: Path, mode: str) -> dict[str, int]:
    if mode == "memcheck":
        (file,) = sessions.rglob("memcheck.*.xml")
        return memcheck_totals(file.read_text())
    if mode == "lsan":
        (file,) = (path for path in sessions.rglob("lsan.*") if path.suffix[1:].isdecimal())
        words = re.search(r"SUMMARY: \w+: (\d+) byte\(s\) leaked in (\d+) allocation", file.read_text())
        assert words is not None
        return {"bytes": int(words[1]), "objects": int(words[2])}
    files = sorted(sessions.rglob("heap.*.heap" if mode == "profile" else "*._main_-end.heap"))
    with files[-1].open("rb") as stream:
        header = parse_heap(stream).header
    assert header is not None
    return {"bytes": header.inuse_bytes, "objects": header.inuse_objects}


def memcheck_totals(xml: str) -> dict[str, int]:
    """Protocol 4 has no summary: its records, a block's direct bytes alone where others hang on it."""
    totals: Counter[str] = Counter()
    for text, size, blocks in re.findall(
        r"<text>(.*?)</text>\s*<leakedbytes>(\d+)</leakedbytes>\s*<leakedblocks>(\d+)</leakedblocks>", xml
    ):
        direct = re.search(r"\(([\d,]+) direct", text)
        totals["bytes"] += int(direct[1].replace(",", "")) if direct else int(size)
        totals["objects"] += int(blocks)
    return dict(totals)


@pytest.mark.heap_checker
def test_auto_takes_lsan_where_the_heap_checker_cannot_work(tmp_path: Path) -> None:
    program = build("deep", flags=BUILDS[0])
    for home, tcmalloc, checker in (("a", "auto", "heapcheck"), ("b", "off", "lsan")):
        (tmp_path / home).mkdir()
        words = ["check", "--tcmalloc", tcmalloc, "--format", "json", str(program.path)]
        done = run_memtui(tmp_path / home, words)
        assert done.returncode == 1, done.stderr
        assert json.loads(done.stdout)["checker"] == checker
