"""Makes one frozen request of the command line; nothing is started, read or printed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from memtui.options.table import DEFAULT_MODES, OPTIONS
from memtui.options.usage import HELP
from memtui.options.values import (
    JSON,
    JSON_LINES,
    MAX_USEFUL_RATE,
    is_pid,
    parse_check_mode,
    parse_launch_mode,
    parse_process,
    usage_error,
)
from memtui_profiler.checkers import checker_of
from memtui_profiler.request import CHECK_OFF, format_rate

LATER_COMMANDS = ("export", "record", "compare", "sweep")


# (folder at the build, folder here), in the order given.
SourceMap = tuple[tuple[str, str], ...]


class Launch(NamedTuple):
    """``memtui PROGRAM``: what to start and how to show it. ``for_s`` None: until it ends; ``on_exit`` None: ask at the end."""

    argv: tuple[str, ...]
    mode: str = CHECK_OFF
    release_rate: float | None = None
    tcmalloc: str = "auto"
    environment: Mapping[str, str] = MappingProxyType({})
    cwd: str | None = None
    for_s: float | None = None
    on_exit: str | None = None
    sample_hz: float = 10.0
    follow_children: bool = False
    ask: bool = False
    no_guest: bool = False
    force_guest: bool = False
    plain: bool = False
    ascii: bool = False
    suppressions: tuple[str, ...] = ()
    valgrind_args: tuple[str, ...] = ()
    format: str = "text"
    source_map: SourceMap = ()
    skips: tuple[str, ...] = ()


class Attach(NamedTuple):
    """``memtui attach PID``. ``check_now``: one leak check and its report in ``format``, without a screen.

    ``growth_s``: likewise what has grown by stack, after so many seconds; ``anyway``: whatever watching costs the process.
    Without them 'jsonl' in ``format`` gives lines of JSON, without a screen.

    ``names``: what was given in place of one pid, a name or several processes; ``pid`` is 0 until it is known which is meant.
    """

    pid: int
    names: tuple[str, ...] = ()
    for_s: float | None = None
    sample_hz: float = 10.0
    ask: bool = False
    no_guest: bool = False
    force_guest: bool = False
    plain: bool = False
    ascii: bool = False
    check_now: bool = False
    growth_s: float | None = None
    anyway: bool = False
    format: str = "text"
    keep: bool = False
    suppressions: tuple[str, ...] = ()
    source_map: SourceMap = ()
    skips: tuple[str, ...] = ()


class Regions(NamedTuple):
    """``memtui regions PID``: ``names`` are the words that mean the process. ``for_s``: look again after that time."""

    names: tuple[str, ...]
    for_s: float | None = None
    format: str = "text"


class Check(NamedTuple):
    """``memtui check PROGRAM``: ``launch.mode`` may be 'auto'."""

    launch: Launch
    format: str = "text"
    keep: bool = False


class Open(NamedTuple):
    """``newer``: the report that the one at ``path`` is compared with. ``format`` 'json' shows no screen.

    ``sysroot``: the folder that holds the files of the machine that a report is of. ``sample_type``: the column of a pprof
    profile that is wanted, '' for the best.
    """

    path: str
    plain: bool = False
    ascii: bool = False
    newer: str | None = None
    format: str = "text"
    suppressions: tuple[str, ...] = ()
    source_map: SourceMap = ()
    skips: tuple[str, ...] = ()
    sysroot: str | None = None
    sample_type: str = ""


class Resume(NamedTuple):
    """``session`` None: the newest live one, else the last."""

    session: str | None
    plain: bool = False
    ascii: bool = False
    format: str = "text"
    suppressions: tuple[str, ...] = ()
    source_map: SourceMap = ()
    skips: tuple[str, ...] = ()


class Sessions(NamedTuple):
    """``remove`` empty: list them."""

    remove: tuple[str, ...]
    ascii: bool = False


class Doctor(NamedTuple):
    program: str | None
    ascii: bool = False


class Demo(NamedTuple):
    """``launch.argv`` is empty: the program is still to be built."""

    launch: Launch
    replay: bool = False


class Show(NamedTuple):
    """The text of ``--help`` or ``--version``."""

    text: str


Command = Launch | Attach | Regions | Check | Open | Resume | Sessions | Doctor | Demo | Show


_Options = list[tuple[str, str | None]]  # each as it was given: the name, and the value or None
_TAKES_VALUE = frozenset(option.name for option in OPTIONS if option.value)


def parse(argv: Sequence[str], version: str) -> tuple[Command, tuple[str, ...]]:
    """Return the command that the arguments after memtui's own name give, and warnings. Raises UserError (exit code 2)."""
    options, operands, dashed = _split(argv, until_word=True)
    name = "launch" if dashed or not operands or operands[0] not in _COMMANDS else operands[0]
    if name in LATER_COMMANDS:
        raise usage_error(
            f"memtui {name}",
            "this memtui does not have that command yet",
            f"to launch a program of that name: memtui -- {name}",
        )
    if name != "launch":
        more, operands, _ = _split(operands[1:], until_word=name == "check")
        options += more
    names = {option for option, value in options if value is None}
    if names & {"-h", "--help"}:
        return Show(HELP[name]), ()
    if names & {"-V", "--version"}:
        return Show(f"memtui {version}\n"), ()
    values = _values(name, options)
    rate = values.get("release_rate")
    warnings: tuple[str, ...] = ()
    if rate is not None and rate > MAX_USEFUL_RATE:
        why = "above 10, the range tcmalloc is meant for: memory that is taken again at once costs page faults"
        warnings = (f"--release-rate {format_rate(rate)}: {why}",)
    for field, option in (("force_guest", "--force-guest"), ("ask", "--ask")):
        if "no_guest" in values and field in values:
            raise usage_error(f"--no-guest and {option}", "one forbids what the other wants", "leave one of them out")
    return _READERS[name](operands, values), warnings


