"""Reads a JSON object from a stream, its long lists item by item, so that only one item is in memory.

The standard library's json decodes the values, but it cannot read from a stream, so the ends of values are found here.
Decoded as one document, a report of 20,000 leaks with 20 frames each (73 MB) takes 230 MB beside its text; 500,000
leaks are allowed.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from memtui_parsers.errors import ParseError

CHUNK_BYTES = 1 << 16
MAX_VALUE_CHARS = 4 << 20
_SPACES = " \t\r\n"
_LITERAL_STARTS = ("null", "true", "false", "-")


class EndsEarlyError(ParseError):
    """The text ends in the middle of a value."""


class JsonStream:
    """A position in ``stream``. Every method raises ParseError: EndsEarlyError where the stream ends too early."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that begins here; the caller reads the value of each with value() or items()."""
        self._expect("{")
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self.error("a name expected")
            self._expect(":")
            yield key
            if self._expect(",}") == "}":
                return

    def items(self) -> Iterator[Any]:
        """Yield the items of the list that begins here."""
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._expect(",]") == "]":
                return

    def value(self) -> Any:
        """Return the value that begins here, of at most 4 MiB."""
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                # The end of what was read so far may cut the value; else more text makes no difference.
                if isinstance(error, RecursionError) or not self._more():
                    raise self._wrong(error) from error
                continue
            # More digits of a number may follow.
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def end(self) -> None:
        """Raise ParseError where more than spaces follows."""
        try:
            self._peek()
        except EndsEarlyError:
            return
        raise self.error("more text after the end")

    def error(self, reason: str, at: int | None = None) -> ParseError:
        at = self._at if at is None else at
        return ParseError(reason, line=self._line + self._text.count("\n", 0, at), excerpt=self._text[at : at + 80])

    def _wrong(self, error: json.JSONDecodeError | RecursionError) -> ParseError:
        if isinstance(error, RecursionError):
            return self.error("lists nested too deep")
        rest = self._text[error.pos :].rstrip()
        cut = "nterminated" in error.msg or any(word.startswith(rest) for word in _LITERAL_STARTS)
        if self._ended and cut:
            return EndsEarlyError("the file ends in the middle", line=self._line + self._text.count("\n"))
        if len(self._text) - self._at > MAX_VALUE_CHARS:
            return self.error("a value without an end, or one of more than 4 MiB")
        return self.error(error.msg, error.pos)

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACES:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise EndsEarlyError("the file ends in the middle", line=self._line + self._text.count("\n"))

    def _expect(self, one_of: str) -> str:
        character = self._peek()
        if character not in one_of:
            raise self.error(f"{' or '.join(one_of)} expected")
        self._at += 1
        return character

    def _more(self) -> bool:
        """Read as much text as is pending, and drop the consumed text; False at the end, or with too much pending."""
        pending = len(self._text) - self._at
        if self._ended or pending > MAX_VALUE_CHARS:
            return False
        # Twice as much text each time, as a long value is decoded from its beginning each time.
        size = max(CHUNK_BYTES, pending)
        chunk = read_up_to(self._stream, size)
        self._ended = len(chunk) < size
        try:
            more = self._decoder.decode(chunk, self._ended)
        except UnicodeDecodeError as error:
            raise ParseError("no UTF-8", line=self._line + self._text.count("\n"), excerpt=chunk[:80]) from error
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + more, 0
        return True


def read_up_to(stream: BinaryIO, size: int) -> bytes:
    """Return ``size`` bytes, or all there are: one read() of a stream may return fewer."""
    pieces = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
