"""``memtui open`` on what every other tool wrote: as text, as JSON, on the screen, and two of them compared."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from memtui.commands.open import contents_of, run_open, session_of
from memtui.commands.report_session import Reading
from memtui.options.parse import Open
from memtui.viewer.app import MemtuiApp
from memtui.viewer.leaks.pane import LeakPane
from memtui_parsers.elf.facts import read_elf_facts, symbol_addresses
from memtui_parsers.formats.sniff import FileKind
from memtui_profiler.errors import UserError
from tests.fixtures import sessions
from tests.fixtures.leaky import build
from tests.fixtures.report_files import HEAPS, REPORTS, from_json, sample
from tests.fixtures.screens import Notebook, eventually

# The file, and what its report begins with.
OPENED = {
    "memcheck-faults.xml": "620 B leaked in 6 objects, 100 B still reachable in 1 object, "
    "from 4 stacks (memcheck, ./faults, pid ",
    "memcheck-faults.txt": "620 B leaked in 6 objects, 100 B still reachable in 1 object, "
    "from 4 stacks (memcheck, ./faults, pid ",
    "memcheck-killed.xml": "not checked (memcheck, sleep 60, pid ",
    "lsan-names.log": "17.6 KiB leaked in 90 objects from 2 stacks (lsan, lsan-names.log, pid ",
    "asan-leaks.log": "353 B leaked in 6 objects from 3 stacks (lsan, asan-leaks.log, pid ",
    "lsan-none.log": "no leaks found (lsan, lsan-none.log",
    "lsan-traced.log": "not checked (lsan, lsan-traced.log, pid ",
    "pprof-go.pb.gz": "402.9 KiB in use in 115 objects from 7 stacks (pprof, /tmp/memtui-reports/go/leaky)",
    "pprof-native.heap": "10.8 KiB in use in 73 objects from 3 stacks (heapprofile, pprof-native.heap)",
    "memcheck-summary.txt": "4.9 KiB leaked in 1 object, 472 B still reachable in 1 object (memcheck, ./l, pid 18684)",
    "memcheck-blocks6.xml": "29.4 KiB leaked in 10 objects, 19.5 KiB still reachable in 1 object, "
    "from 2 stacks (memcheck, ./ind, pid 19866)",
    "prefix-valgrind.txt": "29.4 KiB leaked in 10 objects, 19.5 KiB still reachable in 1 object, "
    "from 5 stacks (memcheck, ./ind, pid 19867)",
    "prefix-docker-compose.log": "4.0 KiB leaked in 13 objects from 2 stacks (lsan, prefix-docker-compose.log, pid 4711)",
    "prefix-github-actions.log": "4.0 KiB leaked in 13 objects from 2 stacks (lsan, prefix-github-actions.log, pid 4711)",
    "massif.out": "25.1 KiB in use from 4 stacks (massif, ./losses)",
    "dhat.json": "25.1 KiB in use in 19 objects from 4 stacks (dhat, ./losses, pid ",
    "heaptrack-leaked.txt": "353 B in use from 2 stacks (folded stacks, heaptrack-leaked.txt)",
}


@pytest.mark.parametrize("name", OPENED)
def test_each_kind_as_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_open(Open(str(REPORTS / name), plain=True, ascii=True)) == 0
    out = capsys.readouterr().out
    assert out.startswith(OPENED[name]) and out.isascii()


@pytest.mark.parametrize("name", OPENED)
def test_each_kind_as_json_and_that_again(name: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_open(Open(str(REPORTS / name), format="json")) == 0
    text = capfdbinary.readouterr().out
    report = from_json(text)
    assert (report.pid is None) == ("pid" not in OPENED[name])
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text))
    assert contents_of(tmp_path / "a.json.gz") is FileKind.REPORT_JSON
    assert run_open(Open(str(tmp_path / "a.json.gz"), format="json")) == 0
    assert from_json(capfdbinary.readouterr().out) == report


def test_errors_are_printed_behind_the_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    run_open(Open(str(REPORTS / "memcheck-faults.xml"), plain=True, ascii=True))
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("error 3. UninitCondition, 3 times: Conditional jump or move depends on uninitialised value(s)")
    source = sample("sources/faults.cpp").decode().splitlines()
    (number,) = [n for n, line in enumerate(source, start=1) if "numbers[i] > 3" in line]
    assert lines[at + 1] == f"    count_large()  /tmp/memtui-reports/sources/faults.cpp:{number}"
    assert lines[at + 3] == "  Uninitialised value was created by a heap allocation"
    assert lines[at + 4].strip().startswith("malloc  /usr/libexec/valgrind/")
    assert max(n for n, line in enumerate(lines) if "still-reachable" in line) < at


def test_errors_stand_in_the_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run_open(Open(str(REPORTS / "memcheck-faults.xml"), format="json"))
    document = json.loads(capfdbinary.readouterr().out)
    assert [error["kind"] for error in document["errors"]].count("InvalidRead") == 2
    first = document["errors"][0]
    assert first["stack"][0]["function"] == "read_beyond()" and first["stack"][0]["linkage_name"] == "_Z11read_beyondv"
    assert first["details"][0]["stack"]


async def test_a_report_of_another_tool_on_the_screen() -> None:
    with session_of(REPORTS / "memcheck-faults.xml") as folder:
        app = MemtuiApp(folder, connect=lambda _: Notebook(connected=False))
        async with app.run_test(size=(120, 40)) as pilot:

            def listed() -> int:
                arrangement = next((pane.arrangement for pane in app.query(LeakPane)), None)
                return 0 if arrangement is None else len(arrangement.table.report.leaks)

            await eventually(pilot, lambda: listed() == 4, "the four leaks")


def test_two_kinds_are_compared_by_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """A pprof profile and the .heap it was made of are the same."""
    both = (str(REPORTS / "pprof-native.heap"), str(REPORTS / "pprof-native.pb.gz"))
    assert run_open(Open(both[0], newer=both[1], plain=True, ascii=True)) == 0
    assert "stacks: 0 new, 0 gone, 0 grown, 0 shrunk, 3 same" in capsys.readouterr().out


def test_a_folder_or_a_packed_session_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "s.gz").write_bytes(gzip.compress(b"SQLite format 3\0" + bytes(1000)))
    with pytest.raises(UserError, match="gunzip"):
        contents_of(tmp_path / "s.gz")
    with pytest.raises(UserError, match=r"holds no session\.db"):
        contents_of(REPORTS)


def test_a_heap_profile_that_gzip_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.1._main_-end.heap.gz"
    path.write_bytes(gzip.compress((HEAPS / "basic.draconian.heap").read_bytes()))
    run_open(Open(str(path), plain=True, ascii=True))
    assert capsys.readouterr().out.startswith("98.6 KiB leaked in 118 objects")


def test_a_cut_report_is_shown_with_its_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = sample("memcheck-faults.xml")
    (tmp_path / "cut.xml").write_bytes(text[: text.index(b"Leak_PossiblyLost")])
    run_open(Open(str(tmp_path / "cut.xml"), plain=True, ascii=True))
    out = capsys.readouterr().out
    assert (
        out.startswith("256 B leaked in 4 objects, 100 B still reachable")
        and "note: The file ends before valgrind had told" in out
    )


def moved_profile(folder: Path) -> tuple[Path, Path]:
    """A .heap of a program, and a folder with that program under its name alone."""
    program = build("no_pie").path
    (folder / "root").mkdir()
    shutil.copy(program, folder / "root/server")
    with program.open("rb") as stream:
        facts = read_elf_facts(stream)
        main = symbol_addresses(stream, ["main"])["main"]
    (code,) = [segment for segment in facts.segments if segment.flags & 1]
    start = code.vaddr & -4096
    end, offset = code.vaddr + code.file_size + 4095 & -4096, code.offset & -4096
    (folder / "x.heap").write_text(
        f"heap profile: 1: 8 [1: 8] @ heapprofile\n1: 8 [1: 8] @ {main + 2:#x}\n\nMAPPED_LIBRARIES:\n"
        f"{start:x}-{end:x} r-xp {offset:08x} 08:01 5 /gone/server\n"
    )
    return folder / "x.heap", folder / "root"


async def test_a_report_whose_files_have_moved_on_the_screen(tmp_path: Path) -> None:
    report, root = moved_profile(tmp_path)
    with session_of(report, Reading(sysroot=str(root))) as folder:
        app = MemtuiApp(folder, connect=lambda _: Notebook(connected=False))
        async with app.run_test(size=(120, 40)) as pilot:

            def named() -> bool:
                arrangement = next((pane.arrangement for pane in app.query(LeakPane)), None)
                leaks = () if arrangement is None else arrangement.table.report.leaks
                return [frame.function for leak in leaks for frame in leak.stack] == ["main"]

            await eventually(pilot, named, "the name that the moved program gives")


def test_a_sysroot_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = moved_profile(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_open(Open(str(report), plain=True, ascii=True, sysroot="root")) == 0
    assert " main" in capsys.readouterr().out
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_open(Open(str(report), plain=True, ascii=True, sysroot="~/root")) == 0
    assert " main" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["none", "x.heap", "", "x.heap/below"])
def test_a_sysroot_that_is_no_folder_is_wrong_usage(given: str, tmp_path: Path) -> None:
    report, _ = moved_profile(tmp_path)
    with pytest.raises(UserError, match="--sysroot") as caught:
        run_open(Open(str(report), plain=True, sysroot=given and str(tmp_path / given)))
    assert caught.value.exit_code == 2 and "folder" in caught.value.why


def test_a_session_was_named_when_it_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, root = moved_profile(tmp_path)
    session = str(sessions.storyboard(tmp_path / "s", end_s=164.0))
    for paths in ((session, None), (f"{session}/session.db", None), (session, f"{session}/session.db")):
        with pytest.raises(UserError, match="has its names already") as caught:
            run_open(Open(paths[0], newer=paths[1], plain=True, sysroot=str(root)))
        assert caught.value.exit_code == 2
    # Beside a session, a file may need it.
    assert run_open(Open(session, newer=str(report), plain=True, ascii=True, sysroot=str(root))) == 0
    assert " main" in capsys.readouterr().out