def _split(argv: Sequence[str], *, until_word: bool) -> tuple[_Options, list[str], bool]:
    """The options, the operands, and whether ``--`` stood between them: all after that are operands.

    ``until_word``: the first word is a program, and all behind it is its own.
    """
    options: _Options = []
    operands: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            return options, [*operands, *rest], True
        if word.startswith("-") and word != "-" and (until_word or not word[1:].isdigit()):
            name, equals, value = word.partition("=")
            options.append((name, value if equals else next(rest, None) if name in _TAKES_VALUE else None))
        elif until_word:
            return options, [word, *rest], False
        else:
            operands.append(word)
    return options, operands, False


def _values(command: str, options: _Options) -> dict[str, Any]:
    """The values of the options by the request's field that holds them. Raises UserError."""
    values: dict[str, Any] = {}
    for name, text in options:
        option = next((option for option in OPTIONS if option.name == name and command in option.commands), None)
        if option is None:
            raise _unknown_option(command, name)
        if option.value and text is None:
            raise usage_error(name, f"its {option.value} is missing", f"give {name} {option.value}")
        if not option.value and text is not None:
            raise usage_error(f"{name}={text}", "this option takes no value", f"give {name} alone")
        value = True if text is None else option.read(text)
        values[option.field] = (*values.get(option.field, ()), value) if option.repeated else value
    return values


def _unknown_option(command: str, name: str) -> Exception:
    takers = [taker for option in OPTIONS if option.name == name for taker in sorted(option.commands)]
    if takers:
        where = ", ".join("memtui PROGRAM" if taker == "launch" else f"memtui {taker}" for taker in takers)
        return usage_error(name, f"not an option of `{_called(command)}`", f"it belongs to {where}")
    from difflib import get_close_matches

    near = get_close_matches(name, [option.name for option in OPTIONS], n=1)
    return usage_error(
        name, "no such option", f"did you mean {near[0]}?" if near else f"see `{_called(command)} --help`"
    )


def _called(command: str) -> str:
    return "memtui" if command == "launch" else f"memtui {command}"


def _one(operands: Sequence[str], command: str, metavar: str) -> str:
    if not operands:
        raise usage_error(f"memtui {command}", f"{metavar} is missing", f"memtui {command} {metavar}")
    if len(operands) > 1:
        raise usage_error(
            f"memtui {command}", f"one {metavar} at a time, {len(operands)} given", f"see `memtui {command} --help`"
        )
    return operands[0]


def _launch(program: Sequence[str], values: Mapping[str, Any], mode: str) -> Launch:
    """``values`` may hold those of other requests, too."""
    own = {field: value for field, value in values.items() if field in Launch._fields}
    _refuse_format(JSON, own)
    return Launch(**{**own, "argv": tuple(program), "mode": mode, "environment": dict(own.get("environment", ()))})


def _read_launch(program: Sequence[str], values: dict[str, Any]) -> Launch:
    if not program:
        raise usage_error("no program given", "there is nothing to launch", "memtui ./your_server, or memtui --help")
    return _launch(program, values, parse_launch_mode(values.get("mode") or DEFAULT_MODES["launch"]))


def _read_check(program: Sequence[str], values: dict[str, Any]) -> Check:
    if not program:
        raise usage_error("no program given", "there is nothing to check", "memtui check ./your_program")
    mode = parse_check_mode(values.get("mode") or DEFAULT_MODES["check"])
    if values.get("valgrind_args") and ((checker := checker_of(mode)) is None or not checker.takes_arguments):
        # On a screen another mode can still be chosen; here they would do nothing, and nobody would know.
        raise usage_error("--valgrind-args has no use", f"--check {mode} runs no valgrind", "add --check memcheck")
    _refuse_format(JSON_LINES, values)
    launch = {field: value for field, value in values.items() if field != "format"}
    return Check(_launch(program, launch, mode), values.get("format", "text"), "keep" in values)


def _read_attach(operands: Sequence[str], values: dict[str, Any]) -> Attach:
    words = _processes("attach", operands)
    attach = Attach(int(words[0]), **values) if len(words) == 1 and is_pid(words[0]) else Attach(0, words, **values)
    if attach.check_now:
        unfit = {
            "no_guest": ("--no-guest", "it is asked through the guest"),
            "for_s": ("--for", "it ends by itself"),
            "plain": ("--plain", "it has no screen anyway"),
        }
        for name, why in (unfit[field] for field in unfit if field in values):
            raise usage_error(f"--check-now with {name}", why, f"leave {name} out")
        if attach.growth_s is not None:
            raise usage_error("--check-now with --growth", "each makes one report", "give one of them")
        _refuse_format(JSON_LINES, values)
    elif attach.growth_s is not None:
        unfit = {"for_s": ("--for", "it has a time of its own"), "plain": ("--plain", "it has no screen anyway")}
        for name, why in (unfit[field] for field in unfit if field in values):
            raise usage_error(f"--growth with {name}", why, f"leave {name} out")
        _refuse_format(JSON_LINES, values)
    elif attach.keep or attach.format == JSON:
        name = "--keep" if attach.keep else f"--format {attach.format}"
        raise usage_error(name, "it belongs to --check-now and --growth", "add one of them, or leave it out")
    if attach.anyway and attach.growth_s is None:
        raise usage_error("--anyway", "it belongs to --growth", "add that, or leave it out")
    return attach


def _read_regions(operands: Sequence[str], values: dict[str, Any]) -> Regions:
    _refuse_format(JSON_LINES, values)
    return Regions(_processes("regions", operands), **values)


def _processes(command: str, operands: Sequence[str]) -> tuple[str, ...]:
    """The words that mean a process. Which one they mean is found out when the command runs."""
    if not operands:
        raise usage_error(f"memtui {command}", "PID is missing", f"memtui {command} PID, or the name of one process")
    return tuple(parse_process(command, word) for word in operands)


def _refuse_format(format: str, values: Mapping[str, Any]) -> None:
    """Raise UserError where that format was given: to a command that makes the other kind of JSON."""
    if values.get("format") != format:
        return
    if format == JSON:
        todo = f"give --format {JSON_LINES}; a report in JSON is made by memtui check, open, and attach --check-now or --growth"
        raise usage_error(f"--format {JSON}", "what is watched makes lines, not one document", todo)
    raise usage_error(f"--format {JSON_LINES}", "this makes one document, not lines", f"give --format {JSON}")


def _read_open(operands: Sequence[str], values: dict[str, Any]) -> Open:
    _refuse_format(JSON_LINES, values)
    if len(operands) == 2:
        return Open(operands[0], newer=operands[1], **values)
    return Open(_one(operands, "open", "PATH"), **values)


def _read_resume(operands: Sequence[str], values: dict[str, Any]) -> Resume:
    _refuse_format(JSON, values)
    return Resume(_one(operands, "resume", "SESSION") if operands else None, **values)


def _read_sessions(operands: Sequence[str], values: dict[str, Any]) -> Sessions:
    verb, names = (operands[0], tuple(operands[1:])) if operands else ("list", ())
    if verb not in ("list", "rm") or (verb == "list" and names):
        raise usage_error(
            "memtui sessions", f"{' '.join(operands)} is not understood", "memtui sessions, or memtui sessions rm NAME"
        )
    if verb == "rm" and not names:
        raise usage_error("memtui sessions rm", "no session is named", "see `memtui sessions` for their names")
    return Sessions(names, **values)


def _read_doctor(operands: Sequence[str], values: dict[str, Any]) -> Doctor:
    return Doctor(_one(operands, "doctor", "PROGRAM") if operands else None, **values)


def _read_demo(operands: Sequence[str], values: dict[str, Any]) -> Demo:
    if operands:
        raise usage_error("memtui demo", "it brings its own program", "for yours: memtui PROGRAM")
    return Demo(_launch((), values, parse_launch_mode(values.get("mode") or DEFAULT_MODES["demo"])), "replay" in values)


_READERS: dict[str, Callable[[Sequence[str], dict[str, Any]], Command]] = {
    "launch": _read_launch,
    "attach": _read_attach,
    "regions": _read_regions,
    "check": _read_check,
    "open": _read_open,
    "resume": _read_resume,
    "sessions": _read_sessions,
    "doctor": _read_doctor,
    "demo": _read_demo,
}
_COMMANDS = frozenset({*_READERS, *LATER_COMMANDS} - {"launch"})
