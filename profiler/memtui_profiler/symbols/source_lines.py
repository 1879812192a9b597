"""The source lines around those that a report names, kept so that a session copied elsewhere still shows them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from memtui_parsers.clean_text import clean
from memtui_profiler.files import open_regular
from memtui_profiler.process.file_user import FileUser, acting_as
from memtui_profiler.session.rows import SourceLine
from memtui_profiler.symbols.file_finder import FileFinder

AROUND = 4
MAX_FILE_BYTES = 8 << 20
MAX_FILES = 2000
MAX_LINE_CHARS = 400
TAB_COLUMNS = 4


class NamedSources:
    """The source lines that a report names, and the folders of the binaries that name them."""

    def __init__(self) -> None:
        self._lines: dict[str, set[int]] = {}
        self._folders: dict[str, set[str]] = {}
        self._authors: dict[str, FileUser | None] = {}

    def add(
        self, places: Iterable[tuple[str | None, int | None]], folder: str | None, author: FileUser | None = None
    ) -> None:
        """Add (file, line) pairs that a binary in ``folder`` names; ``author``: as whom they are opened, see author_of()."""
        for file, line in places:
            if file and line:
                self._lines.setdefault(file, set()).add(line)
                if self._authors.setdefault(file, author) is not None:
                    self._authors[file] = author
                if folder is not None:
                    self._folders.setdefault(file, set()).add(folder)

    def rows(self, file_finder: FileFinder) -> Iterator[SourceLine]:
        """source_lines() of them all."""
        return source_lines(self._lines, self._folders, file_finder, self._authors)


def source_lines(
    places: Mapping[str, Collection[int]],
    folders: Mapping[str, Collection[str]],
    file_finder: FileFinder | None = None,
    authors: Mapping[str, FileUser | None] = MappingProxyType({}),
) -> Iterator[SourceLine]:
    """Four lines before and after each of ``places`` (line numbers by path, as debug information has it), each line once.

    Where there is no file at that path, one of the same name is taken from ``folders``, which hold the binaries that name it.
    ``authors``: as whom each is opened. Files that cannot be read, or are over 8 MiB, have no lines.
    """
    file_finder = file_finder or FileFinder()
    for path in sorted(places)[:MAX_FILES]:
        text = _read(path, folders.get(path, ()), file_finder, authors.get(path))
        if text is None:
            continue
        lines = text.removesuffix(b"\n").split(b"\n")
        wanted = {n for line in places[path] for n in range(line - AROUND, line + AROUND + 1)}
        file = clean(path)
        for number in sorted(n for n in wanted if 1 <= n <= len(lines)):
            shown = lines[number - 1][: 4 * MAX_LINE_CHARS].decode("utf-8", "replace").expandtabs(TAB_COLUMNS)
            yield SourceLine(file, number, clean(shown.rstrip("\r"), MAX_LINE_CHARS))


def _read(path: str, folders: Collection[str], file_finder: FileFinder, author: FileUser | None) -> bytes | None:
    for candidate, root in file_finder.source_places(path, sorted(folders)):
        try:
            with contextlib.nullcontext() if author is None else acting_as(author):
                stream = open_regular(candidate, root)
            with stream:
                text = stream.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError):
            continue
        if len(text) <= MAX_FILE_BYTES:
            return text
    return None
