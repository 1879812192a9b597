"""Reads XML from an untrusted file with expat: only the elements of a grammar, in bounded memory.

Checkers escape only ``<``, ``>`` and ``&``. Control characters and bytes that are not UTF-8, which come from a
program's arguments or file names, are replaced here because expat refuses them. A document type is refused, so that no
entity can grow.

An element that is repeated with the same bytes is parsed once; after that a short stand-in takes its place. Nine tenths
of a checker's XML are the frames of its stacks, most of them seen before, and to find one by its bytes costs a tenth of
parsing it. The stand-in is a processing instruction, ``<?frame 12?>``, followed by the element's line ends, so that
line numbers stay right.

It is our own code around expat because xml.etree's iterparse builds every element and has no bound on depth, names or
text; lxml is no faster. For 169 MB it takes 2.7 s of CPU here, 3.4 s with ElementTree (tests/benchmarks).
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.parsers import expat

from memtui_parsers.errors import EXCERPT_CHARS, ParseError

# The elements to read, by name: an element with an empty grammar gives its text, any other what its handler returns.
Grammar = Mapping[str, "Grammar"]
# The children of an element in order: name, value, name, value ...
Fields = list[Any]
Handlers = Mapping[str, Callable[[Fields], object]]

BLOCK_BYTES = 1 << 14
MAX_TOKEN_BYTES = 1 << 16
MAX_TEXT_CHARS = 1 << 14
MAX_DEPTH = 1000
MAX_FIELDS = 2048
# Expat remembers each name it has seen, and a checker's output has some fifty.
MAX_UNKNOWN_NAMES = 500
# Real frames have 200 to 500 bytes. A longer element, or one that comes when the memory is full, is parsed each time.
MAX_REPEATED_BYTES = 1 << 13
MAX_KEPT_BYTES = 32 << 20

_CONTROLS = bytes.maketrans(bytes([*range(9), 11, 12, *range(14, 32), 127]), b"?" * 30)


class BoundedXml:
    """Parses a document that comes in chunks of any size; how it is cut changes nothing.

    A handler turns an element that contains others into a value, which becomes a field of the parent element unless it
    is None. ``repeated`` names an element that comes again and again with the same text: its handler is called once for
    equal ones. ``fields`` are the root's so far. feed() and finish() raise ParseError for text that is no XML, or has
    another root.
    """

    def __init__(self, root: str, grammar: Grammar, handlers: Handlers, *, repeated: str) -> None:
        self.fields: Fields = []
        self.started = False
        self.values_left_out = 0
        self._root = root
        self._handlers = handlers
        self._grammar = grammar
        self._pending = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._repeated = _RepeatedElements(repeated, self._parse)
        self._parser = self._make_parser()
        self._parsed_bytes = 0
        self._piece = b""

    def feed(self, chunk: bytes) -> None:
        # Blocks begin at multiples of their size in the file, so that no bound depends on how the caller cuts it.
        self._pending += chunk
        end = len(self._pending) - len(self._pending) % BLOCK_BYTES
        for start in range(0, end, BLOCK_BYTES):
            self._repeated.feed(self._readable(bytes(self._pending[start : start + BLOCK_BYTES])))
        del self._pending[:end]

    def finish(self) -> None:
        self._repeated.feed(self._readable(bytes(self._pending), final=True))
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
        """The callbacks are closures: they are called for every tag, and cost half of what methods do."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        handlers, parts, repeated = self._handlers, self._parts, self._repeated
        grammar: Grammar = {self._root: self._grammar}
        parents: list[tuple[Grammar, Fields]] = []
        fields: Fields = []
        unknown: set[str] = set()
        skipped = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal grammar, fields
            inner = grammar.get(name)
            if inner is None:
                skip(name, attributes)
                return
            if attributes:
                note_names(attributes)
            parents.append((grammar, fields))
            grammar = inner
            if inner:
                fields = []
                if not self.started:
                    self.started, self.fields = True, fields
            parts.clear()

        def end(name: str) -> None:
            nonlocal grammar, fields
            value: object
            inner = grammar
            grammar, outer = parents.pop()
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

        def stand_in(target: str, data: str) -> None:
            """Handle a stand-in. One that the file itself contains can only name an element of the file."""
            if not skipped and target == repeated.name and target in grammar:
                value = repeated.value(data)
                if value is not None:
                    put(target, value)

        def put(name: str, value: object) -> None:
            if len(fields) < MAX_FIELDS:
                fields.append(name)
                fields.append(value)
            else:
                self.values_left_out += 1

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
                read_elements()

        def note_names(names: Iterable[str]) -> None:
            unknown.update(names)
            if len(unknown) > MAX_UNKNOWN_NAMES:
                raise ParseError("too many unknown names", line=parser.CurrentLineNumber)

        def read_elements() -> None:
            parser.StartElementHandler, parser.EndElementHandler = start, end
            parser.CharacterDataHandler = parts.append

        def refuse(*_: object) -> None:
            raise ParseError("a document type, which could declare entities without end", line=parser.CurrentLineNumber)

        parser.StartDoctypeDeclHandler = refuse
        parser.EntityDeclHandler = refuse
        parser.ProcessingInstructionHandler = stand_in
        read_elements()
        return parser


