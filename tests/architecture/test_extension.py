"""A checker and an allocator added from outside work everywhere: nobody compares the names of the built-in ones."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from memtui.control.no_rate import rate_lack
from memtui.control.pending import PendingControls
from memtui.reports import pane_state
from memtui.viewer.dialogs.check_picker import CheckPicker
from memtui.viewer.heap.breakdown import part_names
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler import allocators, checkers
from memtui_profiler.diagnosis.diagnose import diagnose
from memtui_profiler.diagnosis.values import Verdict
from memtui_profiler.errors import UserError
from memtui_profiler.launch.doctor import diagnose_machine
from memtui_profiler.launch.plan import plan_launch
from memtui_profiler.request import CHECK_OFF, LaunchRequest
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import AllocatorSample, CapabilityRow, ReportRow, SymbolsEnd
from memtui_profiler.session.writer import SessionWriter
from tests.architecture.test_layers import ROOTS, run_python
from tests.fixtures import extensions
from tests.fixtures.heap_story import heap_story
from tests.fixtures.live import environment_of, record
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import storyboard
from tests.fixtures.waiting import until
from tests.profiler.diagnosis.test_heap import process

pytestmark = pytest.mark.usefixtures("added")


@pytest.fixture
def added() -> Iterator[None]:
    with extensions.registered():
        yield


def test_names_are_taken_once_and_go_with_what_had_them() -> None:
    with pytest.raises(ValueError, match="spot"):
        checkers.register(replace(extensions.CHECKER, name="another"))
    with pytest.raises(ValueError, match="strange malloc"):
        allocators.register(extensions.ALLOCATOR)
    checkers.unregister(extensions.CHECKER)
    try:
        assert checkers.checker_of("spot") is None and "spot" not in checkers.mode_names()
    finally:
        checkers.register(extensions.CHECKER)


def test_a_launch_is_planned_with_it(tmp_path: Path) -> None:
    request = LaunchRequest((str(extensions.server()),), "/")

    def planned(mode: str, **variables: str) -> dict[str, str]:
        users = {"PATH": "/bin:/usr/bin", **variables}
        plan = plan_launch(request, mode=mode, release_rate=None, dump_folder=tmp_path, inherited=users)
        assert bool(plan.command) == (mode == "spot")
        return dict(plan.environment)

    assert planned("spot")["SPOT_LOG"] == f"{tmp_path}/spot"
    assert "SPOTTER" not in planned(CHECK_OFF, SPOTTER="spot"), "off means off"
    assert "HEAPCHECK" not in planned("spot", HEAPCHECK="normal")
    assert checkers.mode_in({"SPOTTER": "spot"}) == "spot"
    with pytest.raises(UserError, match="--env SPOT_LOG"):
        refused = replace(request, environment={"SPOT_LOG": "/tmp/x"})
        plan_launch(refused, mode="spot", release_rate=None, dump_folder=tmp_path, inherited={})


def test_doctor_has_a_line_on_it_and_names_the_allocator(tmp_path: Path) -> None:
    findings = {
        finding.name: finding
        for finding in diagnose_machine(str(extensions.server()), environment={"PATH": "/bin"}, cwd="/")
    }
    assert (findings["--check spot"].ok, findings["--check spot"].detail) == (True, "works")
    notes = [f.detail for f in diagnose_machine(str(extensions.server()), environment={"PATH": "/bin"}, cwd="/")]
    assert any("brings strange malloc" in note or note == "strange malloc" for note in notes)


def test_it_is_recorded_from_its_launch_to_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run of a real recorder: the checker's launch and report, and the allocator asked in the running process."""
    monkeypatch.setattr(
        "memtui_profiler.recorder.start.helper_command", lambda *words: extensions.recorder_command(words[-1])
    )
    program = extensions.server()
    with record(tmp_path, program, "one", "two words", mode="spot") as live:
        pid = live.launched_pid
        until(lambda: os.readlink(f"/proc/{pid}/exe") == str(program), "the shell has become the program")
        folder = live.folder / "runs" / "1"
        assert environment_of(pid)["SPOT_LOG"] == str(folder / "spot")
        assert (folder / "spot.words").read_text() == f"{program} one two words\n"
        assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:3] == [b"one", b"two words"]
        assert live.runs()[0].allocator == "strange malloc"

        figures = until(lambda: live.reader.rows(AllocatorSample), "the allocator is asked")[0]
        assert (figures.allocator, figures.in_use_bytes, figures.free_bytes) == ("strange malloc", 48 << 20, 16 << 20)
        error = live.ask("release").error
        assert error is not None and error.why == "strange malloc keeps what it has"
        error = live.ask("rate", release_rate=2).error
        assert error is not None and error.why == "strange malloc has no release rate"

        assert live.ask("check").result == {"seconds": 0.5}
        until(lambda: live.reader.rows(SymbolsEnd), "the report of the live check is read")
        live.ask("stop")
        live.settled(1)
        until(lambda: len(live.reader.rows(SymbolsEnd)) == 2, "the report at exit is read")
        rows = live.reader.rows(ReportRow)
        reports = [load_report(live.reader, row.id) for row in rows]
    assert [row.origin for row in rows] == ["live", "exit"]
    for row, report in zip(rows, reports, strict=True):
        assert (row.checker, row.mode, row.pid) == ("spotter", "spot", pid)
        assert (report.total_bytes, report.total_objects) == (300, 3)
        assert report.leaks[0].stack[0].function == "keep_forever"


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_picker_explains_and_chooses_it(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = storyboard(Path("recorded"), mode="off")
    writer = SessionWriter(folder)
    sets = '{"environment": {"SPOT_LOG": "runs/3/spot"}, "command": ["/bin/sh"]}'
    writer.add(CapabilityRow(run=2, name="spot", available=1, reason="", remedy="", sets=sets))
    writer.close()
    app = viewer(folder, Notebook())
    async with app.run_test(size=size) as pilot:
        await eventually(pilot, lambda: app.focused is not None, "the first screen")
        await pilot.press("m", "end")
        picker = app.screen
        assert isinstance(picker, CheckPicker) and picker.mode.name == "spot"
        assert picker._list().plain.count("\n") + 1 <= picker._modes.size.height and "spot" in picker._list().plain
        words = picker._explanation().plain
        assert "at once, what the spotter sees." in words and "three objects in every program" in words
        assert "SPOT_LOG=runs/3/spot" in picker._environment_line().plain
        await pilot.press("enter")
        assert app.target.pending.mode == "spot"


def test_the_screen_has_its_words(tmp_path: Path) -> None:
    waiting = pane_state.waiting("spot")
    assert waiting.headline == "Checking: spot."
    assert waiting.lines[1] == "c asks for one now, t asks it to stop. Nothing is slower meanwhile."
    assert pane_state.none_found(LeakReport("spot", "spot", ReportStatus.COMPLETE)).lines == (
        "The spotter saw no object.",
    )
    assert checkers.instead_words("normal", {"spot"}) == "--check spot works here, and sees little"
    state = viewer(heap_story(tmp_path / "spot", mode="spot")).state
    lack = rate_lack(state, PendingControls("spot"))
    assert lack is not None and lack.sentence == "there is no release rate under the spotter"


def test_the_screen_has_the_allocators_words(tmp_path: Path) -> None:
    assert part_names("strange malloc").free == "strange pages"
    state = viewer(heap_story(tmp_path / "strange", allocator="strange malloc", mode="off")).state
    lack = rate_lack(state, PendingControls(CHECK_OFF))
    assert lack is not None and lack.sentence == "strange malloc has no release rate: x does nothing"
    verdicts = diagnose(process(in_use=100, free=300, rate=None, allocator="strange malloc"))
    retention = next(verdict for verdict in verdicts if verdict.verdict is Verdict.RETENTION)
    assert any("a release calls strange_release()" in line for line in retention.evidence)


def test_the_help_page_names_every_mode(repository: Path) -> None:
    page = run_python(repository, "-m", "memtui", "--help").stdout
    built_in = [name for name in checkers.mode_names() if name != "spot"]
    assert built_in and all(f" {name}" in page for name in built_in)


def compared_words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines and texts of strings that something is compared with, or that a table is keyed or asked by."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = list(node.keys)
        elif isinstance(node, ast.Subscript):
            parts = [node.slice]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = [*node.args] if node.func.attr in ("startswith", "endswith", "get", "removeprefix") else []
        for part in parts:
            elements = part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part]
            for element in elements:
                if isinstance(element, ast.Constant) and isinstance(element.value, str):
                    yield node.lineno if hasattr(node, "lineno") else 0, element.value


