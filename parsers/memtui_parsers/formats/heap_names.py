"""Reads the names that some heap profiles in text bring along, so that no binary is needed to name their addresses.

A symbolized profile (``pprof --raw``, ``jeprof --raw`` of a server; ClickHouse, brpc and Doris write it themselves) begins with
``--- symbol``, lines ``0xADDRESS NAME`` (``--`` joins the calls inlined there, the outermost first) and ``---``, then says
``--- heap`` or the like. Go's profiles (``?debug=1``) have a line ``# 0xADDRESS NAME+OFFSET FILE:LINE`` for each call of a stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from memtui_parsers.clean_text import clean
from memtui_parsers.elf.demangle import is_mangled
from memtui_parsers.errors import ParseError
from memtui_parsers.values import Frame

# Bounds against hostile files, far above what profilers write.
MAX_NAMES = 500_000
MAX_CHARS = 64_000_000
MAX_NAME_CHARS = 4096
MAX_INLINED = 128

_SYMBOL_SECTION = re.compile(rb"---\s*symbol\s*")
_SECTION_END = re.compile(rb"---\s*")
_PROFILE_SECTION = re.compile(rb"---\s*\w{1,40}\s*")
_SECTION_BYTES = 100
_SYMBOL = re.compile(rb"0x([0-9a-fA-F]{1,16})\s+(\S.*?)\s*", re.DOTALL)
_GO_CALL = re.compile(
    rb"#[ \t]+0x([0-9a-f]{1,16})(?:[ \t]+(\S.*?)\+0x[0-9a-f]{1,16}[ \t]+(\S.*):(\d{1,9}))?\s*", re.DOTALL
)
# jeprof makes the names of static functions unique by their addresses.
_UNIQUE = re.compile(r"<[0-9a-f]{8,16}>$")


# Each line with its number, and whether it has an end.
NumberedLines = Iterator[tuple[int, tuple[bytes, bool]]]


class HeapNames:
    """Names by address. ``beyond`` counts those that there was no room for."""

    def __init__(self) -> None:
        self.beyond = 0
        self._calls: dict[int, list[tuple[str, str, int]]] = {}  # (name, file, line), the innermost first
        self._of_go: list[int] = []
        self._chars = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take_symbol(self, line: bytes) -> bool:
        """Take a line of a symbol section; return False for any other, such as ``binary=PATH``."""
        matched = _SYMBOL.fullmatch(line)
        if matched is None:
            return False
        names = (_UNIQUE.sub("", name) for name in reversed(_text(matched[2]).split("--")[-MAX_INLINED:]))
        self._add(int(matched[1], 16), [(name, "", 0) for name in names if name.strip("?")])
        return True

    def take_comment(self, line: bytes) -> bool:
        """Take a line that begins with ``#``, of which Go writes one for each call; return False for any other."""
        if not line.startswith(b"#"):
            return False
        matched = _GO_CALL.fullmatch(line)
        if matched is None:
            self._of_go.clear()
            return True
        address = int(matched[1], 16)
        if matched[2] and (address not in self._calls or self._of_go[-1:] == [address]):
            # Calls at the address of the line before are inlined there; a stack that comes again says nothing new.
            self._add(address, [(_text(matched[2]), _text(matched[3]), int(matched[4]))])
            self._of_go.append(address)
        return True

    def end_of_stack(self) -> None:
        """Another stack begins: what is said of the same address again is no inlined call."""
        self._of_go.clear()

    def at(self, addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
        """Return the calls at those of these return addresses that have names, the innermost first.

        Profilers look names up one byte before a return address, where the call is, and mostly write that address.
        """
        named = {}
        for address in addresses:
            calls = self._calls.get(address - 1) or self._calls.get(address)
            if calls:
                named[address] = tuple(
                    Frame(
                        address,
                        function=None if is_mangled(name) else name,
                        linkage_name=name if is_mangled(name) else None,
                        file=file or None,
                        line=line or None,
                        inlined=depth < len(calls),
                    )
                    for depth, (name, file, line) in enumerate(calls, start=1)
                )
        return named

    def _add(self, address: int, calls: list[tuple[str, str, int]]) -> None:
        known = self._calls.get(address, [])
        chars = sum(len(name) + len(file) for name, file, _ in calls)
        if len(self._calls) >= MAX_NAMES or self._chars + chars > MAX_CHARS or len(known) >= MAX_INLINED:
            self.beyond += 1
        elif calls:
            self._chars += chars
            self._calls[address] = known + calls


def past_symbols(lines: NumberedLines, names: HeapNames, is_heap: Callable[[bytes], bool]) -> NumberedLines:
    """Read the names in front of a symbolized profile into ``names``, if there are any; return the profile's own lines.

    Raises ParseError for a symbolized profile whose first line is not ``is_heap``, such as one of CPU time.
    """
    for number, (line, whole) in lines:
        if not line.strip() or line.startswith(b"%"):
            continue
        if not _SYMBOL_SECTION.fullmatch(line[:_SECTION_BYTES]):
            return chain([(number, (line, whole))], lines)
        for _, (symbol, _) in lines:
            if _SECTION_END.fullmatch(symbol[:_SECTION_BYTES]):
                break
            names.take_symbol(symbol)
        for number, (line, whole) in lines:
            if line.strip() and not _PROFILE_SECTION.fullmatch(line[:_SECTION_BYTES]):
                if not is_heap(line):
                    raise ParseError("a symbolized profile, but not of a heap in text", line=number, excerpt=line)
                return chain([(number, (line, whole))], lines)
        raise ParseError("a symbolized profile that ends before its figures")
    return lines


def _text(raw: bytes) -> str:
    return clean(raw.decode("utf-8", "replace"), MAX_NAME_CHARS)
