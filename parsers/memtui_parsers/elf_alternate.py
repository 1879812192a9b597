"""Where a file says that dwz moved what it shares with others (.gnu_debugaltlink, or .debug_sup of DWARF 5)."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from memtui_parsers.dwarf_forms import uleb
from memtui_parsers.elf_image import ElfImage, read_at
from memtui_parsers.errors import ParseError

MAX_LINK_BYTES = 8192


class AlternateLink(NamedTuple):
    """``name`` is a path, relative to the file's own folder; ``build_id`` is hex."""

    name: str
    build_id: str


def alternate_link(stream: BinaryIO, image: ElfImage) -> AlternateLink | None:
    """None for a file that dwz has not shared anything of. Raises ParseError when the stream cannot be read."""
    section = image.section(".gnu_debugaltlink", ".debug_sup")
    if section is None:
        return None
    data = read_at(stream, section.offset, min(section.size, MAX_LINK_BYTES))
    standard = section.name == ".debug_sup"
    # Version, and whether it is that other file itself.
    if standard and (len(data) < 3 or data[2]):
        return None
    name, end, rest = data[3 if standard else 0 :].partition(b"\0")
    if not name or not end:
        return None
    if standard:
        try:
            size, at = uleb(rest, 0)
        except ParseError:
            return None
        rest = rest[at : at + size]
    return AlternateLink(name.decode("utf-8", "surrogateescape"), rest.hex())
