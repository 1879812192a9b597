"""Readers of option values: each returns the value of a text, or raises UserError (exit code 2)."""

from __future__ import annotations

import math

from memtui_profiler.checkers import mode_names
from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.request import CHECK_OFF

CHECK_AUTO = "auto"
JSON, JSON_LINES = "json", "jsonl"
FORMATS = ("text", JSON, JSON_LINES)
MAX_USEFUL_RATE = 10.0
MIN_SAMPLE_HZ = 0.1
MAX_SAMPLE_HZ = 100.0
MAX_PATTERN_CHARS = 400
MAX_SECONDS = 10 * 365 * 86400.0


def usage_error(what: str, why: str, todo: str) -> UserError:
    return UserError(what, why, todo, exit_code=EXIT_USAGE)


def parse_rate(text: str) -> float:
    """Return a TCMALLOC_RELEASE_RATE: a finite decimal from 0. Above 10 the caller warns."""
    rate = _decimal("--release-rate", text, "give a number from 0 (never) to 10, such as 2.5")
    if rate < 0:
        raise usage_error(f"--release-rate {text}", "a rate cannot be negative", "give a number from 0 (never) to 10")
    return rate + 0.0  # -0 would be written as "-0"


def parse_seconds(text: str, option: str = "--for") -> float:
    seconds = _decimal(option, text, "give a number of seconds, such as 20")
    if not 0 < seconds <= MAX_SECONDS:
        raise usage_error(f"{option} {text}", "not a time one can wait for", "give a number of seconds above 0")
    return seconds


def parse_sample_hz(text: str) -> float:
    todo = f"give {MIN_SAMPLE_HZ:g} to {MAX_SAMPLE_HZ:g} samples a second; without it, 10"
    rate = _decimal("--sample-hz", text, todo)
    if not MIN_SAMPLE_HZ <= rate <= MAX_SAMPLE_HZ:
        raise usage_error(f"--sample-hz {text}", "out of range", todo)
    return rate


def is_pid(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0


def parse_process(command: str, text: str) -> str:
    """Return a pid or a name. Raises UserError for a number that is neither."""
    if not is_pid(text) and text.strip("-").replace(".", "").isdecimal():
        raise usage_error(f"memtui {command} {text}", "that is no process id", "give the number that `ps -e` shows")
    return text


def parse_environment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise usage_error(f"--env {text}", "not of the form NAME=VALUE", "for example --env HEAP_CHECK_MAX_LEAKS=100")
    return name, value


def parse_launch_mode(text: str) -> str:
    return text if text == CHECK_OFF else parse_choice("--check", (CHECK_OFF, *mode_names()), text)


def parse_check_mode(text: str) -> str:
    if text == CHECK_OFF:
        raise usage_error(
            "--check off", "a check that checks nothing", "without --check the mode is normal where it can work"
        )
    return parse_choice("--check", (CHECK_AUTO, *mode_names()), text)


def parse_words(text: str) -> tuple[str, ...]:
    """Split a text into words as a shell does. Raises UserError for a quote that is not closed."""
    import shlex

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise usage_error(f"--valgrind-args {text}", "a quote is not closed", "quote it as for a shell") from error


def parse_source_map(text: str) -> tuple[str, str]:
    """Read OLD=NEW: a folder of the build, and the folder here that holds its sources. Both without the slash at the end."""
    old, equals, new = text.partition("=")
    if not equals or not old.strip("/") or not new:
        raise usage_error(
            f"--source-map {text}", "not of the form OLD=NEW", "for example --source-map /build=$HOME/src"
        )
    import os

    return old.rstrip("/"), os.path.abspath(os.path.expanduser(new))


def parse_skip(text: str) -> str:
    """Read a pattern of functions that leaks are not named by. One that is every function would leave no name."""
    if not text.strip("* ") or len(text) > MAX_PATTERN_CHARS:
        why = f"longer than {MAX_PATTERN_CHARS} characters" if text.strip("* ") else "it leaves no function"
        raise usage_error(f"--skip {text[:80]}", why, "give the name of a function, such as --skip 'my_*alloc'")
    return text


def parse_choice(option: str, choices: tuple[str, ...], text: str) -> str:
    if text not in choices:
        raise usage_error(f"{option} {text}", "no such choice", f"choose one of {', '.join(choices)}")
    return text


def _decimal(option: str, text: str, todo: str) -> float:
    """Return a finite number. float() alone would also read nan, inf, 1_0 and the digits of other scripts."""
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise usage_error(f"{option} {text}", "not a number", todo)
    return value
