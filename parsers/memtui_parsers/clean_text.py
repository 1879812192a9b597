"""Turns text from an untrusted source into text that is safe to print on a terminal.

It removes escape sequences (ECMA-48: CSI, OSC, DCS, SOS, PM, APC and the short ones), control characters (C0, DEL, C1),
and characters that reorder or hide text (bidi overrides and isolates, zero-width characters, the tag block). A tab
becomes a space, an unpaired surrogate U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import BinaryIO

LIMIT = 4096
LINE_LIMIT = 4096
CHUNK_BYTES = 1 << 16
CUT = "…"

# A string without its terminator ends at the end of the line here, so that it does not hide the rest of the text.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x9c|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")  # os.fsdecode makes one of a byte that is not UTF-8
_SPACES = str.maketrans("\t\v\f\r\n", "     ")
# Raw characters that are read for each clean one: enough in all but hostile texts, and a huge text costs little.
_RAW_FACTOR = 4


def clean(text: str | bytes, limit: int = LIMIT) -> str:
    """Return ``text`` as one safe line of at most ``limit`` characters, with ``…`` in place of what was cut off.

    Bytes are decoded as UTF-8, with U+FFFD for what is not UTF-8. Never raises.
    """
    raw = text[: limit * _RAW_FACTOR + 1]
    cut = len(raw) < len(text)
    line = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if not (line.isascii() and line.isprintable()):
        line = _SEQUENCES.sub("", line).translate(_SPACES)
        line = _SURROGATE.sub("\ufffd", _UNSAFE.sub("", line))
    if len(line) > limit or cut:
        return line[: max(limit - 1, 0)] + CUT
    return line


def clean_all(texts: Collection[str]) -> dict[str, str]:
    """Return clean() of each text. Thousands of names are checked as one text, because they are nearly always clean."""
    if max(map(len, texts), default=0) <= LIMIT:
        joined = "".join(texts)
        if joined.isascii() and joined.isprintable():
            return dict(zip(texts, texts, strict=True))
    return {text: clean(text) for text in texts}


class LineCleaner:
    """Splits bytes that come in chunks of any size into clean lines, with at most one line in memory.

    LF, CR LF and a CR alone each end a line. A line longer than ``limit`` bytes is cut and marked with ``…``.
    """

    __slots__ = ("_after_cr", "_limit", "_line", "_overlong")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._line = b""
        self._overlong = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that ``chunk`` completes."""
        if not chunk:
            return []
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
        self._after_cr = chunk[-1:] == b"\r"
        pieces = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines = []
        for piece in pieces[:-1]:
            self._append(piece)
            lines.append(self._take())
        self._append(pieces[-1])
        return lines

    def finish(self) -> list[str]:
        """Return the last line, if it has no line end."""
        return [self._take()] if self._line or self._overlong else []

    def _append(self, piece: bytes) -> None:
        room = self._limit - len(self._line)
        self._overlong = self._overlong or len(piece) > room
        self._line += piece[: max(room, 0)]

    def _take(self) -> str:
        line = clean(self._line, self._limit) + (CUT if self._overlong else "")
        self._line, self._overlong = b"", False
        return line


def clean_lines_of(stream: BinaryIO, limit: int = LINE_LIMIT) -> Iterator[str]:
    """Yield the lines of a stream as LineCleaner makes them."""
    cleaner = LineCleaner(limit)
    while chunk := stream.read(CHUNK_BYTES):
        yield from cleaner.feed(chunk)
    yield from cleaner.finish()


def clean_lines(data: bytes, limit: int = LINE_LIMIT) -> list[str]:
    """Return all lines of ``data``; the last one may have no line end."""
    cleaner = LineCleaner(limit)
    return [*cleaner.feed(data), *cleaner.finish()]
