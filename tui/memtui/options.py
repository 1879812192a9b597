"""The command line as a value: argv in, one frozen request out; nothing is started, read or printed here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from memtui.option_values import (
    MAX_USEFUL_RATE,
    parse_check_mode,
    parse_environment,
    parse_launch_mode,
    parse_on_exit,
    parse_pid,
    parse_rate,
    parse_report_format,
    parse_sample_hz,
    parse_seconds,
    parse_source_map,
    parse_words,
    usage_error,
)
from memtui.usage import HELP
from memtui_profiler.request import CHECK_OFF, MEMCHECK, format_rate

LATER_COMMANDS = ("export", "record", "compare", "sweep")


# (folder at the build, folder here), in the order given.
SourceMap = tuple[tuple[str, str], ...]


class Launch(NamedTuple):
    """``memtui PROGRAM``: what to start and how to show it. ``for_s`` None: until it ends; ``on_exit`` None: as asked then."""

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
    no_guest: bool = False
    force_guest: bool = False
    plain: bool = False
    ascii: bool = False
    suppressions: tuple[str, ...] = ()
    valgrind_args: tuple[str, ...] = ()
    source_map: SourceMap = ()


class Attach(NamedTuple):
    """``memtui attach PID``. ``check_now``: one leak check and its report in ``format``, without a screen."""

    pid: int
    for_s: float | None = None
    sample_hz: float = 10.0
    no_guest: bool = False
    force_guest: bool = False
    plain: bool = False
    ascii: bool = False
    check_now: bool = False
    format: str = "text"
    keep: bool = False
    suppressions: tuple[str, ...] = ()
    source_map: SourceMap = ()


class Check(NamedTuple):
    """``memtui check PROGRAM``: ``launch.mode`` may be 'auto'."""

    launch: Launch
    format: str = "text"
    keep: bool = False


class Open(NamedTuple):
    """``newer``: the report that the one at ``path`` is compared with. ``format`` 'json' shows no screen.

    ``sysroot``: the folder that holds the files of the machine that a report is of.
    """

    path: str
    plain: bool = False
    ascii: bool = False
    newer: str | None = None
    format: str = "text"
    suppressions: tuple[str, ...] = ()
    source_map: SourceMap = ()
    sysroot: str | None = None


class Resume(NamedTuple):
    """``session`` None: the newest live one, else the last."""

    session: str | None
    plain: bool = False
    ascii: bool = False
    suppressions: tuple[str, ...] = ()
    source_map: SourceMap = ()


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
    """Text that was asked for: help, or the version."""

    text: str


Command = Launch | Attach | Check | Open | Resume | Sessions | Doctor | Demo | Show


class _Parser(argparse.ArgumentParser):
    """argparse for one command's own words; raises UserError where it would print its usage and exit."""

    def __init__(self, command: str) -> None:
        super().__init__(
            prog="memtui" if command == "launch" else f"memtui {command}", add_help=False, allow_abbrev=False
        )
        self.add_argument("-h", "--help", action="store_true")
        self.add_argument("-V", "--version", action="store_true")

    def error(self, message: str) -> NoReturn:
        raise usage_error("wrong usage", message.removeprefix("argument "), f"see `{self.prog} --help`")


_LAUNCHING = frozenset({"launch", "check", "demo"})
_WATCHING = _LAUNCHING | {"attach"}
# What shows reports that are there already, or will come of a process that runs already.
_READING = frozenset({"attach", "open", "resume"})
_SHOWING = frozenset({"launch", "attach", "demo", "open", "resume"})

# Each option once: the commands that take it, and how argparse stores it.
_OPTIONS: tuple[tuple[str, frozenset[str], dict[str, Any]], ...] = (
    ("--check", _LAUNCHING, {"dest": "mode"}),
    ("--release-rate", _LAUNCHING, {"type": parse_rate}),
    ("--tcmalloc", _LAUNCHING, {"default": "auto"}),
    ("--env", _LAUNCHING, {"action": "append", "default": [], "type": parse_environment}),
    ("--cwd", _LAUNCHING, {}),
    ("--for", _WATCHING, {"dest": "for_s", "type": parse_seconds}),
    ("--sample-hz", _WATCHING, {"type": parse_sample_hz, "default": 10.0}),
    ("--no-guest", _WATCHING, {"action": "store_true"}),
    ("--force-guest", _WATCHING, {"action": "store_true"}),
    ("--follow-children", _LAUNCHING, {"action": "store_true"}),
    ("--suppressions", _LAUNCHING | _READING, {"action": "append", "default": []}),
    ("--source-map", frozenset({"launch"}) | _READING, {"action": "append", "default": [], "type": parse_source_map}),
    ("--sysroot", frozenset({"open"}), {}),
    ("--valgrind-args", _LAUNCHING, {"type": parse_words, "default": ()}),
    ("--on-exit", frozenset({"launch", "demo"}), {"type": parse_on_exit}),
    ("--plain", _SHOWING, {"action": "store_true"}),
    ("--ascii", _SHOWING | {"doctor", "sessions"}, {"action": "store_true"}),
    ("--check-now", frozenset({"attach"}), {"action": "store_true"}),
    ("--format", frozenset({"check", "open", "attach"}), {"type": parse_report_format, "default": "text"}),
    ("--keep", frozenset({"check", "attach"}), {"action": "store_true"}),
    ("--replay", frozenset({"demo"}), {"action": "store_true"}),
)
_TAKES_VALUE = frozenset(name for name, _, settings in _OPTIONS if settings.get("action") != "store_true")


