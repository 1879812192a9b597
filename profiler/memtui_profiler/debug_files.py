"""Finds the separate debug file of a stripped binary, and opens nothing but regular files on the way.

Where gdb looks, too: by build-id under /usr/lib/debug/.build-id, by .gnu_debuglink beside the binary, in .debug beside it,
and under /usr/lib/debug (GDB manual, "Debugging Information in Separate Files"). What dwz shares lies where the debug file says.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.elf_alternate import AlternateLink
from memtui_parsers.elf_facts import ElfFacts, read_elf_facts
from memtui_parsers.errors import ParseError

DEBUG_ROOT = "/usr/lib/debug"
CHUNK_BYTES = 1 << 20
MAX_SYMLINKS = 40


def open_regular(path: str, sysroot: Path | None = None) -> BinaryIO:
    """Open for reading what is a regular file with something in it, without waiting for what is not (a FIFO, a device).

    The kernel's files in /proc and /sys pass for regular ones, but of no size.

    ``path`` is absolute in the target's view; symbolic links are followed inside ``sysroot``, as the target would.
    Raises OSError.
    """
    where = path if sysroot is None else path_inside(sysroot, path)
    descriptor = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "empty, or not a regular file", path)
    return os.fdopen(descriptor, "rb")


def path_inside(sysroot: Path, path: str) -> str:
    """Where the target's ``path`` is on this side of ``sysroot``: absolute links and ``..`` do not leave it.

    Raises OSError when links go round in circles.
    """
    left = path.split("/")[::-1]
    inside: list[str] = []
    links = 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del inside[-1:]
            continue
        inside.append(part)
        here = os.path.join(sysroot, *inside)
        if not os.path.islink(here):
            continue
        links += 1
        if links > MAX_SYMLINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        inside = [] if target.startswith("/") else inside[:-1]
        left += target.split("/")[::-1]
    return os.path.join(sysroot, *inside)


def open_debug_file(
    path: str,
    facts: ElfFacts,
    *,
    sysroot: Path | None = None,
    extra: Sequence[str] = (),
    notes: list[str] | None = None,
) -> BinaryIO | None:
    """The debug file of the binary at ``path``, which ``facts`` are of; None when there is none that matches.

    It matches by build-id where both have one, else by the debuglink's CRC32. ``extra`` are directories to look in before
    /usr/lib/debug, laid out like it. A file that should be it and is not is said in ``notes``.
    """
    for candidate in _candidates(path, facts, extra):
        try:
            stream = open_regular(candidate, sysroot)
        except (OSError, ValueError):
            continue
        try:
            if _matches(stream, facts):
                return stream
        except (ParseError, OSError):
            pass
        stream.close()
        if notes is not None and candidate != path:
            notes.append(f"the debug file {candidate} does not match {posixpath.basename(path)}")
    return None


def open_alternate(stream: BinaryIO, link: AlternateLink, *, sysroot: Path | None = None) -> BinaryIO | None:
    """The file to which dwz moved what ``stream``, a debug file, shares with others; None when none of its build is there."""
    folder = posixpath.dirname(target_path(stream, sysroot))
    candidates = [posixpath.join(folder, link.name), posixpath.join(DEBUG_ROOT, ".dwz", posixpath.basename(link.name))]
    if len(link.build_id) > 2:
        candidates.append(f"{DEBUG_ROOT}/.build-id/{link.build_id[:2]}/{link.build_id[2:]}.debug")
    for candidate in candidates:
        try:
            found = open_regular(posixpath.normpath(candidate), sysroot)
        except (OSError, ValueError):
            continue
        try:
            if read_elf_facts(found).build_id == link.build_id:
                return found
        except (ParseError, OSError):
            pass
        found.close()
    return None


def target_path(stream: BinaryIO, sysroot: Path | None) -> str:
    """Where the target sees an open file, its links followed."""
    path = os.readlink(f"/proc/self/fd/{stream.fileno()}")
    root = "/" if sysroot is None else os.path.realpath(sysroot)
    return "/" + os.path.relpath(path, root) if path.startswith(root) else path


def _candidates(path: str, facts: ElfFacts, extra: Sequence[str]) -> Iterator[str]:
    roots = (*extra, DEBUG_ROOT)
    if len(facts.build_id) > 2:
        for root in roots:
            yield f"{root}/.build-id/{facts.build_id[:2]}/{facts.build_id[2:]}.debug"
    if facts.debuglink is None:
        return
    name = facts.debuglink[0]
    if "/" in name or name in ("", ".", ".."):
        return
    folder = posixpath.dirname(path)
    yield posixpath.join(folder, name)
    yield posixpath.join(folder, ".debug", name)
    for root in roots:
        yield posixpath.join(root, folder.lstrip("/"), name)


def _matches(stream: BinaryIO, facts: ElfFacts) -> bool:
    found = read_elf_facts(stream)
    if not (found.has_debug_info or found.has_symtab) or found.machine != facts.machine:
        return False
    if found.build_id and facts.build_id:
        return found.build_id == facts.build_id
    return facts.debuglink is not None and _crc32(stream) == facts.debuglink[1]


def _crc32(stream: BinaryIO) -> int:
    stream.seek(0)
    crc = 0
    while chunk := stream.read(CHUNK_BYTES):
        crc = zlib.crc32(chunk, crc)
    return crc
