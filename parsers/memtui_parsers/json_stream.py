"""Reads a JSON object from a stream, its long lists item by item, so that only one item has to fit into memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from memtui_parsers.errors import ParseError

CHUNK_BYTES = 1 << 16
MAX_VALUE_CHARS = 4 << 20
_SPACES = " \t\r\n"
_WORDS = ("null", "true", "false", "-")


class EndsEarlyError(ParseError):
    """The text ends in the middle of a value."""


class JsonStream:
    """Where in ``stream`` one is. Every method raises ParseError: EndsEarlyError when there is no more of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; whoever iterates reads the value of each with value() or items()."""
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
        """The items of the list that begins here."""
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._expect(",]") == "]":
                return

    def value(self) -> Any:
        """The whole value that begins here, of at most 4 MiB."""
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                # It may be cut by the end of what was read so far; when it is not, more text does not mend it.
                if isinstance(error, RecursionError) or not self._more():
                    raise self._wrong(error) from error
                continue
            # A number may go on behind the end.
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def end(self) -> None:
        """Nothing but spaces may follow."""
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
        cut = "nterminated" in error.msg or any(word.startswith(rest) for word in _WORDS)
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
        found = self._peek()
        if found not in one_of:
            raise self.error(f"{' or '.join(one_of)} expected")
        self._at += 1
        return found

    def _more(self) -> bool:
        """Twice as much text as is held, without what is behind; False when there is no more, or too much already."""
        held = len(self._text) - self._at
        if self._ended or held > MAX_VALUE_CHARS:
            return False
        # Twice as much each time, or a long value would be decoded from its beginning again and again.
        chunk = self._read(max(CHUNK_BYTES, held))
        try:
            fresh = self._decoder.decode(chunk, self._ended)
        except UnicodeDecodeError as error:
            raise ParseError("no UTF-8", line=self._line + self._text.count("\n"), excerpt=chunk[:80]) from error
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + fresh, 0
        return True

    def _read(self, size: int) -> bytes:
        """So many bytes, or all there are: a stream may give less at a time."""
        pieces = []
        while size > 0:
            piece = self._stream.read(size)
            if not piece:
                self._ended = True
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)
