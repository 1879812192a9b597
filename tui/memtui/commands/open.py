"""``memtui open``: shows what was recorded before. What a path is, is told from its contents."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from memtui.commands.plain_session import write_last_report
from memtui.commands.report_session import write_report_session
from memtui.commands.run_result import open_session
from memtui.commands.viewing import show_screen, wants_screen
from memtui.options import Open
from memtui_profiler.errors import UserError
from memtui_profiler.session.writer import DATABASE

# A checker's words may stand far behind what the program printed; beyond this it is some other log.
LOG_SEARCH_BYTES = 256 << 20
CHUNK_BYTES = 1 << 20
LOG_WORDS = (b"Perftools heap leak checker is active", b"No leaks found for check", b"detected leaks of ")


class Contents(Enum):
    SESSION = "session folder"
    DATABASE = "session database"
    HEAP = "heap profile"
    LOG = "heap checker's log"


def run_open(options: Open) -> int:
    with session_of(Path(options.path)) as folder:
        if wants_screen(plain=options.plain):
            return show_screen(folder, ascii=options.ascii)
        return print_report(folder, ascii=options.ascii or None)


def print_report(folder: Path, *, ascii: bool | None = None) -> int:
    with open_session(folder) as reader:
        if not write_last_report(reader, ascii=ascii):
            sys.stdout.write("no leak report in this session\n")
    return 0


def contents_of(path: Path) -> Contents:
    """Raises UserError for what cannot be read, or is nothing memtui knows."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if (path / DATABASE).is_file():
                return Contents.SESSION
            raise UserError(f"cannot open {path}", f"this folder holds no {DATABASE}", "see `memtui sessions`")
        if not stat.S_ISREG(mode):
            raise UserError(f"cannot open {path}", "neither a file nor a folder", "save it to a file first")
        with open(path, "rb") as file:
            head = file.read(CHUNK_BYTES)
            if head.startswith(b"SQLite format 3\0"):
                return Contents.DATABASE
            if head.lstrip().startswith(b"heap profile:"):
                return Contents.HEAP
            if _is_log(head, file):
                return Contents.LOG
    except OSError as error:
        raise UserError(f"cannot open {path}", error.strerror or str(error), "check the path") from error
    raise UserError(
        f"cannot open {path}",
        "empty" if not head else "not a session, a .heap file or the output of a program under HEAPCHECK",
        "memtui open takes one of these",
    )


def _is_log(head: bytes, rest: BinaryIO) -> bool:
    chunk, seen, overlap = head, 0, max(map(len, LOG_WORDS))
    while chunk and seen < LOG_SEARCH_BYTES:
        if any(words in chunk for words in LOG_WORDS):
            return True
        seen += len(chunk)
        fresh = rest.read(CHUNK_BYTES)
        chunk = chunk[-overlap:] + fresh if fresh else b""
    return False


@contextlib.contextmanager
def session_of(path: Path) -> Iterator[Path]:
    """A session folder that shows what is at ``path``; one made for this goes again afterwards."""
    contents = contents_of(path)
    if contents is Contents.SESSION:
        yield path.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="memtui-open-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        if contents is Contents.DATABASE:
            # A link: SQLite looks for the write-ahead log beside the file it leads to.
            os.symlink(path.resolve(), folder / DATABASE)
        else:
            write_report_session(folder, path.resolve(), is_log=contents is Contents.LOG)
        yield folder
