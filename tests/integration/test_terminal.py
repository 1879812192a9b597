"""memtui as a person meets it: in a real terminal (tmux), over real targets, by keys and by mouse."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Run, Sample
from tests.fixtures import leaky
from tests.fixtures.live import environment_of, is_alive
from tests.fixtures.memory_shapes import silent
from tests.fixtures.tmux import Terminal, has_terminfo
from tests.fixtures.waiting import until

SIZES = [(80, 24), (120, 40)]
MIB = 1 << 20


class Screen(Terminal):
    """A terminal whose memtui keeps its sessions in a folder of the test's own."""

    def __init__(self, columns: int, rows: int, state: Path, **options: object) -> None:
        environment = {"XDG_STATE_HOME": str(state), **options.pop("environment", {})}  # type: ignore[dict-item]
        super().__init__(columns, rows, environment=environment, **options)  # type: ignore[arg-type]
        self.root = state / "memtui" / "sessions"

    @property
    def folder(self) -> Path:
        return until(lambda: next(iter(folders.sessions(self.root)), None), "the session is there").path

    def runs(self) -> list[Run]:
        reader = SessionReader(self.folder / "session.db")
        try:
            return reader.rows(Run)
        finally:
            reader.close()

    def samples(self) -> list[Sample]:
        reader = SessionReader(self.folder / "session.db")
        try:
            return reader.rows(Sample)
        finally:
            reader.close()

    @property
    def recorder_pid(self) -> int:
        reader = SessionReader(self.folder / "session.db")
        try:
            return int(reader.meta()["recorder_pid"])
        finally:
            reader.close()

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *details: object) -> None:
        for session in folders.sessions(self.root):
            reader = SessionReader(session.path / "session.db")
            pids = [run.pid for run in reader.rows(Run)] + [int(reader.meta().get("recorder_pid", 0))]
            reader.close()
            for pid in filter(None, pids):
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
        super().__exit__(*details)


@pytest.fixture
def server() -> Path:
    return leaky.build("server").path


@pytest.fixture
def screen(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Screen]:
    columns, rows = getattr(request, "param", (120, 40))
    with Screen(columns, rows, tmp_path) as terminal:
        yield terminal


