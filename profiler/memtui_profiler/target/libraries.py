"""The shared libraries that a program will be given, found as ld.so finds them (ld.so(8)), with nothing run.

``ldd`` starts the program's own loader, which a hostile program names itself; here only files are read.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memtui_parsers.elf.facts import ElfFacts, read_elf_facts
from memtui_parsers.errors import ParseError

LD_SO_CACHE = "/etc/ld.so.cache"
LD_SO_PRELOAD = "/etc/ld.so.preload"
MAX_CACHE_BYTES = 64 << 20
MAX_LIBRARIES = 1000

# glibc's sysdeps/generic/dl-cache.h: struct cache_file_new, then an array of struct file_entry_new. Offsets of strings
# count from the start of this header. An older cache may stand before it.
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("=20s2I20x")
_CACHE_ENTRY = struct.Struct("=iIIIQ")


@dataclass(frozen=True, slots=True)
class Library:
    path: str
    facts: ElfFacts

    @property
    def name(self) -> str:
        """The name others need it by."""
        return self.facts.soname or os.path.basename(self.path)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The libraries that ld.so will map, in its order: preloaded ones first. ``missing``: not found."""

    preloaded: tuple[Library, ...]
    needed: tuple[Library, ...]
    missing: tuple[str, ...]


def loaded_libraries(
    program: str, facts: ElfFacts, environment: Mapping[str, str], cwd: str, *, secure: bool = False
) -> Loaded:
    """The closure of DT_NEEDED and of LD_PRELOAD. ``secure``: a setuid program, which ignores the environment."""
    users = {} if secure else environment
    search = _Search(facts, cwd, _split(users.get("LD_LIBRARY_PATH", "")), read_cache())
    missing: list[str] = []
    root = Library(program, facts)
    preloaded = [library for name in _preload_names(users) if (library := search.find(name, root, ())) is not None]
    needed: dict[str, Library] = {}
    queue = deque([(root, ())] + [(library, (root,)) for library in preloaded])
    seen = {library.name for library in preloaded}
    while queue and len(needed) < MAX_LIBRARIES:
        owner, loaders = queue.popleft()
        for name in owner.facts.needed:
            if name in seen:
                continue
            seen.add(name)
            library = search.find(name, owner, loaders)
            if library is None:
                missing.append(name)
            elif library.path not in needed:
                needed[library.path] = library
                queue.append((library, (owner, *loaders)))
    return Loaded(tuple(preloaded), tuple(needed.values()), tuple(missing))


def library_at(path: str) -> Library | None:
    """The library in this file; None where there is none."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as stream:
            return Library(path, read_elf_facts(stream))
    except (OSError, ParseError):
        return None


def standard_folders(machine: str) -> tuple[str, ...]:
    """The folders of libraries: the administrator's first, then Debian's multiarch folders, then lib64, then lib."""
    triplet = {"x86-64": "x86_64"}.get(machine, machine) + "-linux-gnu"
    folders = (f"lib/{triplet}", "lib64", "lib")
    return tuple([f"/usr/local/{f}" for f in folders] + [f"{root}/{f}" for f in folders for root in ("", "/usr")])


def library_files(name: re.Pattern[str], machine: str) -> list[str]:
    """The paths of the libraries whose file name matches: of the loader's cache, then of the standard folders."""
    paths = [path for soname, paths in read_cache().items() if name.fullmatch(soname) for path in paths]
    for folder in standard_folders(machine):
        with contextlib.suppress(OSError):
            paths += sorted(os.path.join(folder, file) for file in os.listdir(folder) if name.fullmatch(file))
    return list(dict.fromkeys(paths))


def read_cache(path: str = LD_SO_CACHE) -> dict[str, tuple[str, ...]]:
    """File names by soname as ldconfig left them, best first; empty where there is no cache, or none of this format."""
    try:
        with open(path, "rb") as stream:
            # No more is asked for than there is: a read makes room for all of it first.
            data = stream.read(min(MAX_CACHE_BYTES, os.fstat(stream.fileno()).st_size))
    except OSError:
        return {}
    start = data.find(_CACHE_MAGIC)
    if start < 0 or len(data) < start + _CACHE_HEADER.size:
        return {}
    _, count, _ = _CACHE_HEADER.unpack_from(data, start)
    entries_at = start + _CACHE_HEADER.size
    count = min(count, (len(data) - entries_at) // _CACHE_ENTRY.size)
    files: dict[str, tuple[str, ...]] = {}
    table = data[entries_at : entries_at + count * _CACHE_ENTRY.size]
    for _, key, value, _, _ in _CACHE_ENTRY.iter_unpack(table):
        name, file = _string(data, start + key), _string(data, start + value)
        if name and file.startswith("/"):
            files[name] = (*files.get(name, ()), file)
    return files


class _Search:
    """The search for one program's libraries: those of another machine or class are passed over, as ld.so does."""

    def __init__(
        self, program: ElfFacts, cwd: str, library_path: tuple[str, ...], cache: dict[str, tuple[str, ...]]
    ) -> None:
        self._program = program
        self._cwd = cwd
        self._library_path = library_path
        self._cache = cache
        self._folders = standard_folders(program.machine)

    def find(self, name: str, owner: Library, loaders: tuple[Library, ...]) -> Library | None:
        for path in self._places(name, owner, loaders):
            library = library_at(path)
            if library and (library.facts.machine, library.facts.bits) == (self._program.machine, self._program.bits):
                return library
        return None

    def _places(self, name: str, owner: Library, loaders: tuple[Library, ...]) -> Iterator[str]:
        if "/" in name:
            yield self._expand(name, owner)
            return
        if owner.facts.runpath is None:
            for library in (owner, *loaders):
                yield from self._in(_split(library.facts.rpath or ""), name, library)
        yield from self._in(self._library_path, name, owner)
        yield from self._in(_split(owner.facts.runpath or ""), name, owner)
        yield from self._cache.get(name, ())
        yield from self._in(self._folders, name, owner)

    def _in(self, folders: tuple[str, ...], name: str, owner: Library) -> Iterator[str]:
        for folder in folders:
            yield os.path.join(self._expand(folder, owner), name)

    def _expand(self, text: str, owner: Library) -> str:
        """Fill in $ORIGIN, $LIB and $PLATFORM; Debian's $LIB, lib/TRIPLET, is covered by the cache and the folders."""
        if "$" not in text:
            return os.path.join(self._cwd, text)
        values = {
            "ORIGIN": os.path.dirname(os.path.realpath(owner.path)),
            "LIB": "lib64",
            "PLATFORM": os.uname().machine,
        }
        pattern = r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM))"
        return os.path.join(self._cwd, re.sub(pattern, lambda m: values[m[1] or m[2]], text))


def _preload_names(environment: Mapping[str, str]) -> list[str]:
    """LD_PRELOAD's (colons or spaces between), then /etc/ld.so.preload's."""
    names = re.split(r"[ :]+", environment.get("LD_PRELOAD", ""))
    try:
        with open(LD_SO_PRELOAD, encoding="utf-8", errors="surrogateescape") as stream:
            names += re.split(r"[\s:]+", re.sub(r"#.*", "", stream.read(1 << 16)))
    except OSError:
        pass
    return [name for name in names if name]


def _split(folders: str) -> tuple[str, ...]:
    return tuple(folder or "." for folder in re.split("[:;]", folders)) if folders else ()


def _string(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + 4096)
    return os.fsdecode(data[at:end]) if 0 <= at < end else ""
