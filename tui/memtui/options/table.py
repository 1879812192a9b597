"""Every option of the command line, once: the parser and the pages of help are made from this table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from memtui.options.values import (
    CHECK_AUTO,
    FORMATS,
    parse_choice,
    parse_environment,
    parse_rate,
    parse_sample_hz,
    parse_seconds,
    parse_skip,
    parse_source_map,
    parse_words,
)
from memtui_profiler.request import CHECK_OFF


class Option(NamedTuple):
    """``usage``: the name, and the name of the value in the help; a switch has none.

    ``read`` returns the value of a text, or raises UserError.
    ``other_help``: what is said instead of ``help`` on the pages of some of its ``commands``. The values of a ``repeated``
    one are a tuple. ``held_by``: the request's field, where that is not called like the option.
    """

    usage: str
    commands: tuple[str, ...]
    help: str
    read: Callable[[str], Any] = str
    repeated: bool = False
    held_by: str = ""
    other_help: Mapping[str, str] = MappingProxyType({})

    @property
    def name(self) -> str:
        return self.usage.partition(" ")[0]

    @property
    def value(self) -> str:
        return self.usage.partition(" ")[2]

    @property
    def field(self) -> str:
        return self.held_by or self.name.strip("-").replace("-", "_")


_LAUNCHING = ("launch", "check", "demo")
_WATCHING = (*_LAUNCHING, "attach")
# These show reports that are there already, or will come of a process that runs already.
_READING = ("attach", "open", "resume")
_SHOWING = ("launch", "demo", *_READING)

OPTIONS = (
    Option("--replay", ("demo",), "the recorded session, nothing is built"),
    Option(
        "--check MODE",
        _LAUNCHING,
        "leak check: off, minimal, normal, strict, draconian, as-is, local, memcheck, lsan, profile or growth ({mode})",
        held_by="mode",
    ),
    Option(
        "--release-rate R",
        _LAUNCHING,
        "TCMALLOC_RELEASE_RATE, 0 to 10, decimals welcome (without it nothing is set)",
        parse_rate,
    ),
    Option(
        "--tcmalloc WHICH",
        _LAUNCHING,
        "auto, off, or a library's path (auto: the one it links, else the best one found)",
    ),
    Option(
        "--env NAME=VALUE",
        _LAUNCHING,
        "a variable for the target; may be repeated",
        parse_environment,
        repeated=True,
        held_by="environment",
    ),
    Option("--cwd DIR", _LAUNCHING, "where the target starts"),
    Option(
        "--for SECONDS",
        (*_WATCHING, "regions"),
        "stop the target after that time",
        parse_seconds,
        held_by="for_s",
        other_help={
            "attach": "detach from it after that time",
            "regions": "look again after that time, and show what has grown",
        },
    ),
    Option("--follow-children", _LAUNCHING, "let children inherit the check, too"),
    Option("--valgrind-args ARGS", _LAUNCHING, "more options for valgrind, as one word of the shell", parse_words),
    Option("--sample-hz N", _WATCHING, "samples a second (10)", parse_sample_hz),
    Option("--ask", _WATCHING, "ask a process of one thread, too: it gets a second one, of memtui's, that sleeps"),
    Option("--no-guest", _WATCHING, "ask the process nothing: no thread of memtui's in it"),
    Option("--force-guest", _WATCHING, "ask it even where that cannot be shown to be harmless"),
    Option(
        "--sysroot DIR",
        ("open",),
        "the program and its libraries, debug files and sources are below DIR, by their paths or by name alone; "
        "what is of another build names nothing, and that is said",
    ),
    Option(
        "--sample-type NAME",
        ("open",),
        "which of the figures of a profile to show: pprof's inuse_space, alloc_space ..., DHAT's t-gmax, t-end, total",
    ),
    Option(
        "--suppressions FILE",
        (*_LAUNCHING, *_READING),
        "leaks to leave out, in valgrind's or LeakSanitizer's syntax, whichever checker runs; may be repeated",
        repeated=True,
    ),
    Option(
        "--source-map OLD=NEW",
        ("launch", *_READING),
        "the sources of the folder OLD of the build are in NEW here; may be repeated",
        parse_source_map,
        repeated=True,
    ),
    Option(
        "--skip PATTERN",
        ("launch", "check", *_READING),
        "name no leak by a function, file or library like PATTERN, which only passes allocations on, but by its caller; "
        "* is any text; may be repeated",
        parse_skip,
        repeated=True,
        held_by="skips",
    ),
    Option(
        "--on-exit WHAT",
        ("launch", "demo"),
        "stop or detach, when memtui is left",
        partial(parse_choice, "--on-exit", ("stop", "detach")),
    ),
    Option("--plain", _SHOWING, "lines instead of a screen", other_help={"open": "text instead of a screen"}),
    Option("--ascii", (*_SHOWING, "sessions", "doctor"), "no characters beyond ASCII"),
    Option(
        "--check-now",
        ("attach",),
        "no screen: check it for leaks once and report; for that it must have been started with HEAPCHECK",
    ),
    Option(
        "--growth SECONDS",
        ("attach",),
        "no screen: watch for that time which code makes its memory grow, and report it by stack; nothing is put into it",
        partial(parse_seconds, option="--growth"),
        held_by="growth_s",
    ),
    Option(
        "--anyway", ("attach",), "with --growth: also where watching costs the process more than 2 % of its CPU time"
    ),
    Option(
        "--format FORMAT",
        (*_LAUNCHING, *_READING, "regions"),
        "of the lines: text, or jsonl for one JSON object a line, without a screen (text)",
        partial(parse_choice, "--format", FORMATS),
        other_help={
            "check": "of the report: text or json (text)",
            "attach": "of the lines: text, or jsonl for one JSON object a line, without a screen; of the report of --check-now "
            "and --growth: text or json (text)",
            "open": "text or json; json is printed, without a screen (text)",
            "regions": "text or json (text)",
        },
    ),
    Option("--keep", ("check", "attach"), "keep the session of the check, and say where it is"),
)

# The check where --check is left out.
DEFAULT_MODES = {"launch": CHECK_OFF, "check": CHECK_AUTO, "demo": "draconian"}
