"""The icicle's rows as pieces of text: coloured boxes with labels, or outlined ones where there is no colour. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from memtui.leaks.columns import Piece
from memtui.leaks.icicle import HALVES, Box, Icicle
from memtui.leaks.look import Look
from memtui.leaks.names import shorten
from memtui.leaks.palette import Colouring, part_of
from memtui.leaks.search import Found

# A label of fewer cells than this says nothing.
_LABEL_LEAST = 3


class Lighting(NamedTuple):
    """``selected``: (row, index) of the box in hand. ``outlined``: no colour tells boxes apart."""

    colouring: Colouring = Colouring.NAMESPACE
    selected: tuple[int, int] | None = None
    found: Found = Found("")
    outlined: bool = False


def box_part(shown: Icicle, row: int, index: int, lighting: Lighting) -> str:
    """The part of the look that a box has."""
    box = shown.rows[row][index]
    if (row, index) == lighting.selected:
        return "selected"
    if box.merged:
        return "merged"
    if lighting.found.text and not lighting.found.error:
        inside = box.node.path()[-box.folded :] if box.folded > 1 else [box.node]
        return "match" if any(node.function in lighting.found.functions for node in inside) else "dim"
    return part_of(shown.tree, box.node, lighting.colouring)


def row_pieces(shown: Icicle, row: int, lighting: Lighting, look: Look) -> list[Piece]:
    """One row of boxes, exactly ``shown.columns`` cells. A part that ends in ``-edge`` is drawn in a box's colour on the ground."""
    draw: Callable[[Box, str, str, Look], list[Piece]] = _outlined if lighting.outlined else _filled
    pieces: list[Piece] = []
    at = 0
    for index, box in enumerate(shown.rows[row]):
        first, end = _cells(box, outlined=lighting.outlined)
        if end <= first:
            continue
        if first > at:
            pieces.append((" " * (first - at), ""))
        pieces += draw(box, label(shown, box), box_part(shown, row, index, lighting), look)
        at = end
    if at < shown.columns:
        pieces.append((" " * (shown.columns - at), ""))
    return pieces


def label(shown: Icicle, box: Box) -> str:
    if box.merged:
        return f"… {box.merged} more"
    if box.folded > 1:
        return f"… {box.folded} runtime frames"
    return shown.tree.name(box.node)


def _cells(box: Box, *, outlined: bool) -> tuple[int, int]:
    """The cells that a box takes part in, [first, end)."""
    if outlined:
        return (box.start + 1) // HALVES, (box.end + 1) // HALVES
    # The last half cell is the gap.
    return box.start // HALVES, box.end // HALVES


def _filled(box: Box, words: str, part: str, look: Look) -> list[Piece]:
    left, right = box.start % HALVES, (box.end - 1) % HALVES
    first, end = _cells(box, outlined=False)
    whole = end - first - left - right
    pieces: list[Piece] = []
    if left:
        pieces.append(("▐", f"{part}-edge"))
    if whole > 0:
        pieces.append((_label(words, whole, look), part))
    if right and end - first - left > 0:
        pieces.append(("▌", f"{part}-edge"))
    return pieces


def _outlined(box: Box, words: str, part: str, look: Look) -> list[Piece]:
    first, end = _cells(box, outlined=True)
    edge = {"selected": look.cursor, "match": "*"}.get(part, "|" if look.ascii else "▏")
    shown = _label(words, end - first - 1, look).rstrip()
    fill = "=" if part == "selected" else ("-" if look.ascii else "╌")
    return [(edge + shown + fill * (end - first - 1 - cell_len(shown)), part)]


def _label(words: str, width: int, look: Look) -> str:
    """The fullest form of a name that fits, in exactly ``width`` cells; none where hardly a letter would."""
    if width < _LABEL_LEAST:
        return " " * max(width, 0)
    room = width - 1
    return set_cell_size(f"{'' if width < 6 else ' '}{look.cut(look.text(shorten(words, room)), room)}", width)
