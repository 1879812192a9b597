"""The one sanitizer: whatever a target wrote becomes text that is safe to put on a terminal.

Removed are escape sequences (ECMA-48: CSI, OSC, DCS, SOS, PM, APC and the short ones), control characters (C0, DEL, C1),
characters that reorder or hide text (bidi overrides and isolates, zero-width characters, the tag block).
A tab becomes a space, an unpaired surrogate U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Collection

LIMIT = 4096
LINE_LIMIT = 4096
CUT = "…"

# Strings that a terminal swallows up to a terminator end at the line's end too: an unterminated one must not eat the rest.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x9c|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")  # a byte that was no UTF-8, as os.fsdecode keeps it
_SPACES = str.maketrans("\t\v\f\r\n", "     ")
# Enough raw text for ``limit`` clean characters in all but hostile cases, so that a huge value costs little.
_RAW_FACTOR = 4


def clean(text: str | bytes, limit: int = LIMIT) -> str:
    """``text`` as one safe line of at most ``limit`` characters, ``…`` in place of what was cut off.

    Bytes are read as UTF-8, what is not UTF-8 becomes U+FFFD. Never raises.
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
    """Each of ``texts`` as clean() makes it. Thousands of names are looked at as one, as they are nearly always clean."""
    if max(map(len, texts), default=0) <= LIMIT:
        together = "".join(texts)
        if together.isascii() and together.isprintable():
            return dict(zip(texts, texts, strict=True))
    return {text: clean(text) for text in texts}


class LineCleaner:
    """Bytes in any chunking to the same clean lines, as an output pane shows them.

    LF, CR LF and a CR alone each end a line. A line longer than ``limit`` bytes is cut and marked with ``…``. Holds at most
    one line's bytes.
    """

    __slots__ = ("_after_cr", "_held", "_limit", "_overlong")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._held = b""
        self._overlong = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that ``chunk`` completes."""
        if not chunk:
            return []
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
        self._after_cr = chunk[-1:] == b"\r"
        pieces = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines = []
        for piece in pieces[:-1]:
            self._hold(piece)
            lines.append(self._take())
        self._hold(pieces[-1])
        return lines

    def finish(self) -> list[str]:
        """The last line when no line end followed it."""
        return [self._take()] if self._held or self._overlong else []

    def _hold(self, piece: bytes) -> None:
        room = self._limit - len(self._held)
        self._overlong = self._overlong or len(piece) > room
        self._held += piece[: max(room, 0)]

    def _take(self) -> str:
        held, overlong = self._held, self._overlong
        self._held, self._overlong = b"", False
        line = clean(held, self._limit)
        return line + CUT if overlong else line


def clean_lines(data: bytes, limit: int = LINE_LIMIT) -> list[str]:
    """All lines of ``data``, the last one with or without a line end."""
    cleaner = LineCleaner(limit)
    return [*cleaner.feed(data), *cleaner.finish()]
