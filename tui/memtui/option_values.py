"""The words a user gives as option values, checked; every refusal is one sentence with exit code 2."""

from __future__ import annotations

import math

from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.request import CHECK_MODES, CHECK_OFF

CHECK_AUTO = "auto"
REPORT_FORMATS = ("text", "json")
MAX_USEFUL_RATE = 10.0
MIN_SAMPLE_HZ = 0.1
MAX_SAMPLE_HZ = 100.0
MAX_SECONDS = 10 * 365 * 86400.0


def usage_error(what: str, why: str, todo: str) -> UserError:
    return UserError(what, why, todo, exit_code=EXIT_USAGE)


def parse_rate(text: str) -> float:
    """TCMALLOC_RELEASE_RATE: a finite decimal from 0; what is above 10 is the caller's to warn of."""
    rate = _decimal("--release-rate", text, "give a number from 0 (never) to 10, such as 2.5")
    if rate < 0:
        raise usage_error(f"--release-rate {text}", "a rate cannot be negative", "give a number from 0 (never) to 10")
    return rate + 0.0  # -0 would be written as "-0"


def parse_seconds(text: str) -> float:
    seconds = _decimal("--for", text, "give a number of seconds, such as 20")
    if not 0 < seconds <= MAX_SECONDS:
        raise usage_error(f"--for {text}", "not a time one can wait for", "give a number of seconds above 0")
    return seconds


def parse_sample_hz(text: str) -> float:
    todo = f"give {MIN_SAMPLE_HZ:g} to {MAX_SAMPLE_HZ:g} samples a second; without it, 10"
    rate = _decimal("--sample-hz", text, todo)
    if not MIN_SAMPLE_HZ <= rate <= MAX_SAMPLE_HZ:
        raise usage_error(f"--sample-hz {text}", "out of range", todo)
    return rate


def parse_pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0):
        raise usage_error(f"memtui attach {text}", "that is no process id", "give the number that `ps -e` shows")
    return int(text)


def parse_environment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise usage_error(f"--env {text}", "not of the form NAME=VALUE", "for example --env HEAP_CHECK_MAX_LEAKS=100")
    return name, value


def parse_launch_mode(text: str) -> str:
    return _mode(text, (CHECK_OFF, *CHECK_MODES))


def parse_check_mode(text: str) -> str:
    if text == CHECK_OFF:
        raise usage_error(
            "--check off", "a check that checks nothing", "without --check the mode is normal where it can work"
        )
    return _mode(text, (CHECK_AUTO, *CHECK_MODES))


def parse_words(text: str) -> tuple[str, ...]:
    """Words as a shell would see them. Raises UserError for a quote that is not closed."""
    import shlex

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise usage_error(f"--valgrind-args {text}", "a quote is not closed", "quote it as for a shell") from error


def parse_source_map(text: str) -> tuple[str, str]:
    """OLD=NEW: where the sources of a folder of the build are here. Both without the slash at the end."""
    old, equals, new = text.partition("=")
    if not equals or not old.strip("/") or not new:
        raise usage_error(
            f"--source-map {text}", "not of the form OLD=NEW", "for example --source-map /build=$HOME/src"
        )
    import os

    return old.rstrip("/"), os.path.abspath(os.path.expanduser(new))


def parse_on_exit(text: str) -> str:
    return _choice("--on-exit", text, ("stop", "detach"))


def parse_report_format(text: str) -> str:
    return _choice("--format", text, REPORT_FORMATS)


def _mode(text: str, modes: tuple[str, ...]) -> str:
    return _choice("--check", text, modes)


def _choice(option: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise usage_error(f"{option} {text}", "no such choice", f"choose one of {', '.join(choices)}")
    return text


def _decimal(option: str, text: str, todo: str) -> float:
    """float() also reads nan, inf, 1_0 and other scripts' digits, none of which is meant."""
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise usage_error(f"{option} {text}", "not a number", todo)
    return value