def parse(argv: Sequence[str], version: str) -> tuple[Command, tuple[str, ...]]:
    """Read the arguments after memtui's own name: the command, and warnings. Raises UserError (exit code 2)."""
    options, rest, dashed = _split(argv)
    name = "launch" if dashed or not rest or rest[0] not in _COMMANDS else rest[0]
    if name in LATER_COMMANDS:
        raise usage_error(
            f"memtui {name}",
            "this memtui does not have that command yet",
            f"to launch a program of that name: memtui -- {name}",
        )
    program: list[str] = []
    if name == "launch":
        program = rest
    elif name == "check":
        more, program, _ = _split(rest[1:])
        options += more
    else:
        options += rest[1:]
    parser = _parser(name)
    words, unknown = parser.parse_known_args(_joined(options))
    if "words" in words:
        # argparse takes no word after an option that stands behind the first: `open A --plain B` names two all the same.
        words.words += [word for word in unknown if not word.startswith("-")]
        unknown = [word for word in unknown if word.startswith("-")]
    if words.help:
        return Show(HELP[name]), ()
    if words.version:
        return Show(f"memtui {version}\n"), ()
    if unknown:
        raise _unknown_option(parser, unknown[0])
    rate = getattr(words, "release_rate", None)
    warnings = (_high_rate(rate),) if rate is not None and rate > MAX_USEFUL_RATE else ()
    if getattr(words, "no_guest", False) and words.force_guest:
        raise usage_error("--no-guest and --force-guest", "one forbids what the other wants", "leave one of them out")
    return _READERS[name](words, tuple(program)), warnings


def _split(argv: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """Our own options, everything from the first other word on, and whether ``--`` stood between them.

    argparse.REMAINDER is no help: it eats or keeps ``--`` depending on the Python version and reads options of the
    target that look like ours.
    """
    index = 0
    while index < len(argv):
        word = argv[index]
        if word == "--":
            return list(argv[:index]), list(argv[index + 1 :]), True
        if not word.startswith("-") or word == "-":
            break
        index += 2 if word in _TAKES_VALUE else 1
    return list(argv[:index]), list(argv[index:]), False


def _joined(options: Sequence[str]) -> list[str]:
    """``--name value`` as ``--name=value``: argparse takes a value such as -inf for an option."""
    joined: list[str] = []
    words = iter(options)
    for word in words:
        if word == "--":
            return [*joined, word, *words]
        value = next(words, None) if word in _TAKES_VALUE else None
        joined.append(word if value is None else f"{word}={value}")
    return joined


def _parser(command: str) -> _Parser:
    parser = _Parser(command)
    for name, commands, settings in _OPTIONS:
        if command in commands:
            parser.add_argument(name, **settings)
    if command not in ("launch", "check"):
        parser.add_argument("words", nargs="*")
    return parser


def _unknown_option(parser: _Parser, option: str) -> Exception:
    name = option.partition("=")[0]
    takers = [command for flag, commands, _ in _OPTIONS if flag == name for command in sorted(commands)]
    if takers:
        where = ", ".join("memtui PROGRAM" if t == "launch" else f"memtui {t}" for t in takers)
        return usage_error(f"{name}", f"not an option of `{parser.prog}`", f"it belongs to {where}")
    from difflib import get_close_matches

    near = get_close_matches(name, [flag for flag, _, _ in _OPTIONS], n=1)
    return usage_error(
        f"{name}", "no such option", f"did you mean {near[0]}?" if near else f"see `{parser.prog} --help`"
    )


def _high_rate(rate: float) -> str:
    return (
        f"--release-rate {format_rate(rate)}: above 10, the range tcmalloc is meant for: "
        "memory that is taken again at once costs page faults"
    )


def _one(words: Sequence[str], command: str, metavar: str) -> str:
    if not words:
        raise usage_error(f"memtui {command}", f"{metavar} is missing", f"memtui {command} {metavar}")
    if len(words) > 1:
        raise usage_error(
            f"memtui {command}", f"one {metavar} at a time, {len(words)} given", f"see `memtui {command} --help`"
        )
    return words[0]


def _at_most_one(words: Sequence[str], command: str, metavar: str) -> str | None:
    return _one(words, command, metavar) if words else None


def _launch(words: argparse.Namespace, program: tuple[str, ...], mode: str) -> Launch:
    return Launch(
        argv=program,
        mode=mode,
        release_rate=words.release_rate,
        tcmalloc=words.tcmalloc,
        environment=dict(words.env),
        cwd=words.cwd,
        for_s=words.for_s,
        on_exit=getattr(words, "on_exit", None),
        sample_hz=words.sample_hz,
        follow_children=words.follow_children,
        no_guest=words.no_guest,
        force_guest=words.force_guest,
        plain=getattr(words, "plain", False),
        ascii=getattr(words, "ascii", False),
        suppressions=tuple(words.suppressions),
        valgrind_args=words.valgrind_args,
        source_map=tuple(getattr(words, "source_map", ())),
    )


def _read_launch(words: argparse.Namespace, program: tuple[str, ...]) -> Launch:
    if not program:
        raise usage_error("no program given", "there is nothing to launch", "memtui ./your_server, or memtui --help")
    return _launch(words, program, parse_launch_mode(words.mode or CHECK_OFF))


def _read_check(words: argparse.Namespace, program: tuple[str, ...]) -> Check:
    if not program:
        raise usage_error("no program given", "there is nothing to check", "memtui check ./your_program")
    mode = parse_check_mode(words.mode or "auto")
    if words.valgrind_args and mode != MEMCHECK:
        # On a screen another mode can still be chosen; here they would do nothing, and nobody would know.
        raise usage_error("--valgrind-args has no use", f"--check {mode} runs no valgrind", "add --check memcheck")
    return Check(_launch(words, program, mode), words.format, words.keep)


def _read_attach(words: argparse.Namespace, _: tuple[str, ...]) -> Attach:
    pid = parse_pid(_one(words.words, "attach", "PID"))
    if words.check_now:
        unfit = {
            "--no-guest": (words.no_guest, "it is asked through the guest"),
            "--for": (words.for_s is not None, "it ends by itself"),
            "--plain": (words.plain, "it has no screen anyway"),
        }
        if found := next((name for name, (given, _) in unfit.items() if given), None):
            raise usage_error(f"--check-now with {found}", unfit[found][1], f"leave {found} out")
    elif words.keep or words.format != "text":
        found = "--keep" if words.keep else f"--format {words.format}"
        raise usage_error(found, "it belongs to --check-now", "add that, or leave it out")
    return Attach(
        pid=pid,
        for_s=words.for_s,
        sample_hz=words.sample_hz,
        no_guest=words.no_guest,
        force_guest=words.force_guest,
        plain=words.plain,
        ascii=words.ascii,
        check_now=words.check_now,
        format=words.format,
        keep=words.keep,
        suppressions=tuple(words.suppressions),
        source_map=tuple(words.source_map),
    )


def _read_open(words: argparse.Namespace, _: tuple[str, ...]) -> Open:
    paths = words.words
    newer = paths[1] if len(paths) == 2 else None
    path = paths[0] if newer is not None else _one(paths, "open", "PATH")
    suppressions, source_map = tuple(words.suppressions), tuple(words.source_map)
    return Open(path, words.plain, words.ascii, newer, words.format, suppressions, source_map, words.sysroot)


def _read_resume(words: argparse.Namespace, _: tuple[str, ...]) -> Resume:
    return Resume(
        _at_most_one(words.words, "resume", "SESSION"),
        words.plain,
        words.ascii,
        tuple(words.suppressions),
        tuple(words.source_map),
    )


def _read_sessions(words: argparse.Namespace, _: tuple[str, ...]) -> Sessions:
    verb, names = (words.words[0], tuple(words.words[1:])) if words.words else ("list", ())
    if verb not in ("list", "rm") or (verb == "list" and names):
        raise usage_error(
            "memtui sessions",
            f"{' '.join(words.words)} is not understood",
            "memtui sessions, or memtui sessions rm NAME",
        )
    if verb == "rm" and not names:
        raise usage_error("memtui sessions rm", "no session is named", "see `memtui sessions` for their names")
    return Sessions(names, words.ascii)


def _read_doctor(words: argparse.Namespace, _: tuple[str, ...]) -> Doctor:
    return Doctor(_at_most_one(words.words, "doctor", "PROGRAM"), words.ascii)


def _read_demo(words: argparse.Namespace, _: tuple[str, ...]) -> Demo:
    if words.words:
        raise usage_error("memtui demo", "it brings its own program", "for yours: memtui PROGRAM")
    return Demo(_launch(words, (), parse_launch_mode(words.mode or "draconian")), words.replay)


_READERS: dict[str, Callable[[argparse.Namespace, tuple[str, ...]], Command]] = {
    "launch": _read_launch,
    "attach": _read_attach,
    "check": _read_check,
    "open": _read_open,
    "resume": _read_resume,
    "sessions": _read_sessions,
    "doctor": _read_doctor,
    "demo": _read_demo,
}
_COMMANDS = frozenset({*_READERS, *LATER_COMMANDS} - {"launch"})
