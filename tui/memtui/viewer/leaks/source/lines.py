"""Source lines of a frame: those that the session has recorded, else those of the local file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memtui_parsers.clean_text import clean

FILE_LIMIT_BYTES = 8 << 20
LINE_LIMIT = 400
CACHED_FILES = 32


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of a file as (number, text), in order; ``missing`` says why there are none."""

    lines: tuple[tuple[int, str], ...] = ()
    missing: str = ""


# Returns the recorded lines of a file by number; none may be recorded, or not yet.
RecordedLines = Callable[[str], Mapping[int, str]]


class Sources:
    """Source lines by file and number; the files read last are cached.

    ``recorded`` gives the lines of a session; since more may arrive, it is asked again for a line that it does not have.
    ``local``: whether files of this machine are read. ``moved``: pairs of (folder at the build, folder here).
    """

    def __init__(
        self,
        recorded: RecordedLines = lambda _: {},
        *,
        local: bool = True,
        moved: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._recorded = recorded
        self._local = local
        self._moved = tuple(moved)
        self._files: dict[str, tuple[str, ...] | str] = {}
        self._rows: dict[str, Mapping[int, str]] = {}

    def around(self, file: str, line: int, before: int = 2, after: int = 1) -> Excerpt:
        """Return the lines from ``before`` above to ``after`` below ``line``, as far as they exist. Never raises."""
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
        """Return the path on this machine of a file of the build: the first moved folder that holds it decides."""
        for old, new in self._moved:
            inside = file.removeprefix(old)
            if inside != file and (old.endswith("/") or inside.startswith("/") or not inside):
                return f"{new.rstrip('/')}/{inside.lstrip('/')}" if inside else new
        return file

    def line(self, file: str, line: int) -> str | None:
        """Return the text of one line, None where there is no such line."""
        lines = self.around(file, line, 0, 0).lines
        return lines[0][1] if lines else None

    @staticmethod
    def _forget(cache: dict[str, tuple[str, ...] | str] | dict[str, Mapping[int, str]]) -> None:
        while len(cache) > CACHED_FILES:
            del cache[next(iter(cache))]


def _read(file: str) -> tuple[str, ...] | str:
    """Return the lines of a local file, or why there are none. A path from a target may name anything: a FIFO, a device."""
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
