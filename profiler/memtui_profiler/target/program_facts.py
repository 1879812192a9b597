"""The facts of a program, before it runs, that decide which allocator and which checker can work in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Set
from dataclasses import dataclass

from memtui_parsers.elf.facts import ElfFacts, defined_symbols, imported_symbols
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators import allocator_of, glibc, kinds, musl
from memtui_profiler.allocators.kind import AllocatorKind
from memtui_profiler.target.libraries import Loaded, loaded_libraries
from memtui_profiler.target.own_allocators import own_heap, own_malloc, present_in
from memtui_profiler.target.program import Target, read_facts, shown, this_machine
from memtui_profiler.target.tcmalloc_library import (
    BUILT_IN_SYMBOLS,
    STATIC,
    TcmallocLibrary,
    present_library,
    static_library,
)

# Runtimes that replace malloc themselves and abort, or go blind, when another library comes before them.
SANITIZERS = {
    "libasan": "AddressSanitizer",
    "libtsan": "ThreadSanitizer",
    "libhwasan": "HWAddressSanitizer",
    "liblsan": "LeakSanitizer",
}
SANITIZER_SYMBOLS = {
    "__asan_init": "AddressSanitizer",
    "__tsan_init": "ThreadSanitizer",
    "__msan_init": "MemorySanitizer",
    "__hwasan_init": "HWAddressSanitizer",
    "__lsan_init": "LeakSanitizer",
}
VALGRIND = "valgrind"
TRACERS = frozenset({"gdb", "strace", "ltrace", "rr"})
# fmt: off
WRAPPERS = frozenset({
    "bwrap", "chroot", "chrt", "env", "firejail", "flock", "gdb", "ionice", "ltrace", "nice", "nohup", "nsenter", "numactl",
    "perf", "rr", "runuser", "setarch", "setpriv", "setsid", "stdbuf", "strace", "su", "sudo", "systemd-run", "taskset",
    "time", "timeout", "unshare", "xargs",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something cannot work, and what would mend it; phrases without a full stop."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Privilege:
    """A privilege that a program gets and its user does not have: the loader then takes no LD_PRELOAD.

    ``blinds_checker``: gperftools compares the user ids, and ignores HEAPCHECK; with leaks to count it even aborts
    (2.10, measured). A setgid program that has the library linked in is checked as any other.
    """

    words: str
    blinds_checker: bool


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """A program before it runs. ``malloc``: what it allocates with when memtui adds nothing, in words for the header.

    ``tcmalloc``: what it has of gperftools already. ``preload_obstacle`` stands in the way of a preloaded library,
    ``check_obstacle`` of the heap checker; None: nothing does. ``other_allocator``: one that a preload would push
    aside, ``own_malloc`` one that is built in. ``own_heap``: another heap that it has, beside malloc or in its place.
    ``unseen``: its memory is in that alone, so a checker of malloc sees nothing. ``tracing``: it runs under a tracer,
    which also keeps the release rate from it; ``secured``: it gets privileges at its start; ``blinded``: gperftools
    turns its checker and its profiler off in it, wherever the library comes from. ``libraries``: the paths of those that it
    is given.
    """

    machine: str
    bits: int
    malloc: str
    tcmalloc: TcmallocLibrary | None
    other_allocator: str
    preload_obstacle: Obstacle | None
    check_obstacle: Obstacle | None
    notes: tuple[str, ...]
    own_malloc: str = ""
    own_heap: AllocatorKind | None = None
    unseen: Obstacle | None = None
    tracing: Obstacle | None = None
    secured: Obstacle | None = None
    is_static: bool = False
    blinded: Obstacle | None = None
    libraries: tuple[str, ...] = ()


_UNPRIVILEGED = "run it as that user, or a copy of it without the privilege"
STATIC_PROGRAM = Obstacle(
    "it is statically linked: no loader takes LD_PRELOAD", "link it dynamically, or with tcmalloc in it"
)
# Measured on 2.10: with tcmalloc linked in, a static program says "No shared libs detected" and turns the checker off.
STATIC_CHECK = Obstacle(
    "it is statically linked: no loader takes LD_PRELOAD, and the heap checker turns itself off", "link it dynamically"
)


def look_at(target: Target, environment: Mapping[str, str]) -> ProgramFacts:
    """Read the target's files, and run nothing. A program that cannot be read counts as an ordinary one: see notes."""
    notes = list(_notes(target))
    try:
        facts = read_facts(target.binary)
    except (OSError, ParseError):
        facts = None
    if facts is None:
        notes.append(f"{shown(target.binary)} cannot be read: which allocator it brings is not known")
    secure = privileges(target.binary)
    machine, bits = (this_machine(), 64) if facts is None else (facts.machine, facts.bits)
    loaded = Loaded((), (), ())
    if facts is not None:
        loaded = loaded_libraries(target.binary, facts, environment, target.cwd, secure=secure is not None)
    symbols = set() if facts is None else _defined(target.binary)
    tcmalloc = None if facts is None else static_library(target.binary, facts, symbols) or present_library(loaded)
    present = present_in(target.binary)
    own = "" if facts is None or tcmalloc is not None else own_malloc(symbols, facts, present)
    heap = None if facts is None else own_heap(symbols, facts, present, loaded)
    unseen = None if heap is None or heap.beside_malloc else _unseen(heap)
    if heap is not None and heap.beside_malloc:
        notes.append(f"{heap.name} has a heap beside malloc, of which no check and no figure tells: {heap.alternative}")
    sanitizer = _named(loaded, SANITIZERS) or _by_symbol(symbols, SANITIZER_SYMBOLS)
    other = _named(loaded, allocator_libraries())
    tracing = _tracing(target)
    secured, blinded = None, tracing
    if secure is not None:
        secured = Obstacle(f"{secure.words}: the loader ignores LD_PRELOAD", _UNPRIVILEGED)
        if secure.blinds_checker:
            blinded = Obstacle(f"{secured.reason}, and gperftools HEAPCHECK", _UNPRIVILEGED)
    preload = unseen or secured or tracing or _no_preload(facts, tcmalloc, sanitizer, own)
    if other and (called := _called_of(other, target.binary, loaded)):
        if preload is None:
            preload = Obstacle(
                f"it calls {called} of {other}, which crashes on a block of a malloc that was put before it",
                f"build it without {other}",
            )
        notes.append(
            f"it calls {called} of {other}: no check sees a block that it allocates so, and where it crashes in {other} under"
            " --check memcheck, the check is to blame"
        )
    if secure is None and (privilege := _harmless_privilege(target.binary)):
        notes.append(privilege)
    return ProgramFacts(
        machine=machine,
        bits=bits,
        malloc=sanitizer or _malloc(facts, own or other, heap),
        tcmalloc=tcmalloc,
        other_allocator=other,
        preload_obstacle=preload,
        check_obstacle=unseen or blinded or (STATIC_CHECK if facts is not None and facts.is_static else None),
        notes=tuple(notes),
        own_malloc=own,
        own_heap=heap,
        unseen=unseen,
        tracing=tracing,
        secured=secured,
        is_static=facts is not None and facts.is_static,
        blinded=blinded,
        libraries=tuple(library.path for library in (*loaded.preloaded, *loaded.needed)),
    )


