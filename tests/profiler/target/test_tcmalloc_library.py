from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.elf.facts import defined_symbols, read_elf_facts
from memtui_profiler.errors import UserError
from memtui_profiler.target.libraries import loaded_libraries, read_cache
from memtui_profiler.target.program import read_facts, this_machine
from memtui_profiler.target.tcmalloc_library import (
    BUILT_IN_SYMBOLS,
    PRELOAD,
    TcmallocLibrary,
    best_library,
    library_asked_for,
    preloadable_libraries,
    present_library,
    read_library,
    static_library,
)
from tests.fixtures.gperftools import has_heap_checker, library, version
from tests.fixtures.leaky import build
from tests.fixtures.tcmalloc_variants import library_without_checker, program


def built_in(path: Path) -> TcmallocLibrary | None:
    with path.open("rb") as stream:
        return static_library(str(path), read_elf_facts(stream), defined_symbols(stream, BUILT_IN_SYMBOLS))


def test_installed_libraries_come_full_ones_first() -> None:
    found = preloadable_libraries(this_machine(), 64)
    names = [os.path.basename(library.path) for library in found]
    assert names == ["libtcmalloc.so.4", "libtcmalloc_and_profiler.so.4", "libtcmalloc_minimal.so.4"]
    assert [library.has_checker for library in found] == [has_heap_checker(), has_heap_checker(), False]
    assert [library.minimal for library in found] == [False, False, True]
    assert {library.version for library in found} == {version()}
    assert preloadable_libraries("aarch64", 64) == []


def test_the_checker_is_asked_for_by_its_flag_not_by_the_version() -> None:
    newer = read_library(str(library_without_checker()), PRELOAD)
    assert newer == TcmallocLibrary(str(library_without_checker()), "2.17.2", False, False, PRELOAD)
    libraries = [newer, *preloadable_libraries(this_machine(), 64)]
    assert best_library(libraries, need_checker=False) == newer
    assert best_library(libraries, need_checker=True) == libraries[has_heap_checker()]
    assert best_library([newer], need_checker=True) == newer
    assert best_library([], need_checker=True) is None


@pytest.mark.parametrize(
    ("variant", "name", "full"),
    [
        ("built_in", "tcmalloc", True),
        ("built_in_stripped", "tcmalloc", True),
        ("built_in_minimal", "tcmalloc_minimal", False),
        ("static_tcmalloc", "tcmalloc", True),
    ],
)
def test_a_tcmalloc_linked_in_is_found(variant: str, name: str, full: bool) -> None:
    found = built_in(program(variant))
    assert found is not None
    flavor = name if has_heap_checker() else "tcmalloc"
    assert (found.name, found.how) == (f"{flavor} {version()}", "static")
    assert found.has_checker == (full and has_heap_checker())


@pytest.mark.parametrize("variant", ["basic", "linked", "static", "asan"])
def test_no_tcmalloc_is_seen_where_none_is_linked_in(variant: str) -> None:
    assert built_in(program(variant)) is None


def test_the_closure_is_what_ld_so_loads() -> None:
    installed = map(shutil.which, ("tmux", "llvm-symbolizer", "g++"))
    for path in (str(program("linked")), str(build("shared_library").path), *installed):
        assert path is not None
        facts = read_facts(path)
        assert facts is not None
        listed = subprocess.run(["ldd", path], check=True, stdout=subprocess.PIPE, text=True).stdout
        expected = {os.path.realpath(file) for file in re.findall(r"=> (/\S+)", listed)}
        loaded = loaded_libraries(path, facts, {}, "/")
        found = {os.path.realpath(library.path) for library in loaded.needed if "ld-linux" not in library.path}
        assert found == expected
        assert loaded.missing == ()


