"""symbolize() on real programs: what the recorder writes down of a stack."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from memtui_parsers.elf.facts import read_elf_facts
from memtui_parsers.elf.image import read_image
from memtui_profiler.session.rows import LeakFrame, ModuleRow, SourceLine, Symbol
from memtui_profiler.symbols.file_finder import FileFinder
from memtui_profiler.symbols.symbol_cache import SymbolCache, file_identity
from memtui_profiler.symbols.symbolize import symbolize

SOURCE = """\
template <int N> struct Session {
  static inline int* grow(int n) {
    return new int[n + N];
  }
};

__attribute__((noinline)) int* open_session(int n) {
  return Session<7>::grow(n);
}

int main(int argc, char**) {
  return open_session(argc) == nullptr;
}
"""


# Nothing can be kept below what is no folder.
NO_CACHE = SymbolCache(Path(os.devnull, "cache"))


def build(folder: Path, *flags: str, name: str = "server") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.cpp").write_text(SOURCE)
    # A relative name: the path must be joined from the compilation's directory.
    subprocess.run(["g++", "-o", name, f"{name}.cpp", "-fno-optimize-sibling-calls", *flags], check=True, cwd=folder)
    return folder / name


def build_id(path: Path) -> str:
    with path.open("rb") as stream:
        return read_elf_facts(stream).build_id


def identity(path: Path) -> bytes:
    with path.open("rb") as stream:
        return file_identity(stream, None)


def return_addresses(path: Path) -> dict[str, int]:
    """By function, the address after its first call, as objdump lists it."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True, errors="replace"
    )
    found: dict[str, int] = {}
    function = ""
    after_call = False
    for line in listing.stdout.splitlines():
        if line.endswith(">:"):
            function = line.split("<")[1][:-2]
            after_call = False
        elif ":\t" in line:
            if after_call:
                found.setdefault(function, int(line.split(":")[0], 16))
            after_call = "\tcall" in line
    return found


def run(
    path: Path,
    offsets: list[int],
    *,
    known_build_id: str | None = None,
    sysroot: Path | None = None,
    moved: bool = False,
    module_path: str | None = None,
    cache: SymbolCache = NO_CACHE,
) -> tuple[list[Symbol], list[SourceLine], list[str]]:
    module = ModuleRow(
        report=3,
        ordinal=0,
        path=module_path or str(path),
        build_id=known_build_id if known_build_id is not None else build_id(path),
    )
    frames = [
        LeakFrame(report=3, ordinal=n, address=hex(0x5500_0000_0000 + o), module=0, offset=hex(o))
        for n, o in enumerate(offsets)
    ]
    frames.append(LeakFrame(report=3, ordinal=len(offsets), address="0x10", module=None, offset=None))
    notes: list[str] = []
    rows = list(symbolize(3, [module], frames, file_finder=FileFinder(sysroot, moved=moved), notes=notes, cache=cache))
    return [r for r in rows if isinstance(r, Symbol)], [r for r in rows if isinstance(r, SourceLine)], notes


def lines(symbols: list[Symbol]) -> dict[int, list[int | None]]:
    """By frame, the lines of its calls as a reader has them: the last row of a depth wins."""
    found: dict[int, dict[int, int | None]] = {}
    for symbol in symbols:
        found.setdefault(symbol.frame, {})[symbol.depth] = symbol.line
    return {frame: [by_depth[depth] for depth in sorted(by_depth)] for frame, by_depth in sorted(found.items())}


