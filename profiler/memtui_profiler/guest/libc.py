"""The C library inside a target: the addresses that a guest thread takes, or the one sentence why it cannot be had."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from memtui_parsers.errors import ParseError
from memtui_profiler.errors import UserError
from memtui_profiler.process_image import LoadedModule, ProcessImage

# tests/integration/test_guest_*.py ran on these; with others the layout of a thread's stack is not known to hold.
OLDEST_GLIBC = (2, 31)

_LIBC = re.compile(r"libc(?:\.so\.6|-2\.\d+\.so)")
_LIBPTHREAD = re.compile(r"libpthread(?:\.so\.0|-2\.\d+\.so)")
_MUSL = re.compile(r"(?:ld-musl-.*|libc\.musl-.*)")
_VERSION = re.compile(rb"GNU C Library [^\0\n]{0,80}release version (\d{1,3})\.(\d{1,3})")
_VERSION_CHUNK_BYTES = 16 << 20
# mov $15, %rax; syscall: rt_sigreturn, what glibc gives the kernel as sa_restorer.
_RESTORER = bytes.fromhex("48c7c00f0000000f05")
_NAMES = ("pthread_create", "pause", "prctl", "pthread_detach", "exit", "_IO_list_all")


@dataclass(frozen=True, slots=True)
class Libc:
    """Addresses in the target."""

    pthread_create: int
    pause: int
    prctl: int
    pthread_detach: int
    exit: int
    restorer: int
    version: tuple[int, int] | None


def find_libc(image: ProcessImage, *, force: bool = False) -> Libc:
    """Everything is looked up here, before any thread is touched. Raises UserError: musl, too old, stripped, unreadable."""
    modules = _modules(image)
    try:
        version = _version(image, modules[0])
        _refuse_version(version, force=force)
        found: dict[str, int] = {}
        for module in modules:
            found = {**image.addresses_in(module, _NAMES), **found}
        restorer = next((at for module in modules if (at := _restorer(image, module)) is not None), None)
    except (OSError, ParseError) as error:
        raise UserError(
            "cannot ask the process", f"its C library cannot be read ({error})", "run memtui as root"
        ) from error
    missing = [name for name in _NAMES[:5] if name not in found]
    if missing or restorer is None:
        what = ", ".join(missing) or "rt_sigreturn"
        raise UserError(
            "cannot ask the process", f"{what} is not to be found in its C library", "link it with the system's glibc"
        )
    return Libc(**{name: found[name] for name in _NAMES[:5]}, restorer=restorer, version=version)


def _modules(image: ProcessImage) -> list[LoadedModule]:
    """Where the C library's functions are: libc and, before 2.34, libpthread; or the program itself when it is static."""
    names = {os.path.basename(m.path.removesuffix(" (deleted)")): m for m in image.modules}
    found = [m for name, m in names.items() if _LIBC.fullmatch(name)]
    if found:
        return found + [m for name, m in names.items() if _LIBPTHREAD.fullmatch(name)]
    if any(_MUSL.fullmatch(name) for name in names):
        raise UserError("cannot ask the process", "its C library is musl", "run it with glibc")
    if not image.modules:
        raise UserError(
            "cannot ask the process", "its mapped files cannot be read", "run memtui as its user, or as root"
        )
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
    raise UserError("cannot ask the process", why, "--force-guest tries it all the same")


def _restorer(image: ProcessImage, module: LoadedModule) -> int | None:
    for start, code in image.code_of(module):
        at = code.find(_RESTORER)
        if at >= 0:
            return start + at
    return None
