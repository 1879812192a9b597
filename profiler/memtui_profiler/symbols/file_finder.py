"""Finds the files that a report names: at their paths, below a folder that stands for the root, or held open."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from memtui_parsers.elf.facts import read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import DELETED
from memtui_profiler.files import open_regular

SHOWN_ID_CHARS = 12


class FoundFile(NamedTuple):
    """An open file: ``path`` as the target has it, below ``root`` (None: of this machine).

    ``other_builds``: files of that name that were passed over, each with its build-id, as text.
    """

    stream: BinaryIO
    path: str
    root: Path | None
    other_builds: tuple[str, ...] = ()

    @property
    def local_path(self) -> str:
        """The file's path on this machine."""
        return self.path if self.root is None else os.path.join(self.root, self.path.lstrip("/"))


@dataclass(frozen=True, slots=True)
class FileFinder:
    """Finds files by their paths in the target's view, which begin at ``sysroot``. ``files``: where to read those whose paths no
    longer lead to them.

    ``moved``: a user has gathered in ``sysroot`` what the report needs. Then a file may be directly in it, and one that is
    missing there is read from its own path only if its build-id proves that it is the right one.
    """

    sysroot: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    moved: bool = False

    def open(self, path: str, build_id: str = "") -> FoundFile:
        """Open a module's file by its path in the maps; of several the one of this build.

        When all are of other builds the first is returned: the caller compares the build-id, and closes the file.
        Raises OSError, ValueError.
        """
        plain = path.removesuffix(DELETED)
        held_path = self.files.get(path)
        if held_path is not None:
            return FoundFile(open_regular(held_path), plain, self.sysroot)
        if not self.moved:
            return FoundFile(open_regular(plain, self.sysroot), plain, self.sysroot)
        return self._open_moved(plain, build_id)

    def why_not(self, file: FoundFile, build_id: str, ran: str) -> str:
        """The sentence that ``file``, of ``build_id``, is not what ran; ``ran`` is the build-id that ran, '' if unknown."""
        what = f"{file.local_path} is another build" if self.moved else "the file has changed since it was loaded"
        return f"{what} ({_shown(build_id)}, what ran had {ran[:SHOWN_ID_CHARS]})" if ran else what

    def source_places(self, path: str, folders: Iterable[str]) -> Iterator[tuple[str, Path | None]]:
        """Paths where a source file may be, each with its root, the likeliest first; ``folders`` hold binaries that name it."""
        name = posixpath.basename(path)
        own = [path] if path.startswith("/") else []
        for candidate in (*own, *(posixpath.join(folder, name) for folder in folders)):
            yield candidate, self.sysroot
        if self.moved:
            yield f"/{name}", self.sysroot
            # Sources are seldom gathered with the binaries: those of this machine are read as without a sysroot.
            for candidate in own:
                yield candidate, None

    def _open_moved(self, path: str, build_id: str) -> FoundFile:
        others: list[tuple[FoundFile, str]] = []
        first_error: OSError | None = None
        for candidate, root in self._places(path, anywhere=bool(build_id)):
            try:
                stream = open_regular(candidate, root)
            except (FileNotFoundError, NotADirectoryError, ValueError):
                continue
            except OSError as error:
                first_error = first_error or error
                continue
            file = FoundFile(stream, candidate, root)
            actual_id = _build_id(stream) if build_id else build_id
            if actual_id == build_id:
                return file._replace(other_builds=_close(others))
            if root is None:
                stream.close()
            else:
                others.append((file, actual_id))
        if others:
            _close(others[1:])
            return others[0][0]
        raise first_error or FileNotFoundError(errno.ENOENT, f"not found under {self.sysroot}", path)

    def _places(self, path: str, *, anywhere: bool) -> Iterator[tuple[str, Path | None]]:
        flat = f"/{posixpath.basename(path)}"
        yield path, self.sysroot
        if flat != path:
            yield flat, self.sysroot
        if anywhere:
            yield path, None


def _close(others: Sequence[tuple[FoundFile, str]]) -> tuple[str, ...]:
    """Close them; return each as text: path and build-id."""
    for file, _ in others:
        file.stream.close()
    return tuple(f"{file.local_path} ({_shown(build_id)})" for file, build_id in others)


def _shown(build_id: str) -> str:
    return f"build-id {build_id[:SHOWN_ID_CHARS]}" if build_id else "no build-id"


def _build_id(stream: BinaryIO) -> str:
    """'' for a file that has none, or is no ELF file."""
    try:
        return read_elf_facts(stream).build_id
    except (ParseError, OSError):
        return ""
