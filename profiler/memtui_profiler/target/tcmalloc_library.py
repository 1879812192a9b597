"""gperftools' tcmalloc in files: what a program has of it already, and the best library to preload."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import NamedTuple

from memtui_parsers.elf.facts import ElfFacts, defined_symbols
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators.tcmalloc import RATE_FLAG
from memtui_profiler.errors import UserError
from memtui_profiler.target.libraries import Loaded, library_at, library_files
from memtui_profiler.target.program import shown

# The mangled flag tells whether the checker is there: from 2.17 on its functions are still exported, but empty. The
# first is a libstdc++ string of the new ABI, the second of the old one or of libc++.
_FLAG = "_ZN62FLAG__namespace_do_not_use_directly_use_DECLARE_string_instead16FLAGS_heap_check"
CHECKER_FLAGS = frozenset({f"{_FLAG}B5cxx11E", f"{_FLAG}E"})
# In every full library; 2.17 kept it as an empty function.
CHECKER_CLASS = "_ZN15HeapLeakChecker13NoGlobalLeaksEv"
TCMALLOC_SYMBOLS = frozenset({"tc_malloc", RATE_FLAG})
# A linker takes from libtcmalloc.a what the program refers to: the checker, and seldom the profiler.
PROFILER = "HeapProfilerStart"
BUILT_IN_SYMBOLS = CHECKER_FLAGS | TCMALLOC_SYMBOLS | {CHECKER_CLASS, PROFILER, "malloc"}

_FILE_NAME = re.compile(r"libtcmalloc(?P<flavor>(?:_[a-z]+)*)\.so(?:\.[0-9]+)*")
# tc_version's text; what a stripped program still has of a tcmalloc that was linked in.
_VERSION = re.compile(rb"gperftools (\d+\.\d+(?:\.\d+)?(?:rc\d*)?)\0")
_CHECKER_TEXT = b"heap leak checker is active"
_PROFILER_TEXT = b"Dumping heap profile to "
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 128
MAX_SCAN_BYTES = 1 << 30

INSTALL_TCMALLOC = "apt-get install libgoogle-perftools4 (Fedora: dnf install gperftools-libs), or --tcmalloc PATH"

LINKED, STATIC, PRELOAD, NONE = "linked", "static", "preload", "none"
# Values of --tcmalloc beside the path of a library.
AUTO, OFF = "auto", "off"


@dataclass(frozen=True, slots=True)
class TcmallocLibrary:
    """``path`` is the library's file, or the program's where tcmalloc is linked in statically ('' for ``how`` 'none').

    ``version`` is gperftools' ('2.10'), None when the file does not say. ``minimal`` has no heap profiler and no
    checker.
    """

    path: str
    version: str | None
    minimal: bool
    has_checker: bool
    how: str
    flavor: str = ""
    has_profiler: bool = False

    @property
    def name(self) -> str:
        """'tcmalloc 2.10', 'tcmalloc_minimal 2.10'."""
        return " ".join(filter(None, (f"tcmalloc{self.flavor}", self.version)))

    @property
    def cuts_dumps(self) -> bool:
        """Whether up to 8 KiB of each leak dump are lost: 2.16 closes the file before it writes the last of its buffer."""
        return self.has_checker and version_numbers(self.version)[:2] == (2, 16)


def read_library(path: str, how: str) -> TcmallocLibrary | None:
    """The kind of tcmalloc in the file; None when it is none, or cannot be read."""
    try:
        with open(path, "rb") as stream:
            symbols = defined_symbols(stream, CHECKER_FLAGS | TCMALLOC_SYMBOLS | {PROFILER, "malloc"})
        version = _scan(path).version
    except (OSError, ParseError):
        return None
    if "malloc" not in symbols or not symbols & TCMALLOC_SYMBOLS:
        return None
    # The library's soname would name the flavor too; the real file's name does it where a link was renamed.
    matched = _FILE_NAME.fullmatch(os.path.basename(path)) or _FILE_NAME.fullmatch(
        os.path.basename(os.path.realpath(path))
    )
    flavor = matched["flavor"] if matched else ""
    checker, profiler = bool(symbols & CHECKER_FLAGS), PROFILER in symbols
    return TcmallocLibrary(path, version, "_minimal" in flavor, checker, how, flavor, profiler)


def present_library(loaded: Loaded) -> TcmallocLibrary | None:
    """The tcmalloc a program gets without memtui: preloaded by the user, or among what it needs."""
    for libraries, how in ((loaded.preloaded, PRELOAD), (loaded.needed, LINKED)):
        for library in libraries:
            if library.name.startswith("libtcmalloc") and (tcmalloc := read_library(library.path, how)):
                return tcmalloc
    return None


def static_library(binary: str, facts: ElfFacts, symbols: Set[str]) -> TcmallocLibrary | None:
    """tcmalloc linked into the program itself: by its symbols, and where those are stripped by its own messages.

    ``symbols`` are those of ``BUILT_IN_SYMBOLS`` that the program defines.
    """
    try:
        if symbols & TCMALLOC_SYMBOLS:
            checker, profiler = bool(symbols & CHECKER_FLAGS), PROFILER in symbols
            version = _scan(binary).version
            minimal = CHECKER_CLASS not in symbols and _had_checker(version)
            return _built_in(binary, _Texts(version, checker, profiler), minimal)
        # Stripped, a dynamic program keeps a malloc of its own in .dynsym, for libc refers to it; a static one shows
        # nothing.
        if facts.has_symtab or not (facts.is_static or "malloc" in symbols):
            return None
        texts = _scan(binary)
    except OSError:
        return None
    minimal = not texts.checker and _had_checker(texts.version)
    return _built_in(binary, texts, minimal) if texts.version else None


def _had_checker(version: str | None) -> bool:
    """Whether a full tcmalloc of this version has the checker: of a later one, nothing tells it from a minimal one."""
    return version_numbers(version) < (2, 17)


def _built_in(binary: str, has: _Texts, minimal: bool) -> TcmallocLibrary:
    flavor = "_minimal" if minimal else ""
    return TcmallocLibrary(binary, has.version, minimal, has.checker, STATIC, flavor, has.profiler)


def preloadable_libraries(machine: str, bits: int) -> list[TcmallocLibrary]:
    """Every tcmalloc here that such a program can load, each file once, best first; without debugging builds."""
    by_file: dict[str, TcmallocLibrary] = {}
    for path in library_files(_FILE_NAME, machine):
        real = os.path.realpath(path)
        if real in by_file or "_debug" in os.path.basename(real):
            continue
        library = library_at(path)
        if library and (library.facts.machine, library.facts.bits) == (machine, bits):
            tcmalloc = read_library(_by_soname(path, library.facts.soname), PRELOAD)
            if tcmalloc is not None:
                by_file[real] = tcmalloc
    return sorted(by_file.values(), key=_rank)


def best_library(libraries: Iterable[TcmallocLibrary], *, need_checker: bool) -> TcmallocLibrary | None:
    """The first of ``libraries`` (best first), with the heap checker where one has it and it is needed."""
    ranked = list(libraries)
    return next((library for library in ranked if need_checker and library.has_checker), ranked[0] if ranked else None)


def library_asked_for(path: str, machine: str, bits: int) -> TcmallocLibrary:
    """The library of --tcmalloc PATH. Raises UserError unless a program of this machine can preload it as tcmalloc."""
    what = f"cannot preload {shown(path)}"
    todo = "give the path of a libtcmalloc.so, or --tcmalloc auto"
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        raise UserError(what, "it is not a file" if os.path.exists(full) else "it does not exist", todo)
    if not os.access(full, os.R_OK):
        raise UserError(what, "you may not read it", todo)
    # ld.so splits LD_PRELOAD at both, and has no way to quote them.
    if ":" in full or " " in full:
        raise UserError(what, "LD_PRELOAD cannot hold a path with a colon or a space", "give it through a link without")
    library = library_at(full)
    if library is None:
        raise UserError(what, "it is not an ELF library", todo)
    if (library.facts.machine, library.facts.bits) != (machine, bits):
        why = f"it is for {library.facts.machine} ({library.facts.bits}-bit), the program for {machine} ({bits}-bit)"
        raise UserError(what, why, todo)
    tcmalloc = None if library.facts.is_program else read_library(full, PRELOAD)
    if tcmalloc is None:
        raise UserError(what, "it is not gperftools' tcmalloc (tc_malloc is not in it)", todo)
    return tcmalloc


_FLAVORS = ("", "_and_profiler", "_minimal")


def _rank(library: TcmallocLibrary) -> tuple[int, tuple[int, ...]]:
    """The full library first, then the newest; smaller is better."""
    flavor = _FLAVORS.index(library.flavor) if library.flavor in _FLAVORS else len(_FLAVORS)
    return flavor, tuple(-number for number in version_numbers(library.version))


def version_numbers(version: str | None) -> tuple[int, ...]:
    """Return (2, 17, 2) for '2.17.2'; empty for None."""
    return tuple(int(number) for number in re.findall(r"\d+", version or ""))


def _by_soname(path: str, soname: str | None) -> str:
    """The name programs load it by (libtcmalloc.so.4), which outlives an upgrade; else the path as it is."""
    link = os.path.join(os.path.dirname(path), soname or "")
    same = soname and "/" not in soname and os.path.realpath(link) == os.path.realpath(path)
    return link if same else path


class _Texts(NamedTuple):
    """gperftools' version in a file, and whether its checker and its profiler are."""

    version: str | None
    checker: bool
    profiler: bool


def _scan(path: str) -> _Texts:
    """What the code's own messages tell."""
    version, checker, profiler = None, False, False
    tail = b""
    read_bytes = 0
    with open(path, "rb") as stream:
        while (chunk := stream.read(_CHUNK_BYTES)) and read_bytes < MAX_SCAN_BYTES:
            read_bytes += len(chunk)
            window = tail + chunk
            if version is None and (matched := _VERSION.search(window)):
                version = matched[1].decode()
            checker = checker or _CHECKER_TEXT in window
            profiler = profiler or _PROFILER_TEXT in window
            if version and checker and profiler:
                break
            tail = window[-_OVERLAP_BYTES:]
    return _Texts(version, checker, profiler)
