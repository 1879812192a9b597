"""``memtui open A B``: two files or sessions, on the screen, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from memtui.commands.open import comparison_of, print_difference, print_json, run_open, session_of
from memtui.commands.report_session import NEWER, OLDER
from memtui.options.parse import Open
from memtui.text.difference import difference_lines
from memtui.viewer.app import MemtuiApp
from memtui.viewer.leaks.pane import LeakPane
from memtui_profiler.errors import UserError
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.writer import DATABASE
from tests.fixtures import sessions, several_reports
from tests.fixtures.leak_reports import sample_report
from tests.fixtures.report_files import from_json
from tests.fixtures.screens import Notebook, eventually
from tests.tui.reports.test_changes import older

Entry = tuple[int, int, Sequence[int]]


def heap(path: Path, *entries: Entry) -> Path:
    """A dump of (objects, bytes, addresses) in no module."""

    def line(objects: int, size: int, tail: str) -> str:
        return f"  {objects}: {size} [ {objects}: {size}] @ {tail}\n"

    objects, size = (sum(entry[n] for entry in entries) for n in (0, 1))  # type: ignore[misc]
    rows = "".join(line(entry[0], entry[1], " ".join(map(hex, entry[2]))) for entry in entries)
    head = line(objects, size, "heapprofile").replace("  ", "heap profile: ", 1)
    path.write_text(f"{head}{rows}\nMAPPED_LIBRARIES:\n")
    return path


@pytest.fixture
def dumps(tmp_path: Path) -> tuple[Path, Path]:
    main = 0x402000
    return (
        heap(tmp_path / "dump.0001.heap", (10, 1000, (0x401000, main)), (5, 500, (0x401100, main))),
        heap(tmp_path / "dump.0002.heap", (20, 2000, (0x401000, main)), (7, 70_000, (0x401300, main))),
    )


def test_two_dumps_as_text(dumps: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_open(Open(str(dumps[0]), newer=str(dumps[1]), plain=True, ascii=True)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "+68.8 KiB in 12 objects from dump.0001.heap to dump.0002.heap",
        "before: 1.5 KiB in use in 15 objects from 2 stacks (heapprofile)",
        "now: 70.3 KiB in use in 27 objects from 2 stacks (heapprofile)",
        "stacks: 1 new, 1 gone, 1 grown, 0 shrunk, 0 same",
        "",
        "1. +68.4 KiB in 7 objects (in-use, new): 0x401300",
        "    0x401300",
        "    0x402000",
        "",
        "2. +1.0 KiB in 10 objects, now 2.0 KiB in 20 (in-use, grown): 0x401000",
        "    0x401000",
        "    0x402000",
        "",
        "3. -500 B in 5 objects (in-use, gone): 0x401100",
        "    0x401100",
        "    0x402000",
    ]


def test_two_dumps_as_json(dumps: tuple[Path, Path], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_open(Open(str(dumps[0]), newer=str(dumps[1]), format="json")) == 0
    text = capfdbinary.readouterr().out
    document = json.loads(text)
    assert document["delta"] == {"bytes": 70_500, "objects": 12}
    assert [leak["delta"]["state"] for leak in document["leaks"]] == ["new", "grown", "gone"]
    assert document["compared"]["total"] == {"bytes": 1500, "objects": 15}
    assert len(from_json(text).leaks) == 3


def test_one_report_as_json_has_no_delta(dumps: tuple[Path, Path], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_open(Open(str(dumps[1]), format="json")) == 0
    document = json.loads(capfdbinary.readouterr().out)
    assert "delta" not in document and all("delta" not in leak for leak in document["leaks"])
    assert document["total"] == {"bytes": 72_000, "objects": 27}


def test_a_session_without_a_report_is_no_json(tmp_path: Path) -> None:
    sessions.storyboard(tmp_path / "s", end_s=164.0, mode="off")
    with session_of(tmp_path / "s") as folder, pytest.raises(UserError):
        print_json(folder)


def test_two_sessions_by_their_newest_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several_reports.three_checks(tmp_path / "monday", reports=1)
    several_reports.three_checks(tmp_path / "tuesday", finished=True)
    with comparison_of(tmp_path / "monday", tmp_path / "tuesday" / DATABASE) as folder:
        print_difference(folder, "text", ascii=True)
        reader = SessionReader(folder / DATABASE)
        old, new = load_report(reader, OLDER), load_report(reader, NEWER)
        reader.close()
    assert not folder.exists()
    out = capsys.readouterr().out
    assert out.startswith("+1.9 MiB in 478 objects from monday to tuesday\nbefore: 41.3 MiB leaked in 10 706 objects")
    assert "(heapcheck normal, ./rpc_server --port 9000, pid 4391)" in out
    assert "          88 | auto *s = new Session(c);" in out
    assert "(unreachable, gone): parse_peer(char const*)" in out and "tls_init" not in out
    assert old.total_bytes == sum(size for size, _ in several_reports.FIRST.values())
    assert new.leaks[0].stack[0].function == "open_session(Conn&)"


def test_each_report_keeps_its_own_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several_reports.three_checks(tmp_path / "ours", reports=1)
    writer = sessions.begin(tmp_path / "theirs", argv=("/opt/other", "-v"))
    several_reports.add_figures(writer, 5.0, several_reports.FIRST, run=None)
    writer.close()
    with comparison_of(tmp_path / "ours", tmp_path / "theirs") as folder:
        print_difference(folder, "text", ascii=True)
    out = capsys.readouterr().out
    assert "before: 41.3 MiB leaked in 10 706 objects from 5 stacks (heapcheck normal, ./rpc_server" in out
    assert "now: 41.3 MiB leaked in 10 706 objects from 5 stacks (heapcheck normal, /opt/other -v" in out
    assert "note: the reports are of two programs" in out


def test_the_same_name_twice_is_told_apart(
    dumps: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "later").mkdir()
    dumps[1].rename(tmp_path / "later" / dumps[0].name)
    with comparison_of(dumps[0], tmp_path / "later" / dumps[0].name) as folder:
        print_difference(folder, "text")
    assert "from dump.0001.heap (older) to dump.0001.heap (newer)" in capsys.readouterr().out


def test_a_dump_and_a_session_are_compared_too(
    dumps: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several_reports.three_checks(tmp_path / "s")
    with comparison_of(dumps[0], tmp_path / "s") as folder:
        print_difference(folder, "text", ascii=True)
    assert "note: compared across kinds: in-use before, unreachable now" in capsys.readouterr().out


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("bad", ["missing", "empty", "session"])
def test_what_cannot_be_compared_is_one_sentence(
    dumps: tuple[Path, Path], tmp_path: Path, which: int, bad: str
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    sessions.storyboard(tmp_path / "session", end_s=164.0, mode="off")
    paths = list(dumps)
    paths[which] = tmp_path / bad
    with pytest.raises(UserError) as caught, comparison_of(paths[0], paths[1]):
        pass
    assert "\n" not in str(caught.value) and bad in str(caught.value)


def test_the_text_is_bounded_clean_and_ascii_where_asked() -> None:
    lines = list(difference_lines(older(), sample_report(()), ("a\x1b[2J", "b"), ascii=True))
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert lines[3] == "stacks: 1 new, 1 gone, 2 grown, 1 shrunk, 1 same"
    heads = [line for line in lines if line[:1].isdecimal()]
    assert [head.split(" ")[1] for head in heads] == ["+976.6", "+976.6", "+16.4", "-178.6", "-87.9"]
    assert heads[3].startswith("4. -178.6 KiB in 7 objects, now 212.0 KiB in 53 (not-freed, shrunk): ")


def test_the_difference_needs_no_screen(dumps: tuple[Path, Path]) -> None:
    program = (
        "import sys; from memtui.commands.open import run_open; from memtui.options.parse import Open; "
        "run_open(Open(sys.argv[1], newer=sys.argv[2], plain=True)); "
        "sys.exit(any(m.split('.')[0] == 'textual' for m in sys.modules))"
    )
    words = [sys.executable, "-c", program, *map(str, dumps)]
    result = subprocess.run(words, env={"PYTHONPATH": ":".join(sys.path)}, check=False, capture_output=True)
    assert result.returncode == 0 and b"+68.8 KiB" in result.stdout


async def test_two_dumps_are_compared_on_the_screen_from_the_start(dumps: tuple[Path, Path]) -> None:
    with comparison_of(*dumps) as folder:
        app = MemtuiApp(folder, against=OLDER, connect=lambda _: Notebook(connected=False))
        async with app.run_test(size=(80, 24)) as pilot:

            def compared() -> bool:
                arrangement = next((pane.arrangement for pane in app.query(LeakPane)), None)
                return arrangement is not None and arrangement.table.difference is not None

            await eventually(pilot, compared, "the comparison")
            words = "+68.8 KiB in 12 objects against dump.0001.heap · 70.3 KiB in 27 objects · "
            await eventually(pilot, lambda: words in str(app.query_one("#leak-summary").render()), "in words")
            await pilot.press("escape")
            await eventually(pilot, lambda: not compared(), "the newer one alone")
            await pilot.press("d", "enter")
            await eventually(pilot, compared, "the comparison again")
