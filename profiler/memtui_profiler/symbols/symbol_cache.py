"""A cache of what addresses of a binary are called, so that the next report of the same binary is named at once.

One file per build-id and kind of debug information, in ``$XDG_CACHE_HOME/memtui/symbols``. A file is replaced as a whole, so
that workers may read and write at the same time: of two that add to one file the later wins, and the addresses of the other are
looked up again. Files of other versions, and damaged ones, are ignored.

A build-id is what a binary says of itself, and a hostile one may say that of another. So the names hold for the very files
alone that they were read from: see file_identity().
"""

from __future__ import annotations

import contextlib
import marshal
import os
import re
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from memtui_profiler.own_folder import foreign_part

MAGIC = b"memtui symbols 2\n"
MARSHAL_VERSION = 4
MAX_FILE_BYTES = 32 << 20
MAX_TOTAL_BYTES = 256 << 20
# More addresses than the reports of one binary have; beyond this only those of the newest report stay.
MAX_ADDRESSES = 200_000
# After this a file that is being written belongs to a worker that was killed.
STALE_S = 3600.0

_BUILD_ID = re.compile(r"[0-9a-f]{8,128}")
_FACTS, _WRAP = struct.Struct("<5Q"), 1 << 64
# The identity of the files, the checksum and the length of what follows.
_HEAD = struct.Struct("<80sII")


# One call as a session has it, in clean text: function, linkage name, file, line, whether it is inlined. A plain tuple, because
# 50,000 of them are read at once.
NamedCall = tuple[str | None, str | None, str | None, int | None, int]

# The calls at each virtual address, innermost first.
CallsAt = dict[int, tuple[NamedCall, ...]]


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/memtui/symbols``, else ``~/.cache/memtui/symbols``; whether it is there or not."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "memtui" / "symbols"


def file_identity(binary: BinaryIO, debug: BinaryIO | None) -> bytes:
    """80 bytes that tell a binary and its debug file from others, and from what they were before a change. Raises OSError.

    Times of change (ctime) are among them, which nobody can set.
    """
    return _facts_of(binary) + (bytes(_FACTS.size) if debug is None else _facts_of(debug))


def _facts_of(file: BinaryIO) -> bytes:
    facts = os.fstat(file.fileno())
    return _FACTS.pack(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns % _WRAP, facts.st_ctime_ns % _WRAP)


class SymbolCache:
    """The cache files of one folder. Nothing raises: a cache that cannot be used is an empty one.

    So is one in a folder that somebody else can change.
    """

    def __init__(self, folder: Path | None = None, *, max_total_bytes: int = MAX_TOTAL_BYTES) -> None:
        self._folder = folder
        self._max_total_bytes = max_total_bytes
        self._usable: bool | None = None

    def load(self, build_id: str, kind: str, identity: bytes) -> CallsAt:
        """The calls of this binary as this kind of debug information ('own', 'debug') has them; may be empty.

        ``identity``: file_identity() of the files that have both.
        """
        path = self._path(build_id, kind)
        if path is None:
            return {}
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as stream:
                # marshal trusts its input: it gets only what this user wrote, and nobody else could write.
                status = os.fstat(descriptor)
                if status.st_uid != os.geteuid() or status.st_mode & 0o022 or status.st_size > MAX_FILE_BYTES:
                    return {}
                data = stream.read(MAX_FILE_BYTES + 1)
                os.utime(descriptor)
        except OSError:
            return {}
        return _decoded(data, identity)

    def store(self, build_id: str, kind: str, identity: bytes, calls: CallsAt) -> None:
        """Add ``calls`` to the binary's file; those of files of another identity go.

        The least recently used files are deleted once all together exceed the total.
        """
        path = self._path(build_id, kind)
        if path is None or not calls:
            return
        merged = {**self.load(build_id, kind, identity), **calls}
        data = _encoded(merged if len(merged) <= MAX_ADDRESSES else calls, identity)
        if len(data) > MAX_FILE_BYTES:
            return
        with contextlib.suppress(OSError):
            descriptor, written = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            try:
                with open(descriptor, "wb") as stream:
                    stream.write(data)
                os.replace(written, path)
            except OSError:
                os.unlink(written)
                raise
            self._prune(path.parent)

    def _path(self, build_id: str, kind: str) -> Path | None:
        if not _BUILD_ID.fullmatch(build_id):
            return None
        try:
            folder = self._folder or cache_folder()
        except RuntimeError:  # no home directory
            return None
        if self._usable is None:
            try:
                self._usable = not foreign_part(folder, make=True)
            except OSError:
                self._usable = False
        return folder / f"{build_id}.{kind}" if self._usable else None

    def _prune(self, folder: Path) -> None:
        left = self._max_total_bytes
        for used_s, size_bytes, path in sorted(_files(folder), reverse=True):
            stale = path.name.startswith(".new-") and time.time() - used_s > STALE_S
            left -= size_bytes
            if left < 0 or stale:
                with contextlib.suppress(OSError):
                    path.unlink()


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(time of last use, bytes, path) of each file."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            status = path.lstat()
            yield status.st_mtime, status.st_size, path


def _encoded(calls: CallsAt, identity: bytes) -> bytes:
    # marshal writes an object that it meets again as a reference, and symbolize() has each call and each text once.
    payload = marshal.dumps(calls, MARSHAL_VERSION)
    return MAGIC + _HEAD.pack(identity, zlib.crc32(payload), len(payload)) + payload


def _decoded(data: bytes, identity: bytes) -> CallsAt:
    at = len(MAGIC) + _HEAD.size
    if len(data) < at or not data.startswith(MAGIC):
        return {}
    stored_of, checksum, size = _HEAD.unpack_from(data, len(MAGIC))
    payload = memoryview(data)[at:]
    if stored_of != identity or len(payload) != size or zlib.crc32(payload) != checksum:
        return {}
    try:
        calls: CallsAt = marshal.loads(payload)
    except (EOFError, TypeError, ValueError):
        return {}
    return calls if isinstance(calls, dict) else {}