def _called_of(allocator: str, binary: str, loaded: Loaded) -> str:
    """A function beside malloc and free that the program, or a library of its, calls of this allocator; '' for none."""
    kind = allocator_of(allocator)
    if kind is None or kind.own_functions is None:
        return ""
    callers = [
        library.path for library in (*loaded.preloaded, *loaded.needed) if not library.name.startswith(kind.libraries)
    ]
    for path in (binary, *callers):
        try:
            with open(path, "rb") as stream:
                called = sorted(filter(kind.own_functions.fullmatch, imported_symbols(stream)))
        except (OSError, ParseError):
            continue
        if called:
            return called[0]
    return ""


def allocator_libraries() -> dict[str, str]:
    """Names of allocators, by what the names of their library files begin with."""
    return {prefix: kind.name for kind in kinds() for prefix in kind.libraries}


def privileges(binary: str) -> Privilege | None:
    """The privilege that puts it into secure-execution mode (ld.so(8), AT_SECURE); None: it runs as any program."""
    try:
        facts = os.stat(binary)
        ignored = bool(os.statvfs(binary).f_flag & os.ST_NOSUID) or _no_new_privileges()
    except OSError:
        return None
    if ignored:
        return None
    if facts.st_mode & stat.S_ISUID and facts.st_uid != os.getuid():
        return Privilege("it is setuid to another user", blinds_checker=True)
    if facts.st_mode & stat.S_ISGID and facts.st_mode & stat.S_IXGRP and facts.st_gid != os.getgid():
        return Privilege("it is setgid to another group", blinds_checker=False)
    if os.getuid() != 0 and _has_file_capabilities(binary):
        return Privilege("it has file capabilities", blinds_checker=False)
    return None