@pytest.mark.parametrize("screen", SIZES, indirect=True)
def test_one_command_shows_a_moving_graph(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    shown = screen.wait_for("running", "▲now", "q quit")
    assert f"pid {screen.runs()[0].pid}" in shown
    head = re.compile(r"▲now")
    first = next(line.index("▲now") for line in shown.split("\n") if head.search(line))

    def moved() -> bool:
        lines = [line for line in screen.lines() if head.search(line)]
        return bool(lines) and lines[0].index("▲now") > first

    until(moved, "the head of the graph moves on")


@pytest.mark.parametrize("screen", SIZES, indirect=True)
@pytest.mark.heap_checker
def test_plus_then_r_gives_a_new_process_with_the_next_rate(screen: Screen, server: Path) -> None:
    screen.memtui("--release-rate", "2.5", "--check", "draconian", server)
    screen.wait_for("running", "2.5")
    old = screen.runs()[0].pid
    environment = environment_of(old)
    assert environment["TCMALLOC_RELEASE_RATE"] == "2.5"
    assert environment["HEAPCHECK"] == "draconian"
    screen.keys("+")
    screen.wait_for("2.5 → 3")
    assert is_alive(old), "moving the slider relaunches nothing"
    screen.keys("r")
    screen.wait_for("run 2")
    new = screen.runs()[1].pid
    assert environment_of(new)["TCMALLOC_RELEASE_RATE"] == "3"
    assert environment_of(new)["HEAPCHECK"] == "draconian"
    assert not is_alive(old)
    screen.wait_for("┊")


@pytest.mark.parametrize("screen", SIZES, indirect=True)
@pytest.mark.heap_checker
def test_the_leaking_line_is_on_the_screen_after_a_stop(screen: Screen) -> None:
    program = leaky.build("basic")
    screen.memtui("--check", "draconian", program.path)
    leak = max(program.leaks, key=lambda planted: planted.bytes)
    screen.wait_for(f"{Path(leak.file).name}:{leak.line}")
    screen.keys("Enter")
    until(lambda: re.search(rf"▶ +{leak.line} │", screen.screen()), "the leaking line is marked in its source")
    screen.keys("Escape")
    screen.wait_for("BYTES")


def test_every_tab_by_key_and_by_mouse(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running", "1 Leaks")
    screen.keys("4")
    screen.wait_for("launched")
    screen.keys("5")
    screen.wait_until_gone("launched")
    screen.keys("3")
    screen.keys("1")
    screen.wait_for("The leak check is off")
    row = screen.row_of("1 Leaks")
    column = screen.lines()[row].index("4 Events")
    screen.click(column + 1, row)
    screen.wait_for("launched")


def test_the_slider_by_mouse(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running", "Release rate")
    row = screen.row_of("●──")
    line = screen.lines()[row]
    start, end = line.index("━"), line.rindex("─")
    middle = (start + end) // 2
    screen.click(middle, row)
    screen.wait_for("1.0 → 5")
    screen.drag((middle, row), (end, row))
    screen.wait_for("1.0 → 10")
    screen.wheel(middle, row, up=False)
    screen.wait_for("1.0 → 9.9")
    screen.keys("Escape")
    screen.wait_until_gone("→")


@pytest.mark.heap_checker
def test_rows_by_mouse(screen: Screen) -> None:
    program = leaky.build("basic")
    screen.memtui("--check", "draconian", program.path)
    shown = screen.wait_for("▶", "BYTES")
    rows = [n for n, line in enumerate(shown.split("\n")) if re.search(r"\d+ (B|KiB|MiB) .*:\d+ ", line)]
    assert len(rows) >= 2
    line = shown.split("\n")[rows[1]]
    screen.click(line.index("B  ") - 2, rows[1])
    until(lambda: "▶" in screen.lines()[rows[1]][:6], "the cursor is on the row clicked")


@pytest.mark.heap_checker
def test_check_picker_and_rate_input(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    screen.keys("m")
    screen.wait_for("minimal", "draconian", "as-is", "HEAPCHECK")
    screen.keys("Escape")
    screen.wait_until_gone("minimal")
    screen.keys("m")
    screen.wait_for("minimal")
    screen.keys("3", "Enter")
    screen.wait_until_gone("minimal")
    screen.wait_for("→ normal")
    screen.keys("R")
    screen.wait_for("TCMALLOC_RELEASE_RATE")
    screen.type("7.25")
    screen.wait_for("✓ 7.25")
    screen.keys("Enter")
    screen.wait_for("1.0 → 7.25")
    screen.keys("r")
    screen.wait_for("run 2", deadline_s=60)
    environment = environment_of(screen.runs()[1].pid)
    assert (environment["HEAPCHECK"], environment["TCMALLOC_RELEASE_RATE"]) == ("normal", "7.25")


@pytest.mark.parametrize("text", ["-1", "abc", "nan", "inf", "1e999"])
def test_a_rate_that_is_none_is_refused_in_a_sentence(screen: Screen, server: Path, text: str) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    screen.keys("R")
    screen.wait_for("TCMALLOC_RELEASE_RATE")
    screen.type(text)
    screen.wait_for(text, "✗")
    screen.keys("Enter")
    screen.wait_for("TCMALLOC_RELEASE_RATE")
    screen.keys("Escape")
    screen.wait_until_gone("TCMALLOC_RELEASE_RATE")
    assert "→" not in screen.screen()


def test_graph_keys(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running", "▲now")
    screen.keys("Space")
    screen.wait_for("PAUSED", "behind")
    screen.keys("End")
    screen.wait_until_gone("PAUSED")
    before = screen.wait_for(" [ ]")
    screen.keys("[")
    until(lambda: screen.screen() != before, "zoomed out")
    for key in ("]", "Left", "Right", "S-Left", "S-Right", ",", ".", "0", "End", "G", "z", "z"):
        screen.keys(key)
    screen.wait_for("▲now", "running")


def test_help_and_why(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    screen.keys("?")
    screen.wait_for("relaunch", "release rate", "The graph")
    screen.keys("Escape")
    screen.wait_until_gone("The graph")
    before = screen.wait_for("1 Leaks")
    screen.keys("w")
    until(lambda: "esc" in screen.screen() and screen.screen() != before, "the evidence is shown")
    screen.keys("Escape")
    screen.wait_for("running")


@pytest.mark.parametrize(("answer", "lives"), [("s", False), ("l", True)])
def test_quitting_stops_or_leaves(screen: Screen, server: Path, answer: str, lives: bool) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    pid = screen.runs()[0].pid
    screen.keys("q")
    screen.wait_for("leave")
    screen.keys(answer)
    assert screen.exit_code() == 0
    assert is_alive(pid) is lives


@pytest.mark.parametrize("key", ["C-c", "C-q"])
def test_control_keys_ask_too_and_stay_stays(screen: Screen, server: Path, key: str) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    screen.keys(key)
    screen.wait_for("leave")
    screen.keys("Escape")
    screen.wait_until_gone("leave")
    assert is_alive(screen.runs()[0].pid)


def test_killing_the_viewer_loses_nothing_and_resume_comes_back(screen: Screen, server: Path, tmp_path: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running", "▲now")
    run, recorder = screen.runs()[0], screen.recorder_pid
    os.kill(screen.pid, signal.SIGKILL)
    assert screen.exit_code() == 128 + signal.SIGKILL
    seen = len(screen.samples())
    samples = until(lambda: s if len(s := screen.samples()) > seen + 20 else None, "samples go on")
    assert max(b.at_s - a.at_s for a, b in pairwise(samples)) < 0.3
    assert is_alive(run.pid) and is_alive(recorder)
    with Screen(100, 30, tmp_path) as second:
        second.memtui("resume")
        second.wait_for(f"pid {run.pid}", "running")


def test_a_hangup_of_the_terminal_detaches(screen: Screen, server: Path) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    run, viewer = screen.runs()[0], screen.pid
    os.kill(viewer, signal.SIGHUP)
    until(lambda: not is_alive(viewer), "the viewer ends")
    assert is_alive(run.pid)


@pytest.mark.parametrize("sizes", [[(120, 40), (80, 24), (60, 15), (30, 8), (200, 60), (80, 24)]])
def test_resizing_while_it_runs(screen: Screen, server: Path, sizes: list[tuple[int, int]]) -> None:
    screen.memtui(server)
    screen.wait_for("running")
    for columns, rows in sizes:
        screen.resize(columns, rows)
        until(lambda: "┬" in screen.screen() or "┤" in screen.screen(), f"a graph at {columns}x{rows}")
    screen.wait_for("1 Leaks", "running", "q quit")


def test_an_ascii_locale_gets_ascii(tmp_path: Path, server: Path) -> None:
    with Screen(80, 24, tmp_path, environment={"LANG": "C", "LC_ALL": "C"}) as screen:
        screen.memtui(server)
        shown = screen.wait_for("running", "now", "quit")
        assert shown.isascii(), [c for c in shown if not c.isascii()]
        for key in ("m", "Escape", "?", "Escape", "+", "3", "4", "5", "1", "w", "Escape", "q"):
            screen.keys(key)
            shown = screen.screen()
            assert shown.isascii(), [c for c in shown if not c.isascii()]


def test_the_terminals_of_this_machine_have_tmux_256color() -> None:
    assert has_terminfo("tmux-256color")


@pytest.mark.heap_checker
def test_quitting_says_what_the_last_report_found(screen: Screen) -> None:
    server = leaky.build("server")
    screen.memtui("--check", "draconian", "--on-exit", "stop", server.path, "clean")
    screen.wait_for("running", "q quit")
    screen.keys("q")
    assert screen.exit_code(deadline_s=60) == 0
    shown = screen.screen()
    assert "not freed: " in shown
    assert f"memtui resume {screen.folder.name}" in "".join(shown.split("\n"))


def test_a_script_says_that_its_interpreter_is_the_target(screen: Screen) -> None:
    screen.memtui(leaky.build("script").path)
    screen.wait_for("1 Leaks")
    screen.keys("4")
    screen.wait_for("interpreter")


def test_a_target_that_exits_at_once_is_shown(screen: Screen) -> None:
    screen.memtui("sh", "-c", "exit 7")
    screen.wait_for("7", "exit")


def test_a_start_that_fails_has_no_screen(screen: Screen) -> None:
    screen.memtui("./no-such-program")
    assert screen.exit_code() == 3
    shown = next(line for line in screen.lines() if line.startswith("memtui: "))
    assert "no-such-program" in shown
    assert not folders.sessions(screen.root)


def test_nothing_of_the_targets_output_reaches_the_terminal(screen: Screen) -> None:
    screen.memtui("sh", "-c", "printf '\\033]0;owned\\007\\033[2J[red]HOSTILE[/red]\\n' >&2; sleep 100")
    screen.wait_for("running")
    screen.keys("3")
    screen.wait_for("[red]HOSTILE[/red]")
    title = subprocess.run(
        ["tmux", "-S", screen._socket, "display-message", "-p", "#{pane_title}"], capture_output=True, text=True
    ).stdout
    assert "owned" not in title


@pytest.mark.parametrize("screen", SIZES, indirect=True, ids=["80x24", "120x40"])
def test_what_a_process_keeps_is_found_and_given_back_and_its_rate_set(screen: Screen) -> None:
    """A program that frees 400 MiB and idles; it keeps its pid all along."""
    screen.memtui(silent("retention_idle"))
    screen.wait_for("2 Heap")
    screen.keys("2")
    until(lambda: re.search(r"page heap free +3\d\d MiB", screen.screen()), "what it freed", deadline_s=60)
    assert "x returns it" in screen.screen()
    screen.keys("x")
    screen.wait_for("RELEASED", "released 38")
    until(lambda: screen.samples()[-1].rss_bytes < 30 * MIB, "RSS falls", deadline_s=5)
    screen.wait_for("SINCE x")
    screen.keys("R")
    screen.wait_for("0 never gives back")
    screen.type("7.25")
    screen.keys("Enter")
    screen.wait_for("1.0 → 7.25")
    screen.keys("l")
    screen.wait_for("7.25 live", "more of frees")
    assert len(screen.runs()) == 1


def test_a_process_of_one_thread_is_asked_on_demand(screen: Screen) -> None:
    screen.memtui("sleep", "1000")
    screen.wait_for("2 Heap")
    screen.keys("2")
    screen.wait_for("This process has one thread", "enter asks it now", "anonymous")
    pid = screen.runs()[0].pid
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    screen.keys("Enter")
    screen.wait_for("page heap free", "outside the heap", "answered in")
    assert len(os.listdir(f"/proc/{pid}/task")) == 2