# What a checker's own format calls itself, and its modes, is the business of its parser, and so is what an allocator prints;
# what a file calls its kind is no checker.
OWN = (
    "profiler/memtui_profiler/checkers/",
    "profiler/memtui_profiler/allocators/",
    "parsers/memtui_parsers/formats/",
    "parsers/memtui_parsers/allocators/",
)
KINDS_OF_FILES = {("profiler/memtui_profiler/collect/gperftools.py", "heapprofile")}
# A kind of leak, a field of a report, a table, a verb of the recorder's and a field of its answer, which a checker has the name of.
OTHER_THINGS = {
    (place, "growth")
    for place in (
        "parsers/memtui_parsers/report/json_reader.py",
        "parsers/memtui_parsers/report/json_writer.py",
        "profiler/memtui_profiler/collect/gperftools.py",
        "profiler/memtui_profiler/collect/request.py",
        "profiler/memtui_profiler/recorder/commands.py",
        "profiler/memtui_profiler/recorder/growth_watch.py",
        "profiler/memtui_profiler/session/rows.py",
        "tui/memtui/viewer/leaks/record_list.py",
    )
}


def compared_names(repository: Path) -> list[str]:
    """Where the product compares a string with the name of a checker, a mode or an allocator, outside their modules."""
    names = {
        *checkers.mode_names(), *(checker.name for checker in checkers.checkers()),
        *(kind.name for kind in allocators.kinds()), "glibc", "minimal",
    }  # fmt: skip
    places = []
    for root in ROOTS:
        for path in sorted((repository / root).glob("*/**/*.py")):
            place = str(path.relative_to(repository))
            if place.startswith(OWN):
                continue
            tree = ast.parse(path.read_text())
            # A constant that is a name and is used in a comparison is one too: they are declared in the modules alone.
            constants = [
                (node.lineno, node.value.value)
                for node in tree.body
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            ]
            for line, word in (*compared_words(tree), *constants):
                if word in names and (place, word) not in KINDS_OF_FILES | OTHER_THINGS:
                    places.append(f"{place}:{line}: {word!r}")
    return places


def test_nobody_compares_the_names_of_modes_and_allocators(repository: Path) -> None:
    assert compared_names(repository) == []
    source = 'if mode in ("local", x) or a == "tcmalloc" or NAMES["lsan"] or b.startswith("jemalloc"): pass'
    assert {word for _, word in compared_words(ast.parse(source))} == {"local", "tcmalloc", "lsan", "jemalloc"}
