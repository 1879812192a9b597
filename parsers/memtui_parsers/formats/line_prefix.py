"""Reads the lines of a log as the checker wrote them, without what something else has put before each of them.

CI systems, docker-compose, kubectl, journald and syslog put a time and a name before a line, mail and issues ``> `` or
spaces. A parser knows how some lines of its format begin (``anchor``): what stands before such a beginning is taken from
the other lines, too, where they begin alike. In a time the digits may differ.

Each line is looked at once, with a pattern without backtracking, so that the time is linear in the file's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

from memtui_parsers.clean_text import LINE_LIMIT, clean_lines_of

MAX_PREFIX_CHARS = 400
# A log has a few; a hostile one, another on each line.
MAX_LEARNT = 1000

_TOKEN = re.compile(r"[0-9]+|[A-Za-z]+| +|.", re.DOTALL)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAMES = frozenset((*_MONTHS, "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
# What stands between the numbers of a time.
_IN_TIME = frozenset((":", ".", ",", "-", "/", "T"))
# Seconds since 1970 and longer ones stand alone.
_EPOCH_DIGITS = 10


def lines_without_prefix(stream: BinaryIO, anchor: re.Pattern[str], limit: int = LINE_LIMIT) -> Iterator[str]:
    """Yield the clean lines of a stream. ``anchor`` matches where a line of the format begins, and nothing else."""
    remover = PrefixRemover(anchor)
    return map(remover.without, clean_lines_of(stream, limit))


class PrefixRemover:
    """Learns the prefix of lines from those that ``anchor`` matches behind it, and takes it from all."""

    def __init__(self, anchor: re.Pattern[str]) -> None:
        self._anchor = anchor
        self._exact: re.Pattern[str] | None = None
        self._loose: re.Pattern[str] | None = None
        self._learnt = 0

    def without(self, line: str) -> str:
        """Return the line without its prefix, where it has the one that was learnt last."""
        if self._exact is not None:
            line = self._shortened(line)
        found = self._anchor.search(line)
        if not found or not 0 < found.start() <= MAX_PREFIX_CHARS:
            return line
        if self._learnt < MAX_LEARNT:
            self._learnt += 1
            self._exact, self._loose = _patterns(line[: found.start()])
        return line[found.start() :]

    def _shortened(self, line: str) -> str:
        if self._exact and (matched := self._exact.match(line)):
            self._loose = None
            return line[matched.end() :]
        # A prefix that counts the lines: it is taken for one as long as none has come twice.
        if self._loose and (matched := self._loose.match(line)):
            return line[matched.end() :]
        return line


@lru_cache(maxsize=64)
def _patterns(prefix: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of the prefix in other lines: with any other time, and with any other number."""
    tokens = _TOKEN.findall(prefix)
    # Most writers of prefixes leave no space at the end of an empty line.
    end = rf"(?:{tokens.pop()}| *$)" if tokens[-1].isspace() else ""
    exact, loose = (re.compile(_pattern(tokens, loose=loose) + end) for loose in (False, True))
    return exact, loose


def _pattern(tokens: list[str], *, loose: bool) -> str:
    varies = [token.isdigit() and (loose or _is_in_time(tokens, at)) for at, token in enumerate(tokens)]
    parts: list[str] = []
    for at, token in enumerate(tokens):
        if varies[at]:
            parts.append("[0-9]{1,20}")
        elif token in _NAMES:
            parts.append("[A-Z][a-z]{2}")
        elif token.isspace() and at + 1 < len(tokens) and varies[at + 1]:
            parts.append(" {0,20}")  # numbers are padded
        else:
            parts.append(re.escape(token))
    return "".join(parts)


def _is_in_time(tokens: list[str], at: int) -> bool:
    """Whether a number is part of a time: another stands beside it, or the name of a month or a day, or it is long."""
    if len(tokens[at]) >= _EPOCH_DIGITS:
        return True
    for step in (-1, 1):
        mark, beside = at + step, at + 2 * step
        if not (0 <= mark < len(tokens) and 0 <= beside < len(tokens)):
            continue
        if (tokens[mark] in _IN_TIME and tokens[beside].isdigit()) or (
            tokens[mark].isspace() and tokens[beside] in _NAMES
        ):
            return True
    return False
