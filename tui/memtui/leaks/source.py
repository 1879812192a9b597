"""Source lines for a frame: what the session recorded, else the local file."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memtui_parsers.clean_text import clean

FILE_LIMIT_BYTES = 8 << 20
LINE_LIMIT = 400
CACHED_FILES = 32


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of a file, as (number, text), in order; ``missing`` says why there are none."""

    lines: tuple[tuple[int, str], ...] = ()
    missing: str = ""

    def text(self, line: int) -> str | None:
        return next((text for number, text in self.lines if number == line), None)


# The recorded lines of a file by number, empty when none are (yet).
RecordedLines = Callable[[str], Mapping[int, str]]


def nothing_recorded(_: str) -> Mapping[int, str]:
    return {}


class Sources:
    """Looks up lines and keeps the last files. What a session records may still arrive, so only found lines are kept.

    ``moved``: (folder at the build, folder here), for files that are read here.
    """

    def __init__(
        self,
        recorded: RecordedLines = nothing_recorded,
        *,
        local: bool = True,
        moved: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._recorded = recorded
        self._local = local
        self._moved = tuple(moved)
        self._files: dict[str, tuple[str, ...] | str] = {}
        self._rows: dict[str, Mapping[int, str]] = {}

    @classmethod
    def of_session(cls, folder: Path) -> Sources:
        """What the session in ``folder`` has recorded, else the local files."""
        return cls(partial(_recorded_in, folder))

    def around(self, file: str, line: int, before: int = 2, after: int = 1) -> Excerpt:
        """The lines from ``before`` above to ``after`` below ``line`` that there are. Never raises."""
        numbers = range(max(1, line - before), line + after + 1)
        rows = self._rows.get(file, {})
        if line not in rows:
            rows = self._rows[file] = self._recorded(file)
            self._forget(self._rows)
        if line in rows:
            return Excerpt(tuple((n, clean(rows[n], LINE_LIMIT)) for n in numbers if n in rows))
        if not self._local:
            return Excerpt(missing=f"no source recorded for {clean(file)}")
        path = self.local_path(file)
        lines = self._files.get(path)
        if lines is None:
            lines = self._files[path] = _read(path)
            self._forget(self._files)
        if isinstance(lines, str):
            return Excerpt(missing=lines)
        if line > len(lines):
            return Excerpt(missing=f"{clean(path)} has only {len(lines)} lines: it has changed since the build")
        return Excerpt(tuple((n, clean(lines[n - 1], LINE_LIMIT)) for n in numbers if n <= len(lines)))

    def local_path(self, file: str) -> str:
        """Where a file of the build is on this machine: the first folder that has moved and holds it decides."""
        for old, new in self._moved:
            rest = file.removeprefix(old)
            if rest != file and (old.endswith("/") or rest.startswith("/") or not rest):
                return f"{new.rstrip('/')}/{rest.lstrip('/')}" if rest else new
        return file

    def line(self, file: str, line: int) -> str | None:
        return self.around(file, line, 0, 0).text(line)

    @staticmethod
    def _forget(cache: dict[str, tuple[str, ...] | str] | dict[str, Mapping[int, str]]) -> None:
        while len(cache) > CACHED_FILES:
            del cache[next(iter(cache))]


def _recorded_in(folder: Path, file: str) -> dict[int, str]:
    """The session's lines of one file; none when it cannot be read now. No connection stays open between two looks."""
    from memtui_profiler.errors import UserError
    from memtui_profiler.session.reader import SessionReader
    from memtui_profiler.session.rows import SourceLine
    from memtui_profiler.session.writer import DATABASE

    try:
        reader = SessionReader(folder / DATABASE)
    except UserError:
        return {}
    try:
        return {row.line: row.text for row in reader.rows_of(SourceLine, "file", file)}
    except sqlite3.Error:
        return {}
    finally:
        reader.close()


def _read(file: str) -> tuple[str, ...] | str:
    """The lines of a local file, or a phrase that says why not. A path from a target may name anything: a FIFO, a device."""
    if not file.startswith("/"):
        return f"no source: {clean(file)} is not an absolute path"
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        return f"no source: {clean(file)}: {why}"
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return f"no source: {clean(file)} is no regular file"
        if facts.st_size > FILE_LIMIT_BYTES:
            return f"no source: {clean(file)} is larger than 8 MiB"
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(FILE_LIMIT_BYTES)
    except OSError as error:
        return f"no source: {clean(file)}: {error.strerror}"
    finally:
        os.close(descriptor)
    # Not splitlines(): compilers count line feeds alone.
    return tuple(line.rstrip("\r") for line in data.decode("utf-8", "replace").removesuffix("\n").split("\n"))
