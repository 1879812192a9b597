"""The command as a process: what it prints where, its exit codes, and what it costs to ask for help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memtui import cli
from tests.fixtures import sessions
from tests.fixtures.command_line import memtui_command, memtui_environment, run_memtui


def test_version(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["--version"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "memtui 0.1.0\n", "")


def test_help_goes_to_stdout(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["--help"])
    assert result.returncode == 0 and result.stdout.startswith("memtui ") and result.stderr == ""


@pytest.mark.parametrize("words", [[], ["--release-rate", "nan", "p"], ["attach", "one"], ["--chekc", "normal", "p"]])
def test_wrong_usage_is_one_line_on_stderr(tmp_path: Path, words: list[str]) -> None:
    result = run_memtui(tmp_path, words)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("memtui: ") and result.stderr.count("\n") == 1
    assert result.stderr.count(": ") >= 3


def test_hostile_words_do_not_reach_the_terminal(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["--check", "\x1b[31m\nnormal\x07", "p"])
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert result.stderr.rstrip("\n").isprintable()


def test_elsewhere_than_on_linux_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cli.main(["--version"]) == 3
    out, err = capsys.readouterr()
    assert out == "" and "Linux" in err and err.count("\n") == 1


def test_an_ascii_locale_gets_through(tmp_path: Path) -> None:
    result = run_memtui(
        tmp_path, ["--check", "né", "p"], extra={"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        memtui_command("--help"), env=memtui_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 0
    process.stderr.close()


def test_closed_streams_are_no_traceback(tmp_path: Path) -> None:
    command = " ".join(memtui_command("--check", "x", "p"))
    result = subprocess.run(
        ["sh", "-c", f"{command} >&- 2>&-"], env=memtui_environment(tmp_path), check=False, timeout=30
    )
    assert result.returncode == 2


def test_a_closed_stdout_does_not_become_the_database(tmp_path: Path) -> None:
    session = sessions.storyboard(tmp_path / "s", end_s=164.0)
    before = (session / "session.db").read_bytes()
    command = " ".join(memtui_command("open", str(session)))
    result = subprocess.run(
        ["sh", "-c", f"{command} 0<&- 1>&-"],
        env=memtui_environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (session / "session.db").read_bytes() == before


def test_an_interrupt_before_there_is_a_command_is_no_traceback(tmp_path: Path) -> None:
    program = """
import sys
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "memtui.terminal.streams":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from memtui.cli import main
sys.exit(main(["--version"]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=memtui_environment(tmp_path), capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (130, "")
