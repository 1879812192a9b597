"""Allocators inside files: under other names, stripped, linked in, or a runtime's own; and what that makes of a launch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_parsers.elf.image import read_image
from memtui_profiler.allocators.signs import built_in, built_into
from memtui_profiler.checkers.growth import GROWTH
from memtui_profiler.launch.doctor import diagnose_machine
from memtui_profiler.launch.preflight import Preflight, preflight
from memtui_profiler.process.image import ProcessImage
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.target.program import resolve_target
from memtui_profiler.target.program_facts import ProgramFacts
from tests.fixtures.attached import running
from tests.fixtures.command_line import run_memtui
from tests.fixtures.hidden_allocators import JEMALLOC, go_program, holder, rust_like, rust_program
from tests.fixtures.waiting import until

RUFF = Path(sys.executable).with_name("ruff")  # Rust, with jemalloc as _rjem_*, and stripped


def looked_at(program: str | Path) -> tuple[Preflight, ProgramFacts]:
    target = resolve_target((str(program),), "/", os.environ["PATH"])
    able = preflight(target, mode=CHECK_OFF, tcmalloc="auto", environment={})
    assert able.program is not None
    return able, able.program


@pytest.mark.parametrize("strip", [False, True])
def test_a_jemalloc_under_names_of_its_own_hides_all_from_a_check(strip: bool) -> None:
    able, facts = looked_at(rust_like(strip=strip))
    assert facts.malloc == "jemalloc + glibc malloc" and facts.own_malloc == ""
    assert able.checks == {GROWTH}, "none that could only say that nothing leaked"
    assert able.preload is None and able.allocator == "jemalloc + glibc malloc"
    normal, memcheck = able.capability("normal"), able.capability("memcheck")
    assert not normal.available and "comes from jemalloc" in normal.reason and "prof:true" in normal.remedy
    assert memcheck.available and memcheck.blind and "comes from jemalloc" in memcheck.reason


def test_ruff_as_pip_installs_it() -> None:
    _, facts = looked_at(RUFF)
    assert facts.malloc == "jemalloc + glibc malloc" and facts.unseen is not None
    findings = {finding.name: finding for finding in diagnose_machine(str(RUFF), environment={}, cwd="/")}
    for name in ("heap check", "--check lsan", "--check memcheck", "--check profile"):
        assert not findings[name].ok and findings[name].detail != "works", name
        assert "MALLOC_CONF=prof:true" in findings[name].remedy


def test_a_go_program_is_one_without_its_symbols() -> None:
    able, facts = looked_at(go_program())
    assert facts.malloc == "Go's runtime" and facts.is_static
    for mode in ("normal", "lsan", "memcheck", "profile"):
        assert not able.capability(mode).available and "net/http/pprof" in able.capability(mode).remedy, mode


def test_what_serves_malloc_itself_is_no_hidden_heap() -> None:
    """Linked in and stripped: .dynsym still has malloc, so valgrind can take its place."""
    able, facts = looked_at(holder(*JEMALLOC, strip=True))
    assert (facts.malloc, facts.own_malloc, facts.own_heap) == ("jemalloc", "jemalloc", None)
    assert able.checks == {"memcheck", GROWTH} and not able.capability("memcheck").reason


@pytest.mark.parametrize(
    ("flags", "compiler", "name"),
    [
        (("-static", "-pthread"), "gcc", "glibc malloc"),
        (("-static",), "musl-gcc", "musl malloc"),
        ((), "musl-gcc", "musl malloc"),
    ],
)
def test_the_c_library_of_a_program(flags: tuple[str, ...], compiler: str, name: str) -> None:
    _, facts = looked_at(holder(*flags, compiler=compiler))
    assert (facts.malloc, facts.own_heap) == (name, None)
    if compiler == "gcc":
        assert looked_at(holder(*flags, strip=True))[1].malloc == name


def test_memcheck_sees_the_blocks_of_musl(tmp_path: Path) -> None:
    """Debian's musl has no soname, so valgrind must be told, or it counts "0 allocs"."""
    source = tmp_path / "leak.c"
    source.write_text(
        "#include <stdlib.h>\nvoid *volatile kept;\nint main(void) { kept = malloc(4321); kept = 0; return 0; }\n"
    )
    subprocess.run(["musl-gcc", "-O0", str(source), "-o", str(tmp_path / "leak")], check=True)
    result = run_memtui(tmp_path, ["check", "--check", "memcheck", str(tmp_path / "leak")])
    assert result.returncode == 1 and "4.2 KiB leaked in 1 object" in result.stdout, result


def test_javascript_has_a_heap_beside_malloc() -> None:
    node = shutil.which("node") or pytest.fail("node is not installed")
    able, facts = looked_at(node)
    assert facts.malloc == "glibc malloc + V8"
    lsan = able.capability("lsan")
    assert lsan.available and "V8's own heap is not seen" in lsan.reason and "heapsnapshot" in lsan.remedy
    assert any("V8 has a heap beside malloc" in note for note in facts.notes)


@pytest.mark.parametrize("program", [sys.executable, "/bin/sh", "redis-server", "memcached", "nginx"])
def test_an_ordinary_program_has_no_hidden_heap(program: str) -> None:
    _, facts = looked_at(program)
    assert facts.own_heap is None and facts.unseen is None and facts.own_malloc == ""


def test_the_allocators_of_a_process_by_file() -> None:
    with running([rust_like(strip=True)], preload="libtcmalloc_minimal.so.4") as process:

        def found() -> set[tuple[str, bool]]:
            return {(each.kind.name, each.hidden) for each in built_into(ProcessImage(process.pid))}

        until(lambda: found() == {("jemalloc", True), ("tcmalloc", False), ("glibc malloc", False)}, "all are mapped")


def test_python_carries_mimalloc_and_seldom_uses_it(tmp_path: Path) -> None:
    """CPython from 3.13 on has it in it; here a library that has both names."""
    for name, source in (("carries", "void mi_malloc(){} void PyObject_Malloc(){}"), ("is", "void mi_malloc(){}")):
        library = tmp_path / f"{name}.so"
        subprocess.run(["gcc", "-shared", "-xc", "-", "-o", str(library)], input=source.encode(), check=True)
        with library.open("rb") as stream:
            assert [kind.name for kind in built_in(stream, read_image(stream))] == (
                [] if name == "carries" else ["mimalloc"]
            )


def test_rust_takes_malloc_where_it_is_told_nothing_else() -> None:
    _, facts = looked_at(rust_program())
    assert (facts.malloc, facts.own_heap) == ("glibc malloc", None)


def test_memcheck_has_no_result_where_it_sees_no_block(tmp_path: Path) -> None:
    """It may be chosen, for wrong reads and writes; that nothing leaked it cannot say."""
    result = run_memtui(tmp_path, ["check", "--check", "memcheck", str(RUFF), "--version"])
    assert result.returncode == 3 and "no leaks found" not in result.stdout, result
    assert "its memory comes from jemalloc" in result.stderr
    refused = run_memtui(tmp_path, ["check", str(RUFF), "--version"])
    assert refused.returncode == 3 and "MALLOC_CONF=prof:true" in refused.stderr
    assert "--check growth works here: what grows, by stack" in refused.stderr
