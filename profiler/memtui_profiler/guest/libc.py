"""The C library inside a target: the addresses that a guest thread takes, or the one sentence why it cannot be had."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from memtui_parsers.errors import ParseError
from memtui_parsers.maps import DELETED
from memtui_profiler.errors import UserError
from memtui_profiler.process_image import LoadedModule, ProcessImage

# tests/integration/test_guest_*.py ran on 2.31, 2.36 and 2.41 (Debian 11 to 13); of older ones the layouts are not known to hold.
OLDEST_GLIBC = (2, 31)
_THREADS_IN_LIBC = (2, 34)
_WHAT = "cannot ask the process"

_LIBC = re.compile(r"libc(?:\.so\.6|-2\.\d+\.so)")
_LIBPTHREAD = re.compile(r"libpthread(?:\.so\.0|-2\.\d+\.so)")
_MUSL = re.compile(r"/(?:ld-musl-[^/]*|libc\.musl-[^/]*|[^/]*musl[^/]*/(?:lib/)?libc\.so)$")
_VERSION = re.compile(rb"GNU C Library [^\0\n]{0,80}release version (\d{1,3})\.(\d{1,3})")
_VERSION_CHUNK_BYTES = 16 << 20
# mov $15, %rax; syscall: rt_sigreturn, what glibc gives the kernel as sa_restorer.
_RESTORER = bytes.fromhex("48c7c00f0000000f05")
_RETURN = b"\xc3"
# In clone(): syscall; test %rax, %rax; jl; jz; ret. Its unwinding information ends before the first of them.
_SYSTEM_CALL = re.compile(rb"\x0f\x05\x48\x85\xc0(?:\x7c.|\x0f\x8c.{4})\x74.\xc3", re.DOTALL)
_CLONE_BYTES = 256
_NAMES = ("pthread_create", "pause", "prctl", "exit", "clone")


@dataclass(frozen=True, slots=True)
class Libc:
    """Addresses in the target.

    ``restorer`` makes rt_sigreturn(2). ``system_call`` makes whatever call the registers say and returns when it was interrupted,
    and whoever unwinds a stack ends there. At ``ret`` there is that one instruction.
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
    """Everything is looked up here, before any thread is touched. Raises UserError: musl, too old, stripped, unreadable."""
    modules = _modules(image)
    try:
        version = _version(image, modules[0])
        found: dict[str, int] = {}
        for module in modules:
            found = {**image.addresses_in(module, _NAMES), **found}
        gadgets = next((at for module in modules if (at := _gadgets(image, module, found)) is not None), None)
    except (OSError, ParseError) as error:
        raise UserError(_WHAT, f"its C library cannot be read ({error})", "run memtui as root") from error
    missing = [name for name in _NAMES if name not in found]
    if missing == ["pthread_create"] and version is not None and version < _THREADS_IN_LIBC and len(modules) == 1:
        raise UserError(
            _WHAT, "it has no libpthread, and so can make no thread", "start it with LD_PRELOAD=libpthread.so.0"
        )
    if missing or gadgets is None:
        what = ", ".join(missing) or "what takes a thread back from a call"
        raise UserError(_WHAT, f"its C library lacks {what}", "link it with the system's glibc, as a shared library")
    _refuse_version(version, force=force)
    addresses = {name: found[name] for name in _NAMES if name != "clone"}
    return Libc(**addresses, **gadgets, version=version)


def _modules(image: ProcessImage) -> list[LoadedModule]:
    """Where the C library's functions are: libc and, before 2.34, libpthread; or the program itself when it is static."""
    if not image.modules:
        why = "its mapped files cannot be read" if image.mappings else "it has no memory of its own, as a kernel thread"
        raise UserError(_WHAT, why, "run memtui as root" if image.mappings else "choose another process")
    names = [(os.path.basename(m.path.removesuffix(DELETED)), m) for m in image.modules]
    found = [m for name, m in names if _LIBC.fullmatch(name)]
    if any(_MUSL.search(m.path) for m in image.modules):
        raise UserError(_WHAT, "its C library is musl", "run it with glibc")
    if len(found) > 1 or any(sum(p.offset == 0 for p in m.mappings) > 1 for m in found):
        # Another one was loaded by an auditor or by dlmopen: a thread of the one is none in the other.
        raise UserError(_WHAT, "it has two C libraries", "start it without LD_AUDIT")
    if found:
        return found + [m for name, m in names if _LIBPTHREAD.fullmatch(name)]
    if any(_LIBC.fullmatch(os.path.basename(m.path.removesuffix(DELETED))) for m in image.mappings):
        raise UserError(_WHAT, "its C library was replaced since it started", "run memtui as root, or start it again")
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
    raise UserError(_WHAT, why, "--force-guest tries it all the same")


def _gadgets(image: ProcessImage, module: LoadedModule, found: dict[str, int]) -> dict[str, int] | None:
    for start, code in image.code_of(module):
        clone = found.get("clone", 0) - start
        if not 0 <= clone < len(code):
            continue
        restorer, call = code.find(_RESTORER), _SYSTEM_CALL.search(code, clone, clone + _CLONE_BYTES)
        if restorer >= 0 and call is not None:
            return {"restorer": start + restorer, "system_call": start + call.start(), "ret": start + call.end() - 1}
    return None
