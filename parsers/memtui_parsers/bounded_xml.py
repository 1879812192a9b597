"""Expat over XML that nobody vouches for: what is not asked for is passed over, and memory stays bounded whatever comes.

Checkers escape no more than ``<``, ``>`` and ``&``: control characters and bytes that are no UTF-8, from a program's arguments or
its files' names, are replaced here before expat, which would refuse them. No document type is accepted, so no entity can grow.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.parsers import expat

from memtui_parsers.errors import EXCERPT_CHARS, ParseError
from memtui_parsers.repeated_elements import RepeatedElements

# Element by element what to read: an element with none inside gives its text, any other what its handler makes of it.
Grammar = Mapping[str, "Grammar"]
# What an element held, in order: name, value, name, value ... of its children.
Fields = list[Any]
Handlers = Mapping[str, Callable[[Fields], object]]

BLOCK_BYTES = 1 << 14
MAX_TOKEN_BYTES = 1 << 16
MAX_TEXT_CHARS = 1 << 14
MAX_DEPTH = 1000
MAX_FIELDS = 2048
# Expat remembers each name it has seen, and a checker's output has some fifty.
MAX_UNKNOWN_NAMES = 500

_CONTROLS = bytes.maketrans(bytes([*range(9), 11, 12, *range(14, 32), 127]), b"?" * 30)


class BoundedXml:
    """Feed it chunks of any size: the same bytes give the same calls, however they are cut.

    ``handlers`` turn an element that holds others into a value, which becomes a field of the element around it unless it is None.
    ``repeated`` is an element that comes again and again with the same text: its handler is called for the first of them alone.
    ``fields`` are those of the root so far. feed() and finish() raise ParseError at what is no XML, or not a ``root``.
    """

    def __init__(self, root: str, grammar: Grammar, handlers: Handlers, *, repeated: str) -> None:
        self.fields: Fields = []
        self.started = False
        self.lists_cut = 0
        self._root = root
        self._handlers = handlers
        self._grammar = grammar
        self._held = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._repeated = RepeatedElements(repeated, self._parse)
        self._parser = self._make_parser()
        self._parsed_bytes = 0
        self._piece = b""

    def feed(self, chunk: bytes) -> None:
        # Blocks begin at multiples of their size in the file, so that no bound depends on how the caller cuts it.
        self._held += chunk
        end = len(self._held) - len(self._held) % BLOCK_BYTES
        for start in range(0, end, BLOCK_BYTES):
            self._repeated.feed(self._readable(bytes(self._held[start : start + BLOCK_BYTES])))
        del self._held[:end]

    def finish(self) -> None:
        self._repeated.feed(self._readable(bytes(self._held), final=True))
        self._repeated.finish()
        self._parse(b"", final=True)

    def _readable(self, block: bytes, *, final: bool = False) -> bytes:
        block = block.translate(_CONTROLS)
        if block.isascii() and not self._decoder.getstate()[0]:
            return block
        text = self._decoder.decode(block, final)
        return text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd").encode()

    def _parse(self, piece: bytes, *, final: bool = False) -> None:
        if piece:
            self._piece = piece
        self._parsed_bytes += len(piece)
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as error:
            raise self._broken(error) from error
        if self._parsed_bytes - self._parser.CurrentByteIndex > MAX_TOKEN_BYTES and not final:
            raise ParseError("a tag without an end", line=self._parser.CurrentLineNumber, excerpt=piece)
        if len(self._parts) > 1:
            self._parts[:] = ["".join(self._parts)[:MAX_TEXT_CHARS]]

    def _broken(self, error: expat.ExpatError) -> ParseError:
        reason = expat.ErrorString(error.code) or "no XML"
        at = max(0, self._parser.ErrorByteIndex - (self._parsed_bytes - len(self._piece)))
        excerpt = self._piece[at : at + EXCERPT_CHARS].partition(b"\n")[0]
        return ParseError(reason if self.started else f"no XML: {reason}", line=error.lineno, excerpt=excerpt)

    def _make_parser(self) -> expat.XMLParserType:
        """The callbacks are closures: called for every tag, they cost half of what methods would."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        handlers, parts, repeated = self._handlers, self._parts, self._repeated
        where: Grammar = {self._root: self._grammar}
        around: list[tuple[Grammar, Fields]] = []
        fields: Fields = []
        unknown: set[str] = set()
        skipped = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal where, fields
            inner = where.get(name)
            if inner is None:
                skip(name, attributes)
                return
            if attributes:
                note_names(attributes)
            around.append((where, fields))
            where = inner
            if inner:
                fields = []
                if not self.started:
                    self.started, self.fields = True, fields
            parts.clear()

        def end(name: str) -> None:
            nonlocal where, fields
            value: object
            inner = where
            where, outer = around.pop()
            if inner:
                handler = handlers.get(name)
                value = handler(fields) if handler else None
                fields = outer
                if name == repeated.name:
                    repeated.made(value)
            else:
                value = "".join(parts)[:MAX_TEXT_CHARS]
                parts.clear()
            if value is not None:
                put(name, value)

        def again(target: str, data: str) -> None:
            """A stand-in that RepeatedElements wrote; a file that has one of its own names what it has shown before."""
            if not skipped and target == repeated.name and target in where:
                value = repeated.value(data)
                if value is not None:
                    put(target, value)

        def put(name: str, value: object) -> None:
            if len(fields) < MAX_FIELDS:
                fields.append(name)
                fields.append(value)
            else:
                self.lists_cut += 1

        def skip(name: str, attributes: dict[str, str]) -> None:
            nonlocal skipped
            if not self.started:
                line = parser.CurrentLineNumber
                raise ParseError(f"no <{self._root}>: the file begins with another element", line=line, excerpt=name)
            note_names((name, *attributes))
            skipped = 1
            parser.StartElementHandler, parser.EndElementHandler = skip_start, skip_end
            parser.CharacterDataHandler = None

        def skip_start(name: str, attributes: dict[str, str]) -> None:
            nonlocal skipped
            skipped += 1
            note_names((name, *attributes))
            if skipped > MAX_DEPTH:
                raise ParseError("elements nested too deep", line=parser.CurrentLineNumber, excerpt=name)

        def skip_end(_name: str) -> None:
            nonlocal skipped
            skipped -= 1
            if not skipped:
                wake()

        def note_names(names: Iterable[str]) -> None:
            unknown.update(names)
            if len(unknown) > MAX_UNKNOWN_NAMES:
                raise ParseError("too many unknown names", line=parser.CurrentLineNumber)

        def wake() -> None:
            parser.StartElementHandler, parser.EndElementHandler = start, end
            parser.CharacterDataHandler = parts.append

        def refuse(*_: object) -> None:
            raise ParseError("a document type, which could declare entities without end", line=parser.CurrentLineNumber)

        parser.StartDoctypeDeclHandler = refuse
        parser.EntityDeclHandler = refuse
        parser.ProcessingInstructionHandler = again
        wake()
        return parser
