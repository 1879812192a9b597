"""Keeps what addresses of a binary were found to be, so that the next report of the same binary is named at once.

One file per build-id and kind of debug information, in ``$XDG_CACHE_HOME/memtui/symbols``. A file is written anew and put in
place whole, so that workers may read and write at once: of two that add to one file the later wins, and what the other had added
is looked up again. Files of other versions, and damaged ones, are as if they were not there.
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

MAGIC = b"memtui symbols 1\n"
MARSHAL_VERSION = 4
MAX_FILE_BYTES = 32 << 20
MAX_TOTAL_BYTES = 256 << 20
# More addresses of one binary than its reports ever have; beyond them the newest report's stay.
MAX_ADDRESSES = 200_000
# A file that somebody is writing, or was when he was killed.
STALE_S = 3600.0

_BUILD_ID = re.compile(r"[0-9a-f]{8,128}")
_HEAD = struct.Struct("<II")


# One function over an address as a session has it, in clean text: its name, linkage name, file, line, whether it is inlined.
# A plain tuple: 50,000 of them are read at once.
NamedCall = tuple[str | None, str | None, str | None, int | None, int]

# By address, the calls there, innermost first.
Known = dict[int, tuple[NamedCall, ...]]


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/memtui/symbols``, else ``~/.cache/memtui/symbols``; whether it is there or not."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "memtui" / "symbols"


class SymbolCache:
    """The files of one folder. Nothing raises: a cache that cannot be used is an empty one."""

    def __init__(self, folder: Path | None = None, *, max_total_bytes: int = MAX_TOTAL_BYTES) -> None:
        self._folder = folder
        self._max_total_bytes = max_total_bytes

    def load(self, build_id: str, kind: str) -> Known:
        """What is known of this binary through this kind of debug information ('own', 'debug')."""
        path = self._path(build_id, kind)
        if path is None:
            return {}
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as stream:
                # marshal trusts what it reads: only what this user wrote, and nobody else could, is given to it.
                status = os.fstat(descriptor)
                if status.st_uid != os.geteuid() or status.st_mode & 0o022 or status.st_size > MAX_FILE_BYTES:
                    return {}
                data = stream.read(MAX_FILE_BYTES + 1)
                os.utime(descriptor)
        except OSError:
            return {}
        return _decoded(data)

    def store(self, build_id: str, kind: str, known: Known) -> None:
        """Add ``known`` to what is there. The least lately used files go when all are more than a total."""
        path = self._path(build_id, kind)
        if path is None or not known:
            return
        merged = {**self.load(build_id, kind), **known}
        data = _encoded(merged if len(merged) <= MAX_ADDRESSES else known)
        if len(data) > MAX_FILE_BYTES:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
            return (self._folder or cache_folder()) / f"{build_id}.{kind}"
        except RuntimeError:  # no home directory
            return None

    def _prune(self, folder: Path) -> None:
        left = self._max_total_bytes
        for used_s, size_bytes, path in sorted(_files(folder), reverse=True):
            stale = path.name.startswith(".new-") and time.time() - used_s > STALE_S
            left -= size_bytes
            if left < 0 or stale:
                with contextlib.suppress(OSError):
                    path.unlink()


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(last used, size, path) of each."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            status = path.lstat()
            yield status.st_mtime, status.st_size, path


def _encoded(known: Known) -> bytes:
    # marshal writes an object that is met again as a reference: symbolize() holds each call and each text once.
    payload = marshal.dumps(known, MARSHAL_VERSION)
    return MAGIC + _HEAD.pack(zlib.crc32(payload), len(payload)) + payload


def _decoded(data: bytes) -> Known:
    at = len(MAGIC) + _HEAD.size
    if len(data) < at or not data.startswith(MAGIC):
        return {}
    checksum, size = _HEAD.unpack_from(data, len(MAGIC))
    payload = memoryview(data)[at:]
    if len(payload) != size or zlib.crc32(payload) != checksum:
        return {}
    try:
        found: Known = marshal.loads(payload)
    except (EOFError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
