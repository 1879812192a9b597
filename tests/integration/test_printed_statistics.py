"""Statistics as real allocators print them, opened by memtui: the figures agree with what the allocators say in other ways."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.command_line import run_memtui

SOURCE = Path(__file__).parents[1] / "fixtures" / "statistics" / "prints.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("prints") / "prints"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", str(SOURCE), "-ldl", "-o", str(program)], check=True)
    return program


def printed(program: Path, *words: str, preload: str = "") -> str:
    environment = {"LD_PRELOAD": preload} if preload else {}
    ran = subprocess.run([str(program), *words], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout + ran.stderr


def opened(home: Path, text: str, *words: str) -> str:
    file = home / "pasted.txt"
    file.write_text(text)
    result = run_memtui(home, ["open", *words, str(file)])
    assert result.returncode == 0, result.stderr
    return result.stdout


def document(home: Path, text: str) -> dict:  # type: ignore[type-arg]
    found: dict = json.loads(opened(home, text, "--format", "json"))  # type: ignore[type-arg]
    assert found["schema"] == "memtui-allocator/1"
    return found


def test_glibcs_two_texts_say_what_its_mallinfo_says(program: Path, tmp_path: Path) -> None:
    in_use, free = map(int, printed(program, "mallinfo2").split())
    for way in ("malloc_info", "malloc_stats"):
        found = document(tmp_path, printed(program, way))
        figures = found["figures"]
        assert found["allocator"] == "glibc malloc"
        # Its own buffer for the text is in use by then.
        assert figures["in_use_bytes"] == pytest.approx(in_use, abs=64 << 10)
        assert figures["free_bytes"] + figures["central_bytes"] == pytest.approx(free, abs=64 << 10)
        words = {"malloc_info": "fragmentation", "malloc_stats": "cannot tell"}
        assert found["verdicts"][0]["verdict"] == words[way]


def test_jemallocs_text_and_json_say_the_same(program: Path, tmp_path: Path) -> None:
    text, data = (printed(program, "jemalloc", *how, preload="libjemalloc.so.2") for how in ((), ("J",)))
    of_text, of_json = document(tmp_path, text), document(tmp_path, data)
    for name, size in of_text["figures"].items():
        # They are of two processes, and jemalloc takes its metadata 2 MiB at a time.
        slack = (2 << 20) + (64 << 10) if name == "metadata_bytes" else 64 << 10
        assert of_json["figures"][name] == (None if size is None else pytest.approx(size, abs=slack)), name
    assert of_text["size_classes"]
    for one, other in zip(of_text["size_classes"], of_json["size_classes"], strict=True):
        assert one["bytes"] == other["bytes"]
        # Threads leave their caches when they happen to.
        assert one["free_objects"] == pytest.approx(other["free_objects"], rel=0.2, abs=100)
    # Free regions of all classes are what is active and not allocated, but for the ends of slabs.
    free = sum(one["bytes"] * one["free_objects"] for one in of_text["size_classes"])
    assert free == pytest.approx(of_text["figures"]["central_bytes"], rel=0.05)
    assert of_text["verdicts"][0]["verdict"] == "fragmentation"


def test_tcmallocs_parts_add_up_to_its_own_sum(program: Path, tmp_path: Path) -> None:
    text = printed(program, "tcmalloc", preload="libtcmalloc.so.4")
    actual = re.search(r"MALLOC: =\s+(\d+) .*Actual memory used", text)
    assert actual is not None
    found = document(tmp_path, text)
    assert found["heap_bytes"] == int(actual[1]) and found["allocator"] == "tcmalloc"
    lines = opened(tmp_path, text, "--plain").splitlines()
    assert re.match(
        r"\S+ \S+ in all, tcmalloc \(gperftools' tcmalloc, MallocExtension::GetStats, pasted.txt\)$", lines[0]
    )
    assert any(re.match(r"(fragmentation|retention|in use): \d+ % of its memory", line) for line in lines)


def test_what_cannot_be_told_of_a_file_of_figures_is_refused_in_words(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "stats.txt"
    file.write_text(printed(program, "malloc_stats"))
    compared = run_memtui(tmp_path, ["open", "--plain", str(file), str(file)])
    assert compared.returncode == 3 and "which name no leaks" in compared.stderr
    file.write_text("___ Begin jemalloc statistics ___\n")
    result = run_memtui(tmp_path, ["open", "--plain", str(file)])
    assert result.returncode == 3 and "lack the line that begins with Allocated" in result.stderr
