"""Which colour a box has: the same for the same library or namespace, in every session. Pure; the theme has the colours."""

from __future__ import annotations

from enum import Enum
from zlib import crc32

from memtui.leaks.tree import ROOT, Node, Tree

HUES = 8
# As shares of a node's bytes: a change of less is drawn as none.
_SOME_CHANGE = 0.001


class Colouring(str, Enum):
    NAMESPACE = "namespace"
    LIBRARY = "library"
    CHANGE = "change"


def hue_of(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogateescape")) % HUES


def part_of(tree: Tree, node: Node, colouring: Colouring) -> str:
    """The part of the look that a box has: ``hue-3``, ``runtime``, ``root``, or ``grown``, ``shrunk``, ``same``."""
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
    # Programs without namespaces would be of one colour: there the function's own name decides.
    return f"hue-{hue_of(functions.namespace(node.function) or function.name.partition('(')[0])}"
