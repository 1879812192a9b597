"""Finds the separate debug file of a stripped binary, and the file that it shares with others (dwz). Opens only regular files.

The places are gdb's: by build-id under /usr/lib/debug/.build-id, by .gnu_debuglink beside the binary, in .debug beside it,
and under /usr/lib/debug (GDB manual, "Debugging Information in Separate Files").
"""

from __future__ import annotations

import os
import posixpath
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.elf.facts import AlternateLink, ElfFacts, read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_profiler.files import open_regular

DEBUG_ROOT = "/usr/lib/debug"
CHUNK_BYTES = 1 << 20


def open_debug_file(
    path: str,
    facts: ElfFacts,
    *,
    sysroot: Path | None = None,
    extra: Sequence[str] = (),
    notes: list[str] | None = None,
) -> BinaryIO | None:
    """Open the debug file of the binary at ``path`` with these ``facts``; None when none matches.

    It matches by build-id where both have one, else by the debuglink's CRC32. ``extra``: directories to look in before
    /usr/lib/debug, laid out like it. ``notes`` gets a sentence for each file that has the right name and does not match.
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
    """Open the file that dwz put beside ``stream``, a debug file, for what several share; None when no file has the right id."""
    folder = posixpath.dirname(target_path(stream, sysroot))
    candidates = [posixpath.join(folder, link.name), posixpath.join(DEBUG_ROOT, ".dwz", posixpath.basename(link.name))]
    if len(link.build_id) > 2:
        candidates.append(f"{DEBUG_ROOT}/.build-id/{link.build_id[:2]}/{link.build_id[2:]}.debug")
    for candidate in candidates:
        try:
            alternate = open_regular(posixpath.normpath(candidate), sysroot)
        except (OSError, ValueError):
            continue
        try:
            if read_elf_facts(alternate).build_id == link.build_id:
                return alternate
        except (ParseError, OSError):
            pass
        alternate.close()
    return None


def target_path(stream: BinaryIO, sysroot: Path | None) -> str:
    """The path of an open file as the target has it, links followed."""
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
    debug = read_elf_facts(stream)
    if not (debug.has_debug_info or debug.has_symtab) or debug.machine != facts.machine:
        return False
    if debug.build_id and facts.build_id:
        return debug.build_id == facts.build_id
    return facts.debuglink is not None and _crc32(stream) == facts.debuglink[1]


def _crc32(stream: BinaryIO) -> int:
    stream.seek(0)
    crc = 0
    while chunk := stream.read(CHUNK_BYTES):
        crc = zlib.crc32(chunk, crc)
    return crc