def calls(path: Path) -> list[int]:
    found = return_addresses(path)
    return [found["_Z12open_sessioni"], found["main"]]


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie",), ("-gdwarf-4",), ("-gdwarf-5",), ("-gz=zlib",)])
def test_functions_then_lines_then_source(tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = build(tmp_path, "-g", "-O2", *flags)
    symbols, source, notes = run(path, calls(path))
    assert sorted((s.frame, s.depth, s.function, s.line) for s in symbols[:2]) == [
        (0, 0, "open_session(int)", None),
        (1, 0, "main", None),
    ]
    file = str(tmp_path / "server.cpp")
    later = [(s.frame, s.depth, s.function, s.linkage_name, s.file, s.line, s.inlined) for s in symbols[2:]]
    # operator new stands in the inlined template; the function itself, known to symbol tables, comes before what it holds.
    assert sorted(later[:2], reverse=True) == later[:2]
    assert sorted(later) == [
        (0, 0, "Session<7>::grow(int)", "_ZN7SessionILi7EE4growEi", file, 3, 1),
        (0, 1, "open_session(int)", "_Z12open_sessioni", file, 8, 0),
        (1, 0, "main", "main", file, 12, 0),
    ]
    assert [(s.file, s.line) for s in source] == [(file, n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)]
    assert source[2].text == "    return new int[n + N];"
    assert notes == []


def test_a_stripped_program_with_its_debug_file(tmp_path: Path) -> None:
    path = build(tmp_path, "-g", "-O1")
    offsets = calls(path)
    whole = run(path, offsets)
    for place in ("server.debug", ".debug/server.debug"):
        shutil.copy(path, tmp_path / "kept")
        debug = tmp_path / place
        debug.parent.mkdir(exist_ok=True)
        subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
        subprocess.run(["strip", path], check=True)
        assert run(path, offsets)[0] == [] and "no symbols in server" in run(path, offsets)[2]
        subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", path], check=True)
        again = run(path, offsets)
        assert (lines(again[0]), *again[1:]) == (lines(whole[0]), *whole[1:])
        assert set(again[0]) == set(whole[0])
        debug.unlink()
        shutil.move(tmp_path / "kept", path)


def test_a_debug_file_by_build_id_inside_a_sysroot(tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = build(root / "srv", "-g", "-O1", "-Wl,--build-id=sha1")
    offsets = calls(path)
    identity = build_id(path)
    debug = root / "usr/lib/debug/.build-id" / identity[:2] / f"{identity[2:]}.debug"
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
    subprocess.run(["strip", path], check=True)
    (root / "current").symlink_to("/srv")
    symbols, _, notes = run(path, offsets, sysroot=root, module_path="/current/server")
    assert lines(symbols) == {0: [3, 8], 1: [12]}
    assert notes == []


@pytest.mark.parametrize("identified", [True, False])
def test_a_debug_file_of_another_build_is_not_used(tmp_path: Path, identified: bool) -> None:
    flag = "-Wl,--build-id=" + ("sha1" if identified else "none")
    path = build(tmp_path, "-g", flag)
    offsets = calls(path)
    debug = tmp_path / "server.debug"
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", path], check=True)
    other = build(tmp_path / "other", "-g", "-O2", flag)
    subprocess.run(["objcopy", "--only-keep-debug", other, debug], check=True)
    symbols, _, notes = run(path, offsets)
    assert symbols == []
    assert f"the debug file {debug} does not match server" in notes


def test_a_binary_that_was_built_anew_lends_no_names(tmp_path: Path) -> None:
    path = build(tmp_path, "-g")
    offsets = calls(path)
    before = build_id(path)
    build(tmp_path, "-g", "-O2")
    why = f"the file has changed since it was loaded (build-id {build_id(path)[:12]}, what ran had {before[:12]})"
    assert run(path, offsets, known_build_id=before) == ([], [], [f"no names from server: {why}"])
    subprocess.run(["objcopy", "--remove-section=.note.gnu.build-id", path], check=True)
    assert run(path, offsets, known_build_id=before)[2] == [
        f"no names from server: the file has changed since it was loaded (no build-id, what ran had {before[:12]})"
    ]


def test_a_deleted_binary_is_known_by_its_build_id_alone(tmp_path: Path) -> None:
    path = build(tmp_path, "-g", "-Wl,--build-id=sha1")
    offsets = calls(path)
    symbols, _, notes = run(path, offsets, module_path=f"{path} (deleted)")
    assert len(symbols) == 4 and notes == []
    symbols, _, notes = run(path, offsets, module_path=f"{path} (deleted)", known_build_id="")
    assert symbols == [] and notes == ["no names from server: the file has changed since it was loaded"]


def test_without_debug_information_the_names_remain(tmp_path: Path) -> None:
    path = build(tmp_path)
    symbols, source, notes = run(path, calls(path))
    assert [s.function for s in symbols] == ["open_session(int)", "main"] and source == []
    assert notes == ["no line numbers for server: built without -g, or its debug file is not here"]


def test_a_source_that_moved_is_found_beside_the_binary(tmp_path: Path) -> None:
    path = build(tmp_path / "build", "-g")
    (tmp_path / "srv").mkdir()
    for name in ("server", "server.cpp"):
        shutil.move(tmp_path / "build" / name, tmp_path / "srv" / name)
    symbols, source, _ = run(tmp_path / "srv" / path.name, calls(tmp_path / "srv" / path.name))
    recorded = str(tmp_path / "build" / "server.cpp")
    assert {s.file for s in symbols if s.file} == {s.file for s in source} == {recorded}


def test_what_stands_at_a_path_may_be_anything(tmp_path: Path) -> None:
    path = build(tmp_path, "-g")
    offsets = calls(path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "text").write_text("no ELF")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:5000])
    for strange in (fifo, tmp_path, tmp_path / "missing", tmp_path / "text", tmp_path / "cut", Path("/dev/zero")):
        symbols, source, notes = run(strange, offsets, known_build_id="")
        assert symbols == [] and source == []
        assert len(notes) == 1 and notes[0].startswith(f"no names from {strange.name}: ")
    os.remove(tmp_path / "server.cpp")
    os.mkfifo(tmp_path / "server.cpp")
    assert run(path, offsets)[1] == []
    assert run(Path("[vdso]"), offsets, known_build_id="") == ([], [], [])


