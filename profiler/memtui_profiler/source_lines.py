"""The source lines around what a report names, so that a session copied elsewhere still shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from memtui_parsers.clean_text import clean
from memtui_profiler.debug_files import open_regular
from memtui_profiler.session.rows import SourceLine
from memtui_profiler.whereabouts import Whereabouts

AROUND = 4
MAX_FILE_BYTES = 8 << 20
MAX_FILES = 2000
MAX_LINE_CHARS = 400
TAB_COLUMNS = 4


def source_lines(
    places: Mapping[str, Collection[int]], folders: Mapping[str, Collection[str]], where: Whereabouts | None = None
) -> Iterator[SourceLine]:
    """Four lines before and after each of ``places`` (lines by path, as debug information has it), each line once.

    Where the path leads nowhere, a file of that name is taken from ``folders``, which hold the binaries that name it.
    Files that cannot be read, or are over 8 MiB, have no lines.
    """
    where = where or Whereabouts()
    for path in sorted(places)[:MAX_FILES]:
        text = _read(path, folders.get(path, ()), where)
        if text is None:
            continue
        rows = text.removesuffix(b"\n").split(b"\n")
        wanted = {n for line in places[path] for n in range(line - AROUND, line + AROUND + 1)}
        file = clean(path)
        for number in sorted(n for n in wanted if 1 <= n <= len(rows)):
            shown = rows[number - 1][: 4 * MAX_LINE_CHARS].decode("utf-8", "replace").expandtabs(TAB_COLUMNS)
            yield SourceLine(file, number, clean(shown.rstrip("\r"), MAX_LINE_CHARS))


def _read(path: str, folders: Collection[str], where: Whereabouts) -> bytes | None:
    for candidate, root in where.source_places(path, sorted(folders)):
        try:
            with open_regular(candidate, root) as stream:
                text = stream.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError):
            continue
        if len(text) <= MAX_FILE_BYTES:
            return text
    return None