def _harmless_privilege(binary: str) -> str:
    try:
        mode = os.stat(binary).st_mode
    except OSError:
        return ""
    if mode & (stat.S_ISUID | stat.S_ISGID) or _has_file_capabilities(binary):
        return (
            f"{shown(binary)} is setuid, setgid or has capabilities: it changes nothing for the user it runs as here,"
            " but for others the loader would ignore tcmalloc and the checker"
        )
    return ""


def _has_file_capabilities(binary: str) -> bool:
    try:
        return bool(os.getxattr(binary, "security.capability"))
    except OSError:
        return False


def _no_new_privileges() -> bool:
    with open("/proc/self/status", "rb") as stream:
        return b"\nNoNewPrivs:\t1\n" in stream.read()


def _tracing(target: Target) -> Obstacle | None:
    name = os.path.basename(target.argv[0])
    if name == VALGRIND or os.path.basename(target.executable) == VALGRIND:
        return Obstacle(
            "it runs under valgrind, where gperftools turns itself off", "name the program itself, without valgrind"
        )
    if name in TRACERS:
        return Obstacle(
            f"{name} traces the program, and the heap checker turns itself off when traced", f"leave {name} out"
        )
    return None


def _no_preload(facts: ElfFacts | None, tcmalloc: TcmallocLibrary | None, sanitizer: str, own: str) -> Obstacle | None:
    if facts is None:
        return None
    if facts.is_static:
        return STATIC_PROGRAM
    if "musl" in os.path.basename(facts.interpreter or ""):
        return Obstacle("it is built for musl, and libtcmalloc here for glibc", "build it for glibc")
    if sanitizer:
        return Obstacle(
            f"it is built with {sanitizer}, whose malloc bears no other before it", "build it without -fsanitize"
        )
    if tcmalloc is not None and tcmalloc.how == STATIC:
        return Obstacle(
            "it has tcmalloc built in, which comes before any preloaded one", "link it with -ltcmalloc, dynamically"
        )
    if own:
        return Obstacle(f"it has {own} built in, which comes before any preloaded library", "link it without")
    return None


def _unseen(heap: AllocatorKind) -> Obstacle:
    return Obstacle(
        f"its memory comes from {heap.name}, built in under other names than malloc, so nothing that takes malloc's place sees it",
        heap.alternative,
    )


def _by_symbol(symbols: Set[str], names: Mapping[str, str]) -> str:
    return next((name for symbol, name in names.items() if symbol in symbols), "")


def _defined(binary: str) -> set[str]:
    """The symbols of the file that decide anything here, in one reading."""
    try:
        with open(binary, "rb") as stream:
            return defined_symbols(stream, {*BUILT_IN_SYMBOLS, *SANITIZER_SYMBOLS})
    except (OSError, ParseError):
        return set()


def _named(loaded: Loaded, names: Mapping[str, str]) -> str:
    for library in (*loaded.preloaded, *loaded.needed):
        for prefix, name in names.items():
            if library.name.startswith(prefix):
                return name
    return ""


def _malloc(facts: ElfFacts | None, known: str, heap: AllocatorKind | None) -> str:
    """In words for the header: the allocator that matters most comes first."""
    if not known and facts is not None and facts.interpreter is not None:
        known = musl.NAME if "musl" in os.path.basename(facts.interpreter) else glibc.NAME
    known = known or ("malloc" if facts is None else "built-in malloc")
    if heap is None or known == heap.name:
        return known
    return f"{known} + {heap.name}" if heap.beside_malloc else f"{heap.name} + {known}"


def _notes(target: Target) -> tuple[str, ...]:
    if target.script:
        return (
            f"a script: the target is its interpreter {shown(target.binary)},"
            f" and a program that {shown(target.argv[0])} starts is a child of its own",
        )
    name = os.path.basename(target.argv[0])
    if name in WRAPPERS and len(target.argv) > 1:
        return (f"{name} starts another program: what memtui says of the target before the launch is said of {name}",)
    return ()
