"""Debug files and sources are looked for where the target would find them, and nowhere beyond."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from memtui_parsers.elf.facts import ElfFacts, read_elf_facts
from memtui_profiler.files import open_regular, path_inside
from memtui_profiler.symbols.debug_files import open_debug_file
from memtui_profiler.symbols.source_lines import source_lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/shadow").write_text("theirs\n")
    (tmp_path / "shadow").write_text("ours\n")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("link", "asked", "found"),
    [
        ("/etc/shadow", "/link", "etc/shadow"),
        ("../../../../etc/shadow", "/link", "etc/shadow"),
        ("etc", "/link/../etc/./shadow", "etc/shadow"),
        ("/etc", "/link/shadow", "etc/shadow"),
        ("missing", "/link/x", "missing/x"),
        ("etc", "/../../shadow", "shadow"),
        ("etc", "//etc//shadow", "etc/shadow"),
    ],
)
def test_links_and_dots_do_not_leave_the_sysroot(root: Path, link: str, asked: str, found: str) -> None:
    (root / "link").symlink_to(link)
    assert path_inside(root, asked) == str(root / found)


def test_links_that_go_round_in_circles(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        path_inside(root, "/a")


def test_only_regular_files_with_content_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    for strange in (tmp_path / "fifo", tmp_path / "empty", tmp_path, Path("/dev/zero"), Path("/proc/self/maps")):
        with pytest.raises(OSError):
            open_regular(str(strange))
    (tmp_path / "file").write_text("x")
    with open_regular(str(tmp_path / "file")) as stream:
        assert stream.read() == b"x"


def facts(path: Path) -> ElfFacts:
    with path.open("rb") as stream:
        return read_elf_facts(stream)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "srv"
    folder.mkdir()
    (folder / "a.cpp").write_text("int main() {}\n")
    subprocess.run(["g++", "-g", "-Wl,--build-id=sha1", "-o", "a", "a.cpp"], check=True, cwd=folder)
    subprocess.run(["objcopy", "--only-keep-debug", "a", "a.debug"], check=True, cwd=folder)
    subprocess.run(["objcopy", "--strip-all", "--add-gnu-debuglink=a.debug", "a"], check=True, cwd=folder)
    return folder / "a"


def found_at(program: Path, **more: list[str]) -> str | None:
    stream = open_debug_file(str(program), facts(program), extra=more.get("extra", []), notes=more.get("notes"))
    if stream is None:
        return None
    with stream:
        return str(stream.name) if isinstance(stream.name, str) else os.readlink(f"/proc/self/fd/{stream.fileno()}")


@pytest.mark.parametrize(
    "place", ["srv/a.debug", "srv/.debug/a.debug", "extra{folder}/a.debug", "extra/.build-id/{id}"]
)
def test_every_place_is_looked_at(tmp_path: Path, program: Path, place: str) -> None:
    identity = facts(program).build_id
    where = place.format(folder=program.parent, id=f"{identity[:2]}/{identity[2:]}.debug")
    debug = (program.parent / "a.debug").rename(program.parent / "aside")
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    assert found_at(program, extra=[str(tmp_path / "extra")]) is None
    debug.rename(tmp_path / where)
    assert found_at(program, extra=[str(tmp_path / "extra")]) == str(tmp_path / where)


def test_a_debug_link_does_not_lead_out_of_its_folder(tmp_path: Path, program: Path) -> None:
    (program.parent / "a.debug").rename(tmp_path / "a.debug")
    data = program.read_bytes()
    assert data.count(b"a.debug\0") == 1
    program.write_bytes(data.replace(b"a.debug\0", b"../a.de\0"))
    (tmp_path / "a.debug").rename(tmp_path / "a.de")
    assert found_at(program) is None


def test_a_file_that_is_no_debug_file_is_said(program: Path) -> None:
    (program.parent / "a.debug").write_text("not ELF")
    notes: list[str] = []
    assert found_at(program, notes=notes) is None
    assert notes == [f"the debug file {program.parent}/a.debug does not match a"]


def test_source_lines_are_clean_and_bounded(tmp_path: Path) -> None:
    code = tmp_path / "x.cpp"
    code.write_bytes(
        b"one\r\n\ttwo\x1b[31m\n" + b"y" * 5000 + b"\n\xff\xfe\n" + b"".join(b"%d\n" % n for n in range(5, 40))
    )
    rows = list(source_lines({str(code): {2, 20}, "/missing/z.cpp": {1}, "x.cpp": {1}}, {"x.cpp": {str(tmp_path)}}))
    lines = {row.line: row.text for row in rows if row.file == str(code)}
    assert sorted(lines) == [*range(1, 7), *range(16, 25)]
    assert lines[1] == "one" and lines[2].startswith("    two") and "\x1b" not in lines[2] and lines[20] == "20"
    assert len(lines[3]) == 400 and lines[6] == "6"
    assert [row.line for row in rows if row.file == "x.cpp"] == [1, 2, 3, 4, 5]
    assert len(rows) == 20


def test_a_source_over_eight_mebibytes_has_no_lines(tmp_path: Path) -> None:
    code = tmp_path / "x.cpp"
    code.write_bytes(b"\n" * (8 << 20))
    assert len(list(source_lines({str(code): {1}}, {}))) == 5
    code.write_bytes(b"\n" * (8 << 20) + b"x")
    assert list(source_lines({str(code): {1}}, {})) == []
