"""Gives the bytes of a text file as its writer wrote them, before anything copied them through a log or another encoding.

PowerShell's ``>`` makes UTF-16 of a text, Docker and journald a JSON object of each line, a CI log puts a time before it.
Prefixes are taken here from the formats that are told by their first bytes; the parsers of logs look for their lines
themselves (line_prefix.py).
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from memtui_parsers.formats.line_prefix import lines_without_prefix
from memtui_parsers.report.json_stream import read_up_to

HEAD_BYTES = 1 << 16
LINE_CHARS = 1 << 18
UTF8_BOM = b"\xef\xbb\xbf"

# The first lines of the formats, exact enough for none to be a line of something else. Between them stands the prefix.
_FIRST_LINES = re.compile(
    rb"<\?xml version=[^\n]{1,80}\n(?:[^\n]{0,400}\n){0,3}[^\n]{0,400}<valgrindoutput>"
    rb"|--- symbol\r?\n(?:[^\n]{0,400}binary=[^\n]{0,4000}\n)?[^\n]{0,400}0x[0-9a-f]"
    rb"|heap profile: +\d{1,18}: +\d{1,18} \["
    rb"|heap_v2/\d{1,18}\r?\n[^\n]{0,400}  t\*: "
    rb"|desc: [^\n]{0,4000}\n[^\n]{0,400}cmd: [^\n]{0,4000}\n[^\n]{0,400}time_unit: "
    rb"|\{\"dhatFileVersion\":\d"
)
_BEGINNING = re.compile(r"<\?xml version=|--- symbol|heap profile: +\d|heap_v2/\d|desc: |\{\"dhatFileVersion\"")

# Docker's json-file driver, `journalctl -o json`, Google's logging.
_JSON_TEXTS = ("log", "MESSAGE", "textPayload")


def as_written(stream: BinaryIO) -> BinaryIO:
    """Return a stream, to be read with read(), of the same bytes, or of what the file was before. Raises OSError."""
    head = read_up_to(stream, HEAD_BYTES)
    head = head.removeprefix(UTF8_BOM)
    whole: BinaryIO = Rejoined(head, stream)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        recoded = codecs.EncodedFile(whole, "utf-8", "utf-16", "replace")
        head = read_up_to(recoded, HEAD_BYTES)
        whole = Rejoined(head, recoded)
    if _text_in(head.partition(b"\n")[0]) is not None:
        whole = io.BufferedReader(_Joined(_texts(whole)))
        head = read_up_to(whole, HEAD_BYTES)
        whole = Rejoined(head, whole)
    found = _FIRST_LINES.search(head)
    if not found:
        return whole
    prefix = head[head.rfind(b"\n", 0, found.start()) + 1 : found.start()]
    has_crlf = head[: head.find(b"\n", found.start()) + 1].endswith(b"\r\n")
    if not prefix and not has_crlf:
        return whole
    return io.BufferedReader(_Joined(_without_prefix(whole)))


class Rejoined(io.BytesIO):
    """A stream whose beginning was read already, from its beginning; to be read with read()."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__(head)
        self._rest = rest

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size) or self._rest.read(-1 if size is None else size)


class _Joined(io.RawIOBase):
    """The bytes of pieces that come one after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed's Buffer is not in 3.10
        while not self._pending:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._pending = piece
        taken, self._pending = self._pending[: len(buffer)], self._pending[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _without_prefix(stream: BinaryIO) -> Iterator[bytes]:
    """The lines from the first of the format on, without what stands before each of them."""
    begun = False
    for line in lines_without_prefix(stream, _BEGINNING, LINE_CHARS):
        begun = begun or _BEGINNING.match(line) is not None
        if begun:
            yield line.encode() + b"\n"


def _texts(stream: BinaryIO) -> Iterator[bytes]:
    """The texts in the objects of a log with one on each line; lines that are none, as they are."""
    lines = io.TextIOWrapper(io.BufferedReader(_Joined(iter(lambda: stream.read(HEAD_BYTES), b""))), "utf-8", "replace")
    while line := lines.readline(LINE_CHARS):
        text = _text_in(line.encode())
        yield (line if text is None else text if text.endswith("\n") else f"{text}\n").encode("utf-8", "replace")


def _text_in(line: bytes) -> str | None:
    """The text in a line of such a log; None for another line."""
    if not line.startswith(b"{") or len(line) > LINE_CHARS:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    texts = (entry.get(name) for name in _JSON_TEXTS) if isinstance(entry, dict) else ()
    return next((text for text in texts if isinstance(text, str)), None)
