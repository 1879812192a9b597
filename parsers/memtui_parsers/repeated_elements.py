"""Elements that come again with the same bytes reach the XML parser once; then a short stand-in takes their place.

Nine tenths of a checker's XML are the frames of its stacks, and most of them were there before: to know one again by its bytes
costs a tenth of parsing it. The stand-in is a processing instruction, ``<?frame 12?>``, with the element's line ends after it, so
that line numbers stay those of the file.
"""

from __future__ import annotations

from collections.abc import Callable

# Real frames have 200 to 500 bytes. What is longer, or comes after the memory is full, is parsed each time.
MAX_ELEMENT_BYTES = 1 << 13
MAX_KEPT_BYTES = 32 << 20


class RepeatedElements:
    """Between the bytes and ``parse``. ``name``: the element, which has no attributes and nothing of its own kind inside."""

    def __init__(self, name: str, parse: Callable[[bytes], None]) -> None:
        self.name = name
        self._parse = parse
        self._opening, self._closing = f"<{name}>".encode(), f"</{name}>".encode()
        self._held = b""
        self._stand_ins: dict[bytes, bytes] = {}
        self._values: list[object] = []
        self._kept_bytes = 0
        self._made: list[object] = []

    def made(self, value: object) -> None:
        """The parser has come to an end tag of this name, and this is what the element became."""
        self._made.append(value)

    def value(self, number: str) -> object:
        """What the element became that this stand-in is for; None when it is for none."""
        if not (number.isdecimal() and number.isascii() and len(number) < 10):
            return None
        return self._values[int(number)] if int(number) < len(self._values) else None

    def feed(self, data: bytes) -> None:
        held = self._held + data
        opening, closing, known = self._opening, self._closing, self._stand_ins
        pieces: list[bytes] = []
        done = 0
        while True:
            start = held.find(opening, done)
            if start < 0:
                # The last bytes may be the beginning of an opening tag.
                start = max(done, len(held) - len(opening) + 1)
                break
            end = held.find(closing, start, start + MAX_ELEMENT_BYTES)
            if end < 0:
                if len(held) - start < MAX_ELEMENT_BYTES:
                    break
                end = start + len(opening)
                pieces.append(held[done:end])
                done = end
                continue
            end += len(closing)
            element = held[start:end]
            stand_in = known.get(element)
            pieces.append(held[done:start])
            if stand_in is not None:
                pieces.append(stand_in)
            else:
                self._parse(b"".join(pieces))
                pieces.clear()
                self._learn(element)
            done = end
        pieces.append(held[done:start])
        self._held = held[start:]
        self._parse(b"".join(pieces))

    def finish(self) -> None:
        held, self._held = self._held, b""
        self._parse(held)

    def _learn(self, element: bytes) -> None:
        self._made.clear()
        self._parse(element)
        # In a comment or a CDATA section it is no element, and with one of these inside it would be another there.
        if len(self._made) != 1 or b"<!" in element or b"<?" in element or self._made[0] is None:
            return
        self._kept_bytes += len(element) + 200
        if self._kept_bytes <= MAX_KEPT_BYTES:
            stand_in = f"<?{self.name} {len(self._values)}?>".encode() + b"\n" * element.count(b"\n")
            self._stand_ins[element] = stand_in
            self._values.append(self._made[0])
