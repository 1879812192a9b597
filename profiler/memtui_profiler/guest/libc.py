"""The C library in a target: the addresses that a guest needs, or the reason why there can be no guest."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import DELETED
from memtui_profiler.guest.errors import cannot_ask
from memtui_profiler.process.image import LoadedModule, ProcessImage

# tests/integration/test_guest_*.py ran on 2.31, 2.36 and 2.41 (Debian 11 to 13); of older ones the layouts are not known to hold.
OLDEST_GLIBC = (2, 31)
_THREADS_IN_LIBC = (2, 34)

_LIBC = re.compile(r"libc(?:\.so\.6|-2\.\d+\.so)")
_LIBPTHREAD = re.compile(r"libpthread(?:\.so\.0|-2\.\d+\.so)")
_MUSL = re.compile(r"/(?:ld-musl-[^/]*|libc\.musl-[^/]*|[^/]*musl[^/]*/(?:lib/)?libc\.so)$")
_VERSION = re.compile(rb"GNU C Library [^\0\n]{0,80}release version (\d{1,3})\.(\d{1,3})")
_VERSION_CHUNK_BYTES = 16 << 20
# mov $15, %rax; syscall: rt_sigreturn, what glibc gives the kernel as sa_restorer.
_RESTORER = bytes.fromhex("48c7c00f0000000f05")
# In clone(): syscall; test %rax, %rax; jl; jz; ret. Its unwinding information ends before the first of them.
_SYSTEM_CALL = re.compile(rb"\x0f\x05\x48\x85\xc0(?:\x7c.|\x0f\x8c.{4})\x74.\xc3", re.DOTALL)
_CLONE_BYTES = 256
_NAMES = ("pthread_create", "pause", "prctl", "exit", "clone")


@dataclass(frozen=True, slots=True)
class Libc:
    """Addresses in the target.

    ``restorer`` calls rt_sigreturn(2). ``system_call`` makes the call that the registers say and returns when it was interrupted;
    a stack unwinder ends there. ``ret`` is a bare return instruction.
    """

    pthread_create: int
    pause: int
    prctl: int
    exit: int
    restorer: int
    system_call: int
    ret: int
    version: tuple[int, int] | None


def find_libc(image: ProcessImage, *, force: bool = False) -> Libc:
    """Look up every address before any thread is touched. Raises UserError: musl, too old, stripped, unreadable."""
    modules = _modules(image)
    try:
        version = _version(image, modules[0])
        addresses: dict[str, int] = {}
        for module in modules:
            addresses = {**image.addresses_in(module, _NAMES), **addresses}
        gadgets = next((at for module in modules if (at := _gadgets(image, module, addresses)) is not None), None)
    except (OSError, ParseError) as error:
        raise cannot_ask(f"its C library cannot be read ({error})", "run memtui as root") from error
    missing = [name for name in _NAMES if name not in addresses]
    if missing == ["pthread_create"] and version is not None and version < _THREADS_IN_LIBC and len(modules) == 1:
        raise cannot_ask("it has no libpthread, and so can make no thread", "start it with LD_PRELOAD=libpthread.so.0")
    if missing or gadgets is None:
        what = ", ".join(missing) or "what takes a thread back from a call"
        raise cannot_ask(f"its C library lacks {what}", "link it with the system's glibc, as a shared library")
    _refuse_version(version, force=force)
    del addresses["clone"]
    return Libc(**addresses, **gadgets, version=version)


def _modules(image: ProcessImage) -> list[LoadedModule]:
    """The modules with the C library's functions: libc and, before 2.34, libpthread; or the program itself when it is static."""
    if not image.modules:
        why = "its mapped files cannot be read" if image.mappings else "it has no memory of its own, as a kernel thread"
        raise cannot_ask(why, "run memtui as root" if image.mappings else "choose another process")
    names = [(os.path.basename(m.path.removesuffix(DELETED)), m) for m in image.modules]
    libcs = [m for name, m in names if _LIBC.fullmatch(name)]
    if any(_MUSL.search(m.path) for m in image.modules):
        raise cannot_ask("its C library is musl", "run it with glibc")
    if len(libcs) > 1 or any(sum(p.offset == 0 for p in m.mappings) > 1 for m in libcs):
        # Another one was loaded by an auditor or by dlmopen: a thread of the one is none in the other.
        raise cannot_ask("it has two C libraries", "start it without LD_AUDIT")
    if libcs:
        return libcs + [m for name, m in names if _LIBPTHREAD.fullmatch(name)]
    if any(_LIBC.fullmatch(os.path.basename(m.path.removesuffix(DELETED))) for m in image.mappings):
        raise cannot_ask("its C library was replaced since it started", "run memtui as root, or start it again")
    return [image.modules[0]]


def _version(image: ProcessImage, module: LoadedModule) -> tuple[int, int] | None:
    with image.open(module) as stream:
        matched = _VERSION.search(stream.read(_VERSION_CHUNK_BYTES))
    return (int(matched[1]), int(matched[2])) if matched else None


def _refuse_version(version: tuple[int, int] | None, *, force: bool) -> None:
    if force or (version is not None and version >= OLDEST_GLIBC):
        return
    why = (
        "which version of glibc it has cannot be told"
        if version is None
        else f"its glibc {version[0]}.{version[1]} is older than what memtui was tested with"
    )
    raise cannot_ask(why, "--force-guest tries it all the same")


def _gadgets(image: ProcessImage, module: LoadedModule, addresses: dict[str, int]) -> dict[str, int] | None:
    """Addresses of the instruction sequences that Libc names; None when the module has no such."""
    for start, code in image.code_of(module):
        clone = addresses.get("clone", 0) - start
        if not 0 <= clone < len(code):
            continue
        restorer, call = code.find(_RESTORER), _SYSTEM_CALL.search(code, clone, clone + _CLONE_BYTES)
        if restorer >= 0 and call is not None:
            return {"restorer": start + restorer, "system_call": start + call.start(), "ret": start + call.end() - 1}
    return None
