"""The command line as a value: what belongs to memtui, what to the target, and every refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.options import usage
from memtui.options.parse import LATER_COMMANDS, Check, Demo, Doctor, Launch, Open, Resume, Sessions, Show, parse
from memtui.options.table import OPTIONS
from memtui_profiler.checkers import heapcheck
from memtui_profiler.errors import UserError


def launch(*words: str) -> Launch:
    command, _ = parse(words, "0.1.0")
    assert isinstance(command, Launch)
    return command


def refusal(*words: str) -> UserError:
    with pytest.raises(UserError) as caught:
        parse(words, "0.1.0")
    assert caught.value.exit_code == 2
    return caught.value


def test_everything_after_the_program_is_the_targets() -> None:
    assert launch("--check", "normal", "./prog", "--check", "x", "--", "-h", "open").argv == (
        "./prog",
        "--check",
        "x",
        "--",
        "-h",
        "open",
    )


@given(st.lists(st.text(min_size=1), max_size=6))
def test_no_word_of_the_target_is_touched(words: list[str]) -> None:
    assert launch("--plain", "./prog", *words).argv == ("./prog", *words)
    assert launch("--plain", "--", "prog", *words).argv == ("prog", *words)
    command, _ = parse(["check", "--keep", "--", "prog", *words], "0")
    assert isinstance(command, Check) and command.launch.argv == ("prog", *words)


@pytest.mark.parametrize("name", ["open", "check", "sessions", "attach", "recorder", "launch"])
def test_a_program_named_like_a_command(name: str) -> None:
    assert launch("--", name, "x").argv == (name, "x")
    assert launch(f"./{name}").argv == (f"./{name}",)


def test_launch_is_no_command() -> None:
    assert launch("launch", "--check").argv == ("launch", "--check")


def test_a_dash_alone_is_a_program() -> None:
    assert launch("-", "a").argv == ("-", "a")


def test_all_options_of_a_launch() -> None:
    assert launch(
        *("--check=draconian", "--release-rate", "2.5", "--tcmalloc", "off", "--env", "A=b=c", "--env", "B="),
        *("--cwd", "/tmp", "--for", "1.5", "--on-exit", "detach", "--sample-hz=20", "--follow-children"),
        *("--plain", "--ascii", "p"),
    ) == Launch(
        argv=("p",),
        mode="draconian",
        release_rate=2.5,
        tcmalloc="off",
        environment={"A": "b=c", "B": ""},
        cwd="/tmp",
        for_s=1.5,
        on_exit="detach",
        sample_hz=20.0,
        follow_children=True,
        plain=True,
        ascii=True,
    )


def test_without_options_nothing_is_set() -> None:
    assert launch("p") == Launch(argv=("p",), mode="off", release_rate=None)


def test_options_may_stand_before_a_command() -> None:
    command, _ = parse(["--check", "strict", "check", "--format", "json", "p", "--keep"], "0")
    assert command == Check(Launch(argv=("p", "--keep"), mode="strict"), "json", keep=False)
    assert parse(["--ascii", "open", "x.heap"], "0")[0] == Open("x.heap", plain=False, ascii=True)


def test_each_command() -> None:
    assert parse(["check", "p"], "0")[0] == Check(Launch(argv=("p",), mode="auto"))
    assert parse(["open", "a", "--plain"], "0")[0] == Open("a", plain=True)
    assert parse(["open", "--", "--odd.heap"], "0")[0] == Open("--odd.heap")
    assert parse(["open", "a", "--format", "json", "b"], "0")[0] == Open("a", newer="b", format="json")
    assert parse(["open", "--sysroot", "/mnt/server", "a"], "0")[0] == Open("a", sysroot="/mnt/server")
    assert parse(["resume"], "0")[0] == Resume(None)
    assert parse(["resume", "2026"], "0")[0] == Resume("2026")
    assert parse(["sessions"], "0")[0] == Sessions(())
    assert parse(["sessions", "rm", "a", "b"], "0")[0] == Sessions(("a", "b"))
    assert parse(["doctor"], "0")[0] == Doctor(None)
    assert parse(["doctor", "redis-server"], "0")[0] == Doctor("redis-server")
    assert parse(["demo", "--for", "20", "--replay"], "0")[0] == Demo(
        Launch(argv=(), mode="draconian", for_s=20.0), replay=True
    )


@pytest.mark.parametrize("text", ["-1", "abc", "nan", "inf", "-inf", "1e999", "", "1_0", "٣", "1,5", "0x1"])
def test_a_release_rate_that_is_none(text: str) -> None:
    assert "--release-rate" in refusal("--release-rate", text, "p").what


@pytest.mark.parametrize(("text", "rate"), [("0", 0.0), ("2.5", 2.5), ("10", 10.0), ("1e-1", 0.1), (" 3 ", 3.0)])
def test_a_release_rate_in_range_has_no_warning(text: str, rate: float) -> None:
    command, warnings = parse(["--release-rate", text, "p"], "0")
    assert isinstance(command, Launch) and command.release_rate == rate and warnings == ()


def test_a_release_rate_above_ten_warns() -> None:
    command, warnings = parse(["--release-rate", "12.5", "p"], "0")
    assert isinstance(command, Launch) and command.release_rate == 12.5
    assert len(warnings) == 1 and "12.5" in warnings[0]


def test_minus_zero_is_zero() -> None:
    assert str(launch("--release-rate", "-0", "p").release_rate) == "0.0"


@pytest.mark.parametrize("mode", ["off", *(mode.name for mode in heapcheck.MODES)])
def test_modes_of_a_launch(mode: str) -> None:
    assert launch("--check", mode, "p").mode == mode


@pytest.mark.parametrize("mode", ["memcheck", "lsan", "profile"])
def test_checkers_that_are_not_gperftools_heap_checker_are_modes_too(mode: str) -> None:
    assert launch("--check", mode, "./server").mode == mode


def test_what_is_passed_on_to_a_checker() -> None:
    command = launch(
        "--valgrind-args", "--track-origins=yes '--suppressions=my file'", "--suppressions", "a", "./server"
    )
    assert command.valgrind_args == ("--track-origins=yes", "--suppressions=my file")
    assert command.suppressions == ("a",)
    assert "not closed" in refusal("--valgrind-args", "'x", "./server").why
    assert "runs no valgrind" in refusal("check", "--check", "lsan", "--valgrind-args", "-v", "./server").why


@pytest.mark.parametrize("name", LATER_COMMANDS)
def test_commands_that_are_not_there_yet(name: str) -> None:
    error = refusal(name, "1")
    assert "does not have that command yet" in error.why and f"memtui -- {name}" in error.todo


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--plain",),
        ("--",),
        ("check",),
        ("check", "--check", "off", "p"),
        ("check", "--format", "xml", "p"),
        ("--check", "auto", "p"),
        ("--check", "Normal", "p"),
        ("--check",),
        ("--env", "novalue", "p"),
        ("--env", "=x", "p"),
        ("--for", "0", "p"),
        ("--for", "-1", "p"),
        ("--for", "nan", "p"),
        ("--sample-hz", "0", "p"),
        ("--sample-hz", "1e9", "p"),
        ("--on-exit", "explode", "p"),
        ("--plain=yes", "p"),
        ("open",),
        ("open", "a", "b", "c"),
        ("open", "--format", "xml", "a"),
        ("resume", "a", "b"),
        ("sessions", "mv"),
        ("sessions", "rm"),
        ("doctor", "a", "b"),
        ("demo", "./server"),
        ("--rel", "2", "p"),
        ("-x", "p"),
    ],
)
def test_wrong_usage_is_one_sentence(words: tuple[str, ...]) -> None:
    error = refusal(*words)
    assert all((error.what, error.why, error.todo)) and "\n" not in str(error)


def test_a_slip_of_the_finger_is_named() -> None:
    assert "--release-rate" in refusal("--relase-rate", "2", "p").todo


def test_an_option_of_another_command_is_told_so() -> None:
    assert "memtui check" in refusal("--keep", "p").todo
    assert "memtui open" in refusal("resume", "--sysroot", "d").todo
    assert "memtui PROGRAM" in refusal("open", "--check=normal", "x").todo


@pytest.mark.parametrize("name", ["check", "open", "resume", "sessions", "doctor", "demo"])
def test_every_command_has_a_page_of_help(name: str) -> None:
    assert parse([name, "--help"], "0")[0] == Show(usage.HELP[name])
    assert parse(["--help", name], "0")[0] == Show(usage.HELP[name])


def test_help_names_every_option_and_fits_a_terminal() -> None:
    for command, page in usage.HELP.items():
        assert all(len(line) <= 80 for line in page.splitlines()), command
        for option in OPTIONS:
            described = any(line.startswith(f"  {option.name} ") for line in page.splitlines())
            assert described == (command in option.commands), (command, option)


def test_help_and_version_of_the_target_are_its_own() -> None:
    assert launch("p", "--help", "-V").argv == ("p", "--help", "-V")
    assert parse(["-V"], "1.2.3")[0] == Show("memtui 1.2.3\n")
    assert parse(["check", "-h", "p"], "0")[0] == Show(usage.HELP["check"])


def test_an_empty_check_is_the_default() -> None:
    """As a script passes it whose variable is empty: --check "$MODE"."""
    assert parse(["check", "--check", "", "./p"], "1")[0] == parse(["check", "./p"], "1")[0]
    assert launch("--check=", "./p") == launch("./p")


def test_a_switch_takes_no_value() -> None:
    for words in (["--help=x"], ["check", "--plain=3", "./p"], ["--version=2"]):
        with pytest.raises(UserError):
            parse(words, "1")
