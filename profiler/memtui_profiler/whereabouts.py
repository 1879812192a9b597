"""Where the files that a report names are now: at their paths, below a folder that stands for the root, or held open."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from memtui_parsers.elf_facts import read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import DELETED
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.debug_files import open_regular

SHOWN_ID_CHARS = 12


class Found(NamedTuple):
    """``stream`` is of ``path`` below ``root`` (None: of this machine). ``passed``: where files of other builds lay, with those."""

    stream: BinaryIO
    path: str
    root: Path | None
    passed: tuple[str, ...] = ()

    @property
    def here(self) -> str:
        """Its path on this machine."""
        return self.path if self.root is None else os.path.join(self.root, self.path.lstrip("/"))


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """``sysroot`` is where the modules' paths begin; ``files`` says where to read those that their paths lead to no more.

    ``moved``: a user has collected in ``sysroot`` what the report needs. Then a file may lie in it by its name alone; what is
    not in it is taken from its own path only when its build-id proves it.
    """

    sysroot: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    moved: bool = False

    @classmethod
    def of(cls, request: CollectRequest) -> Whereabouts:
        sysroot = None if request.sysroot is None else Path(request.sysroot)
        return cls(sysroot, request.files, request.bare and sysroot is not None)

    def open(self, path: str, build_id: str = "") -> Found:
        """A module's file by its path in the maps, of this build where it is known and such a file is there.

        The caller closes it, and compares the build-id. Raises OSError, ValueError.
        """
        plain = path.removesuffix(DELETED)
        held = self.files.get(path)
        if held is not None:
            return Found(open_regular(held), plain, self.sysroot)
        if not self.moved:
            return Found(open_regular(plain, self.sysroot), plain, self.sysroot)
        return self._collected(plain, build_id)

    def other_build(self, found: Found, build_id: str, ran: str) -> str:
        """In words that ``found``, of this build, is not what ran; ``ran`` is '' where that is not known."""
        what = f"{found.here} is another build" if self.moved else "the file has changed since it was loaded"
        return f"{what} ({_shown(build_id)}, what ran had {ran[:SHOWN_ID_CHARS]})" if ran else what

    def source_places(self, path: str, folders: Iterable[str]) -> Iterator[tuple[str, Path | None]]:
        """Where a source file may be, the likeliest first; ``folders`` hold the binaries that name it."""
        name = posixpath.basename(path)
        own = [path] if path.startswith("/") else []
        for candidate in (*own, *(posixpath.join(folder, name) for folder in folders)):
            yield candidate, self.sysroot
        if self.moved:
            yield f"/{name}", self.sysroot
            # Sources are seldom collected with the binaries: those of this machine are read as without a sysroot.
            for candidate in own:
                yield candidate, None

    def _collected(self, path: str, build_id: str) -> Found:
        others: list[tuple[Found, str]] = []
        trouble: OSError | None = None
        for candidate, root in self._places(path, known=bool(build_id)):
            try:
                stream = open_regular(candidate, root)
            except (FileNotFoundError, NotADirectoryError, ValueError):
                continue
            except OSError as error:
                trouble = trouble or error
                continue
            found = Found(stream, candidate, root)
            identity = _build_id(stream) if build_id else build_id
            if identity == build_id:
                return found._replace(passed=_closed(others))
            if root is None:
                stream.close()
            else:
                others.append((found, identity))
        if others:
            _closed(others[1:])
            return others[0][0]
        raise trouble or FileNotFoundError(errno.ENOENT, f"not found under {self.sysroot}", path)

    def _places(self, path: str, *, known: bool) -> Iterator[tuple[str, Path | None]]:
        flat = f"/{posixpath.basename(path)}"
        yield path, self.sysroot
        if flat != path:
            yield flat, self.sysroot
        if known:
            yield path, None


def _closed(others: Sequence[tuple[Found, str]]) -> tuple[str, ...]:
    """In words, what they were."""
    for found, _ in others:
        found.stream.close()
    return tuple(f"{found.here} ({_shown(build_id)})" for found, build_id in others)


def _shown(build_id: str) -> str:
    return f"build-id {build_id[:SHOWN_ID_CHARS]}" if build_id else "no build-id"


def _build_id(stream: BinaryIO) -> str:
    """'' for what has none, or is no ELF file."""
    try:
        return read_elf_facts(stream).build_id
    except (ParseError, OSError):
        return ""