class _RepeatedElements:
    """Replaces repeated elements by stand-ins, before ``parse`` gets the bytes.

    ``name`` is the element's, which has no attributes and contains no element of the same name.
    """

    def __init__(self, name: str, parse: Callable[[bytes], None]) -> None:
        self.name = name
        self._parse = parse
        self._opening, self._closing = f"<{name}>".encode(), f"</{name}>".encode()
        self._pending = b""
        self._stand_ins: dict[bytes, bytes] = {}
        self._values: list[object] = []
        self._kept_bytes = 0
        self._made: list[object] = []

    def made(self, value: object) -> None:
        """Note ``value``, which the parser made of an element of this name."""
        self._made.append(value)

    def value(self, number: str) -> object:
        """The value of the element that the stand-in with this number is for; None for an unknown number."""
        if not (number.isdecimal() and number.isascii() and len(number) < 10):
            return None
        return self._values[int(number)] if int(number) < len(self._values) else None

    def feed(self, data: bytes) -> None:
        pending = self._pending + data
        opening, closing = self._opening, self._closing
        pieces: list[bytes] = []
        done = 0
        while True:
            start = pending.find(opening, done)
            if start < 0:
                # The last bytes may be the beginning of an opening tag.
                start = max(done, len(pending) - len(opening) + 1)
                break
            end = pending.find(closing, start, start + MAX_REPEATED_BYTES)
            if end < 0:
                if len(pending) - start < MAX_REPEATED_BYTES:
                    break
                end = start + len(opening)
                pieces.append(pending[done:end])
                done = end
                continue
            end += len(closing)
            element = pending[start:end]
            stand_in = self._stand_ins.get(element)
            pieces.append(pending[done:start])
            if stand_in is not None:
                pieces.append(stand_in)
            else:
                self._parse(b"".join(pieces))
                pieces.clear()
                self._learn(element)
            done = end
        pieces.append(pending[done:start])
        self._pending = pending[start:]
        self._parse(b"".join(pieces))

    def finish(self) -> None:
        pending, self._pending = self._pending, b""
        self._parse(pending)

    def _learn(self, element: bytes) -> None:
        self._made.clear()
        self._parse(element)
        # In a comment or a CDATA section the bytes are no element; an element that contains one may read differently.
        if len(self._made) != 1 or b"<!" in element or b"<?" in element or self._made[0] is None:
            return
        self._kept_bytes += len(element) + 200
        if self._kept_bytes <= MAX_KEPT_BYTES:
            stand_in = f"<?{self.name} {len(self._values)}?>".encode() + b"\n" * element.count(b"\n")
            self._stand_ins[element] = stand_in
            self._values.append(self._made[0])
