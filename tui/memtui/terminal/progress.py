"""Says on stderr what memtui is doing where that takes longer than two seconds: nobody should take it for hung."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, TextIO

from memtui.terminal.streams import is_terminal
from memtui_parsers.clean_text import clean

AFTER_S = 2.0
_REDRAW_S = 0.5
_LINE_EVERY_S = 10.0
_COLUMNS = 80
_CLEAR_LINE = "\r\x1b[K"

# How much is done, of 1; None where that is not known.
Share = Callable[[], float | None]


class Progress:
    """What is being done, told by a thread of its own, so that what takes long need not look at the clock.

    In a terminal it is one line, drawn again and again and cleared at the end; elsewhere a line now and then. Without a
    ``stream`` nothing is told.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._in_place = is_terminal(stream) and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
        self._doing: tuple[str, Share | None] = ("", None)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if self._stream is not None:
            self._thread = threading.Thread(target=self._tell, args=(self._stream,), name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def say(self, doing: str, share: Share | None = None) -> None:
        """Say what is done from now on; ``share`` is asked from another thread."""
        self._doing = doing, share

    def end(self) -> None:
        """Tell no more, and clear the line; to be called before anything else is written to a terminal."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def before_output(self) -> None:
        """Say that the result is written; on a terminal it is itself what shows how far memtui is."""
        if is_terminal(sys.stdout):
            self.end()
        else:
            self.say("writing the report")

    def _tell(self, stream: TextIO) -> None:
        if self._ended.wait(AFTER_S):
            return
        told, told_s = "", -_LINE_EVERY_S
        try:
            while not self._ended.is_set():
                text = self._text()
                if not text:
                    pass
                elif self._in_place:
                    stream.write(_CLEAR_LINE + text[: _columns(stream) - 1])
                    stream.flush()
                elif text != told and time.monotonic() - told_s >= _LINE_EVERY_S:
                    stream.write(f"{text}\n")
                    stream.flush()
                    told, told_s = text, time.monotonic()
                self._ended.wait(_REDRAW_S)
            if self._in_place:
                stream.write(_CLEAR_LINE)
                stream.flush()
        except (OSError, ValueError):
            pass  # stderr is gone: nobody reads this

    def _text(self) -> str:
        doing, share_of = self._doing
        if not doing:
            return ""
        share = None if share_of is None else share_of()
        return f"memtui: {clean(doing)}" + ("" if share is None else f": {100 * min(share, 1.0):.0f} %")


SILENT = Progress()


def share_read(file: BinaryIO) -> Share:
    """How much of an open file has been read."""
    size_bytes = os.fstat(file.fileno()).st_size

    def share() -> float | None:
        try:
            return os.lseek(file.fileno(), 0, os.SEEK_CUR) / size_bytes if size_bytes else None
        except (OSError, ValueError):
            return None  # it is closed

    return share


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS
