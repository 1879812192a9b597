"""The icicle's rows as pieces of text: coloured boxes with labels, or outlined ones where there is no colour. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple
from zlib import crc32

from rich.cells import cell_len, set_cell_size

from memtui.display.glyphs import Glyphs
from memtui.reports.icicle import HALVES, Box, Icicle
from memtui.reports.names import shorten
from memtui.reports.search import SearchResult
from memtui.reports.tree import ROOT, Node, Tree
from memtui.viewer.widgets.line import Piece, fit

HUES = 8
# As shares of a node's bytes: a change of less is drawn as none.
_SOME_CHANGE = 0.001


class Colouring(str, Enum):
    """What the colour of a box stands for."""

    NAMESPACE = "namespace"
    LIBRARY = "library"
    CHANGE = "change"


def hue_of(name: str) -> int:
    """Return the number of a name's colour, the same in every session."""
    return crc32(name.encode("utf-8", "surrogateescape")) % HUES


def part_of(tree: Tree, node: Node, colouring: Colouring) -> str:
    """Return the ink of a node: ``hue-3``, ``runtime``, ``root``, or ``grown``, ``shrunk``, ``same``."""
    if node.function == ROOT:
        return "root"
    if colouring is Colouring.CHANGE:
        if abs(node.delta_bytes) <= _SOME_CHANGE * node.size_bytes:
            return "same"
        return "grown" if node.delta_bytes > 0 else "shrunk"
    if tree.is_library(node):
        return "runtime"
    functions = tree.table.functions
    function = functions.all[node.function]
    if colouring is Colouring.LIBRARY:
        return f"hue-{hue_of(function.module)}"
    # Programs without namespaces would have one colour: there the function's own name decides.
    return f"hue-{hue_of(functions.namespace(node.function) or function.name.partition('(')[0])}"


# A label of fewer cells than this says nothing.
_LABEL_LEAST = 3


class Lighting(NamedTuple):
    """How boxes are drawn: the (row, index) of the ``selected`` one, and the ``search`` whose functions are highlighted.

    ``outlined``: without colours.
    """

    colouring: Colouring = Colouring.NAMESPACE
    selected: tuple[int, int] | None = None
    search: SearchResult = SearchResult("")
    outlined: bool = False


def box_part(shown: Icicle, row: int, index: int, lighting: Lighting) -> str:
    """Return the ink of a box."""
    box = shown.rows[row][index]
    if (row, index) == lighting.selected:
        return "selected"
    if box.merged:
        return "merged"
    if lighting.search.text and not lighting.search.error:
        return "match" if any(node.function in lighting.search.functions for node in box.nodes) else "dim"
    return part_of(shown.tree, box.node, lighting.colouring)


def row_pieces(shown: Icicle, row: int, lighting: Lighting, glyphs: Glyphs) -> list[Piece]:
    """Return one row of boxes, exactly ``shown.columns`` cells. An ink ``…-edge`` has the box's colour as foreground."""
    draw: Callable[[Box, str, str, Glyphs], list[Piece]] = _outlined if lighting.outlined else _filled
    pieces: list[Piece] = []
    at = 0
    for index, box in enumerate(shown.rows[row]):
        first, end = _cells(box, outlined=lighting.outlined)
        if end <= first:
            continue
        if first > at:
            pieces.append((" " * (first - at), ""))
        pieces += draw(box, label(shown, box), box_part(shown, row, index, lighting), glyphs)
        at = end
    if at < shown.columns:
        pieces.append((" " * (shown.columns - at), ""))
    return pieces


def label(shown: Icicle, box: Box) -> str:
    """Return the text of a box, which may be longer than the box."""
    if box.merged:
        return f"… {box.merged} more"
    if box.folded > 1:
        return f"… {box.folded} runtime frames"
    return shown.tree.name(box.node)


def _cells(box: Box, *, outlined: bool) -> tuple[int, int]:
    """Return the cells that a box touches, [first, end)."""
    if outlined:
        return (box.start + 1) // HALVES, (box.end + 1) // HALVES
    # The last half cell is the gap.
    return box.start // HALVES, box.end // HALVES


def _filled(box: Box, text: str, part: str, glyphs: Glyphs) -> list[Piece]:
    left, right = box.start % HALVES, (box.end - 1) % HALVES
    first, end = _cells(box, outlined=False)
    whole = end - first - left - right
    pieces: list[Piece] = []
    if left:
        pieces.append(("▐", f"{part}-edge"))
    if whole > 0:
        pieces.append((_label(text, whole, glyphs), part))
    if right and end - first - left > 0:
        pieces.append(("▌", f"{part}-edge"))
    return pieces


def _outlined(box: Box, text: str, part: str, glyphs: Glyphs) -> list[Piece]:
    first, end = _cells(box, outlined=True)
    edge = {"selected": glyphs.cursor, "match": "*"}.get(part, glyphs.box_edge)
    shown = _label(text, end - first - 1, glyphs).rstrip()
    fill = "=" if part == "selected" else glyphs.box_fill
    return [(edge + shown + fill * (end - first - 1 - cell_len(shown)), part)]


def _label(name: str, width: int, glyphs: Glyphs) -> str:
    """Return the longest form of a name that fits, in exactly ``width`` cells; empty where hardly a letter would fit."""
    if width < _LABEL_LEAST:
        return " " * max(width, 0)
    room = width - 1
    return set_cell_size(
        f"{'' if width < 6 else ' '}{fit(glyphs.plain(shorten(name, room)), room, glyphs.ellipsis)}", width
    )