def test_every_row_can_be_stored_whatever_the_names_hold(tmp_path: Path) -> None:
    folder = tmp_path / "b\udcffd\x1b[31m"
    folder.mkdir()
    path = build(folder, "-g", "-O1")
    symbols, source, _ = run(path, calls(path))
    assert lines(symbols) == {0: [3, 8], 1: [12]} and len(source) == 13
    database = sqlite3.connect(":memory:")
    for text in [s.file for s in symbols] + [s.function for s in symbols] + [s.file for s in source]:
        database.execute("SELECT ?", (text,))
        assert text is None or "\x1b" not in text
    database.close()


def test_the_cache_knows_what_was_found_and_what_was_not(tmp_path: Path) -> None:
    path = build(tmp_path, "-g", "-O2")
    cache = SymbolCache(tmp_path / "cache")
    nowhere = 0x10  # the header
    first = run(path, [*calls(path), nowhere], cache=cache)
    known = cache.load(build_id(path), "own", identity(path))
    assert set(known) == {offset - 1 for offset in (*calls(path), nowhere)}
    assert known[nowhere - 1] == ()
    texts = [text for chain in known.values() for call in chain for text in call[:3] if text is not None]
    assert len({id(text) for text in texts}) == len(set(texts)), "each text is stored once"

    again = run(path, [*calls(path), nowhere], cache=cache)
    assert lines(again[0]) == lines(first[0]) and again[1:] == first[1:]


def names(symbols: list[Symbol]) -> set[str | None]:
    return {symbol.function for symbol in symbols}


def test_a_binary_with_the_build_id_of_another_does_not_name_it(tmp_path: Path) -> None:
    """The attack: a report of a hostile binary, opened before one of the true binary, would have filled the cache."""
    forged = ("-g", "-O1", f"-Wl,--build-id=0x{'deadbeef' * 5}")
    true = build(tmp_path, *forged)
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "server.cpp").write_text(SOURCE.replace("open_session", "curl_http_ok"))
    subprocess.run(
        ["g++", "-o", "server", "server.cpp", "-fno-optimize-sibling-calls", *forged], check=True, cwd=hostile
    )
    assert build_id(true) == build_id(hostile / "server")
    cache = SymbolCache(tmp_path / "cache")
    offsets = calls(true)
    assert "curl_http_ok(int)" in names(run(hostile / "server", offsets, cache=cache)[0])
    assert "open_session(int)" in names(run(true, offsets, cache=cache)[0])
    # The same file with other contents, its length and its time of writing as before.
    before = true.stat()
    data = true.read_bytes()
    with true.open("r+b") as file:
        file.write(data.replace(b"open_session", b"shut_session"))
    os.utime(true, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert true.stat().st_size == before.st_size
    assert "shut_session(int)" in names(run(true, offsets, cache=cache)[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what another user cannot")
def test_root_reads_no_source_that_the_binarys_owner_may_not_read() -> None:
    """The attack: debug information that names /etc/shadow; what root's memtui keeps and prints would have its lines."""
    with tempfile.TemporaryDirectory(prefix="memtui-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = build(folder, "-g", "-O1")
        source = folder / "server.cpp"
        source.chmod(0o600)
        assert run(path, calls(path))[1], "root's own binary names root's own source"
        os.chown(path, 54321, 54321)
        assert not run(path, calls(path))[1]
        os.chown(source, 54321, 54321)
        assert run(path, calls(path))[1]


@pytest.mark.parametrize("how", ["zlib", "zstd"])
@pytest.mark.parametrize("section", [".debug_info", ".debug_line", ".debug_abbrev", ".debug_str"])
def test_a_damaged_compressed_section_costs_its_own_lines_alone(tmp_path: Path, how: str, section: str) -> None:
    """The names of the symbol table stay, and so do those of the other modules; each compression has errors of its own."""
    path, other = build(tmp_path / "damaged", "-g", "-O1"), build(tmp_path / "whole", "-g", "-O1")
    done = subprocess.run(["objcopy", f"--compress-debug-sections={how}", path], capture_output=True, check=False)
    if how == "zstd" and done.returncode:
        pytest.skip("this objcopy knows no zstd")
    with path.open("rb") as stream:
        at = read_image(stream).section(section)
    assert at is not None and at.size > 40
    data = bytearray(path.read_bytes())
    for position in range(at.offset + 24, at.offset + at.size, 7):  # behind the header, which tells the compression
        data[position] ^= 0x55
    path.write_bytes(data)
    modules = [ModuleRow(3, 0, str(path), build_id(path)), ModuleRow(3, 1, str(other), build_id(other))]
    places = [(number, offset) for number, file in enumerate((path, other)) for offset in calls(file)]
    frames = [LeakFrame(3, n, hex(0x1000 + n), number, hex(offset)) for n, (number, offset) in enumerate(places)]
    notes: list[str] = []
    rows = list(symbolize(3, modules, frames, notes=notes, cache=NO_CACHE))
    symbols = [row for row in rows if isinstance(row, Symbol)]
    assert {symbol.frame for symbol in symbols if symbol.function} == {0, 1, 2, 3}
    assert {symbol.function for symbol in symbols if symbol.frame in (0, 1)} >= {"open_session(int)", "main"}
    assert {symbol.frame for symbol in symbols if symbol.line} >= {2, 3}