def test_the_users_libraries_come_first(tmp_path: Path) -> None:
    path = str(program("linked"))
    facts = read_facts(path)
    assert facts is not None
    fake = library_without_checker()
    by_path = loaded_libraries(path, facts, {"LD_LIBRARY_PATH": str(fake.parent)}, "/")
    assert present_library(by_path) == read_library(str(fake), "linked")
    relative = loaded_libraries(path, facts, {"LD_LIBRARY_PATH": fake.parent.name}, str(fake.parent.parent))
    assert present_library(relative) == read_library(str(fake), "linked")
    minimal = "/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"
    for value in (minimal, f"/no/such.so:{minimal}", f"libtcmalloc_minimal.so.4 {fake}"):
        preloaded = present_library(loaded_libraries(path, facts, {"LD_PRELOAD": value}, "/"))
        assert preloaded is not None and preloaded.minimal and preloaded.how == PRELOAD
    secure = loaded_libraries(
        path, facts, {"LD_LIBRARY_PATH": str(fake.parent), "LD_PRELOAD": minimal}, "/", secure=True
    )
    installed = present_library(secure)
    assert installed is not None and installed.how == "linked"
    assert installed.path == library("libtcmalloc.so.4")


def test_a_library_that_is_not_there_is_told() -> None:
    built = build("shared_library")
    facts = read_facts(str(built.path))
    assert facts is not None
    moved = loaded_libraries("/elsewhere/shared_library", facts, {}, "/")
    assert moved.missing == ("libleaky.so",)


def test_the_cache_is_read_as_ldconfig_prints_it() -> None:
    listed = subprocess.run(["ldconfig", "-p"], check=True, stdout=subprocess.PIPE, text=True).stdout
    expected = {(name, file) for name, file in re.findall(r"^\t(\S+) \(.*\) => (\S+)$", listed, re.MULTILINE)}
    assert {(name, file) for name, files in read_cache().items() for file in files} == expected


@pytest.mark.parametrize("keep", [0, 10, 30, 48, 60, 1000, 20000])
def test_a_cut_cache_gives_what_it_still_has(tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cache"
    cut.write_bytes(Path("/etc/ld.so.cache").read_bytes()[:keep])
    whole = read_cache()
    assert all(files == whole[name][: len(files)] for name, files in read_cache(str(cut)).items() if name in whole)


def test_a_cache_that_lies_about_its_size_costs_nothing(tmp_path: Path) -> None:
    lying = tmp_path / "cache"
    entry = struct.pack("=iIIIQ", 0x303, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    lying.write_bytes(struct.pack("=20s2I20x", b"glibc-ld.so.cache1.1", 0xFFFFFFFF, 0) + entry)
    assert read_cache(str(lying)) == {}
    assert read_cache(str(tmp_path / "none")) == {}


def refused(path: str) -> str:
    with pytest.raises(UserError) as caught:
        library_asked_for(path, this_machine(), 64)
    assert caught.value.what.startswith("cannot preload ")
    return caught.value.why


def test_only_a_tcmalloc_for_this_program_is_taken(tmp_path: Path) -> None:
    assert refused("/no/such/file") == "it does not exist"
    assert refused(str(tmp_path)) == "it is not a file"
    assert refused("/etc/passwd") == "it is not an ELF library"
    assert refused("/lib/x86_64-linux-gnu/libm.so.6") == "it is not gperftools' tcmalloc (tc_malloc is not in it)"
    assert (
        refused("/lib/x86_64-linux-gnu/libjemalloc.so.2") == "it is not gperftools' tcmalloc (tc_malloc is not in it)"
    )
    assert refused(str(program("built_in"))) == "it is not gperftools' tcmalloc (tc_malloc is not in it)"
    spaced = tmp_path / "my lib.so"
    shutil.copy(library_without_checker(), spaced)
    assert refused(str(spaced)) == "LD_PRELOAD cannot hold a path with a colon or a space"
    foreign = tmp_path / "libtcmalloc.so"
    image = bytearray(library_without_checker().read_bytes())
    image[18:20] = (183).to_bytes(2, "little")
    foreign.write_bytes(image)
    assert refused(str(foreign)) == "it is for aarch64 (64-bit), the program for x86-64 (64-bit)"
    taken = library_asked_for("/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", this_machine(), 64)
    assert (taken.name, taken.how) == (f"tcmalloc_minimal {version()}", PRELOAD)
