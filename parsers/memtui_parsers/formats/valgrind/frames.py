"""Frames as valgrind's tools write them in a text: ``0x109470: main (losses.c:15)`` (describe_IP in coregrind/m_debuginfo).

The address is that of the byte before the return address. With ``(in /path)`` the module is named, with a file it is not.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from memtui_parsers.formats.stack_table import BEYOND, StackTable, physical_steps

_FRAME = re.compile(r"\s*0x([0-9A-Fa-f]{1,16}): (.*)", re.DOTALL)
# DHAT's format is also written by the crate dhat, with a column behind the line.
_PLACE = re.compile(
    r"(?P<name>.*?) \((?:in (?P<module>.*)|(?P<file>[^():]+(?:\([^()]*\)[^():]*)?):(?P<line>\d{1,9})(?::\d{1,9})?)\)"
)
_UNKNOWN = "???"
# Where valgrind's own malloc is, by its source and by its library.
_OWN_SOURCE, _OWN_LIBRARY = "vg_replace_malloc.c", "vgpreload_"


class Frames:
    """The frames of a text, each kept once in ``table``."""

    def __init__(self, table: StackTable) -> None:
        self.table = table
        self._numbers: dict[str, int] = {}
        self._addresses: dict[int, int] = {}

    def number(self, text: str) -> int | None:
        """Return the number of a frame; None for a text that is none."""
        number = self._numbers.get(text)
        if number is None:
            matched = _FRAME.fullmatch(text)
            if matched is None:
                return None
            address = int(matched[1], 16)
            number = self._add(address, matched[2])
            if number != BEYOND:
                self._numbers[text] = number
                self._addresses[number] = address
        return number

    def steps(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Return the steps with the inlined calls marked."""
        addresses = [self._addresses.get(n, -1) for n in numbers]
        return tuple(physical_steps(numbers, addresses, self.table))

    def _add(self, address: int, text: str) -> int:
        # The last bracket first: without it each place where a bracket opens would be tried to the end of the line.
        place = _PLACE.fullmatch(text) if text.endswith(")") else None
        name = place["name"] if place else text
        module = (place["module"] if place else None) or ""
        file = (place["file"] if place else None) or ""
        own = _OWN_LIBRARY in posixpath.basename(module) or posixpath.basename(file) == _OWN_SOURCE
        return self.table.frame(
            min(address + 1, (1 << 64) - 1),
            module=module,
            function="" if name == _UNKNOWN else name,
            file=file,
            line=int(place["line"]) if place and place["line"] else None,
            allocator=own,
        )
