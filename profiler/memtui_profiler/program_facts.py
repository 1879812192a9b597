"""What there is about a program, before it runs, that decides which allocator and which checker can work in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Set
from dataclasses import dataclass

from memtui_parsers.elf_facts import ElfFacts, defined_symbols
from memtui_parsers.errors import ParseError
from memtui_profiler.library_search import Loaded, loaded_libraries
from memtui_profiler.target import Target, read_facts, shown, this_machine
from memtui_profiler.tcmalloc_library import BUILT_IN_SYMBOLS, STATIC, TcmallocLibrary, present_library, static_library

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
ALLOCATORS = {
    "libjemalloc": "jemalloc",
    "libmimalloc": "mimalloc",
    "libsnmalloc": "snmalloc",
    "libhoard": "Hoard",
    "libtbbmalloc_proxy": "TBB malloc",
}
ALLOCATOR_SYMBOLS = {
    "mallctl": "jemalloc",
    "je_mallctl": "jemalloc",
    "mi_malloc": "mimalloc",
    "MallocExtension_Internal_GetNumericProperty": "Google's own tcmalloc",
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
    """What a program gets that its user does not have: the loader then takes no LD_PRELOAD.

    ``blinds_checker``: gperftools compares the user ids, and ignores HEAPCHECK; with leaks to count it even aborts (2.10,
    measured). A setgid program that has the library linked in is checked as any other.
    """

    words: str
    blinds_checker: bool


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """``malloc`` names, for the header, what the program allocates with when memtui adds nothing.

    ``tcmalloc`` is what it has of gperftools already. The obstacles are what stands in the way of a preloaded library, of the
    heap checker and of the release rate; None: nothing does. ``other_allocator`` is one that a preload would push aside,
    ``own_malloc`` one that is built in. ``tracing``: it runs under a tracer; ``secured``: it gets privileges at its start;
    ``blinded``: gperftools turns its checker and its profiler off in it, wherever the library comes from.
    """

    machine: str
    bits: int
    malloc: str
    tcmalloc: TcmallocLibrary | None
    other_allocator: str
    preload_obstacle: Obstacle | None
    check_obstacle: Obstacle | None
    rate_obstacle: Obstacle | None
    notes: tuple[str, ...]
    own_malloc: str = ""
    tracing: Obstacle | None = None
    secured: Obstacle | None = None
    is_static: bool = False
    blinded: Obstacle | None = None


_UNPRIVILEGED = "run it as that user, or a copy of it without the privilege"
STATIC_PROGRAM = Obstacle(
    "it is statically linked: no loader takes LD_PRELOAD", "link it dynamically, or with tcmalloc in it"
)
# Measured on 2.10: with tcmalloc linked in, a static program says "No shared libs detected" and turns the checker off.
STATIC_CHECK = Obstacle(
    "it is statically linked: no loader takes LD_PRELOAD, and the heap checker turns itself off", "link it dynamically"
)


def look_at(target: Target, environment: Mapping[str, str]) -> ProgramFacts:
    """Read the target's files; nothing of it is run. What cannot be read counts as an ordinary program, with a note."""
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
    own = "" if facts is None or tcmalloc is not None else _own_allocator(symbols, facts)
    sanitizer = _named(loaded, SANITIZERS) or _by_symbol(symbols, SANITIZER_SYMBOLS)
    other = _named(loaded, ALLOCATORS)
    tracing = _tracing(target)
    blinded = (_blinded(secure) if secure is not None and secure.blinds_checker else None) or tracing
    preload = _secured(secure) or tracing or _no_preload(facts, tcmalloc, sanitizer, own)
    if secure is None and (privilege := _harmless_privilege(target.binary)):
        notes.append(privilege)
    return ProgramFacts(
        machine=machine,
        bits=bits,
        malloc=_malloc(facts, sanitizer, own, other),
        tcmalloc=tcmalloc,
        other_allocator=other,
        preload_obstacle=preload,
        check_obstacle=blinded or (STATIC_CHECK if facts is not None and facts.is_static else None),
        rate_obstacle=tracing,
        notes=tuple(notes),
        own_malloc=own,
        tracing=tracing,
        secured=_secured(secure),
        is_static=facts is not None and facts.is_static,
        blinded=blinded,
    )


def privileges(binary: str) -> Privilege | None:
    """Why the kernel will start it in secure-execution mode (ld.so(8), AT_SECURE); None when it will not."""
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


def _secured(privilege: Privilege | None) -> Obstacle | None:
    return None if privilege is None else Obstacle(f"{privilege.words}: the loader ignores LD_PRELOAD", _UNPRIVILEGED)


def _blinded(privilege: Privilege) -> Obstacle:
    ignored = "the loader ignores LD_PRELOAD, and gperftools HEAPCHECK"
    return Obstacle(f"{privilege.words}: {ignored}", _UNPRIVILEGED)


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


def _own_allocator(symbols: Set[str], facts: ElfFacts) -> str:
    """The malloc that the program itself defines and so gets before any library's: its name, '' when there is none.

    A static program always has one; it is named only where it is known.
    """
    named = _by_symbol(symbols, ALLOCATOR_SYMBOLS)
    if facts.is_static:
        return named
    return (named or "a malloc of its own") if "malloc" in symbols else ""


def _by_symbol(symbols: Set[str], names: Mapping[str, str]) -> str:
    return next((name for symbol, name in names.items() if symbol in symbols), "")


def _defined(binary: str) -> set[str]:
    """All symbols that decide anything here, in one reading of the file."""
    try:
        with open(binary, "rb") as stream:
            return defined_symbols(stream, {*BUILT_IN_SYMBOLS, *ALLOCATOR_SYMBOLS, *SANITIZER_SYMBOLS})
    except (OSError, ParseError):
        return set()


def _named(loaded: Loaded, names: Mapping[str, str]) -> str:
    for library in (*loaded.preloaded, *loaded.needed):
        for prefix, name in names.items():
            if library.name.startswith(prefix):
                return name
    return ""


def _malloc(facts: ElfFacts | None, sanitizer: str, own: str, other: str) -> str:
    if sanitizer or own or other:
        return sanitizer or own or other
    if facts is None or facts.interpreter is None:
        return "built-in malloc" if facts is not None else "malloc"
    return "musl malloc" if "musl" in os.path.basename(facts.interpreter) else "glibc malloc"


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
