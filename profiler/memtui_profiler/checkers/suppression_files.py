"""Suppression files on disk: reading them, taking what they name out of a report, and adding a leak to one."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import replace

from memtui_parsers.errors import ParseError
from memtui_parsers.report.suppress import suppress
from memtui_parsers.report.suppressions import Rule, Syntax, parse_suppressions, suppression_text, syntax_of
from memtui_parsers.values import LeakRecord, LeakReport
from memtui_profiler.checkers import checker_named
from memtui_profiler.errors import UserError

MAX_FILE_BYTES = 8 << 20


def read_rules(paths: Iterable[str]) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The rules of all files, and notes on files that could not be read."""
    rules: list[Rule] = []
    notes: list[str] = []
    for path in dict.fromkeys(paths):
        try:
            rules += parse_suppressions(_read(path))
        except OSError as error:
            notes.append(f"suppressions not read: {path}: {error.strerror or error}")
        except ParseError as error:
            notes.append(f"suppressions not read: {path}: {error}")
    return tuple(rules), tuple(notes)


def without_suppressed(report: LeakReport, paths: Iterable[str]) -> LeakReport:
    """The report without the leaks that the files name; its notes say how many there were."""
    rules, notes = read_rules(paths)
    remaining = suppress(report, rules)
    return replace(remaining, notes=(*remaining.notes, *notes)) if notes else remaining


def files_of(paths: Iterable[str], syntax: Syntax) -> list[str]:
    """The files for a tool that knows this syntax alone, and would end over another's."""
    return [path for path in paths if _syntax_at(path) in (syntax, None)]


def syntax_for(checker: str) -> Syntax:
    """The syntax of a checker's suppressions, by the name in its reports; LeakSanitizer's for an unknown checker."""
    known = checker_named(checker)
    return Syntax.LSAN if known is None else known.suppression_syntax


def add_suppression(path: str, record: LeakRecord, checker: str) -> str:
    """Append the leak to the file, in the file's syntax, else in the checker's. Return the text that was written.

    Raises UserError.
    """
    try:
        text = _read(path)
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise UserError(f"cannot write {path}", error.strerror or str(error), "name another file") from error
    syntax = syntax_of(text) or syntax_for(checker)
    added = suppression_text(record, syntax)
    if not added:
        raise UserError(
            "cannot suppress this leak", "no function and no file is known of its stack", "nothing is written"
        )
    separator = "" if not text or text.endswith("\n") else "\n"
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(separator + added)
    except OSError as error:
        raise UserError(f"cannot write {path}", error.strerror or str(error), "name another file") from error
    return added


def _syntax_at(path: str) -> Syntax | None:
    try:
        return syntax_of(_read(path))
    except OSError:
        return None


def _read(path: str) -> str:
    """At most MAX_FILE_BYTES of a regular file: a session may name any. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return stream.read(MAX_FILE_BYTES).decode("utf-8", "replace")
