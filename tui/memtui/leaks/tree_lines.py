"""A tree's rows as pieces of text in columns. Pure; the widget only adds colours."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from memtui.figures import percent, prose
from memtui.leaks.changes import signed
from memtui.leaks.columns import Piece, padded
from memtui.leaks.look import Look
from memtui.leaks.model import Order
from memtui.leaks.names import base_name, shorten
from memtui.leaks.tree import HERE, Node, Tree, TreeRows
from memtui_parsers.clean_text import clean
from memtui_parsers.values import LeakKind

_BYTES, _DELTA, _GAP = 9, 10, 2
_FUNCTION_WISHED = 24
# Deeper levels than fit in this part of the function's column are told by their number.
_INDENT_PART = 2
_INLINED = " inlined"


@dataclass(frozen=True, slots=True)
class TreeColumns:
    """Widths in cells, 0 for what is not shown; the cursor's cell comes first, one stays free at the end."""

    width: int
    percent: int
    bar: int
    delta: int
    objects: int
    function: int
    location: int


def tree_columns(tree: Tree, width: int) -> TreeColumns:
    comparing = tree.table.difference is not None
    wanted = {
        "location": min(max(tree.table.widest_location, 8), 15 if width < 96 else 24),
        "objects": max(7, len(f"{max(tree.table.total_objects, 0):,}")),
        "bar": 7 if width < 110 else 12,
        "percent": 7,
        "delta": _DELTA if comparing else 0,
    }
    for least in ("percent", "bar", "objects", "location", "delta"):
        if _room(width, wanted) < _FUNCTION_WISHED:
            wanted[least] = 0
    return TreeColumns(width=width, function=max(0, _room(width, wanted)), **wanted)


def _room(width: int, others: dict[str, int]) -> int:
    return width - 2 - _BYTES - _GAP - sum(other + _GAP for other in others.values() if other)


def tree_header(tree: Tree, layout: TreeColumns, look: Look) -> list[Piece]:
    mark = look.sorted_by
    by_name = tree.order in (Order.FUNCTION, Order.LOCATION)
    by_bytes = not by_name and tree.order not in (Order.OBJECTS, Order.AVERAGE, Order.CHANGE)
    words = " " + "BYTES".rjust(_BYTES) + (mark if by_bytes else " ").ljust(_GAP)
    titles = (
        ("SHARE".rjust(layout.percent), layout.percent),
        (("" if layout.percent else "SHARE").ljust(layout.bar), layout.bar),
        (look.text("±").rjust(layout.delta), layout.delta),
        ("OBJECTS".rjust(layout.objects), layout.objects),
    )
    for title, width in titles:
        if width:
            marked = (title.strip() == "OBJECTS" and tree.order in (Order.OBJECTS, Order.AVERAGE)) or (
                title.strip() == look.text("±") and tree.order is Order.CHANGE
            )
            words += title + (mark if marked else " ").ljust(_GAP)
    words += f"{tree.direction.value.upper()}{mark if by_name else ''}".ljust(layout.function)
    if layout.location:
        words += " " * _GAP + "LOCATION".rjust(layout.location)
    return [(words[: layout.width].ljust(layout.width), "header")]


def tree_row(rows: TreeRows, row: int, layout: TreeColumns, look: Look, *, cursor: bool) -> list[Piece]:
    """One row, exactly ``layout.width`` cells."""
    tree, node = rows.tree, rows.rows[row]
    total = tree.table.total_bytes
    share = node.size_bytes / total if total > 0 else 0.0
    gap: Piece = (" " * _GAP, "")
    pieces: list[Piece] = [(look.cursor if cursor else " ", "mark"), (prose(node.size_bytes).rjust(_BYTES), "bytes")]
    pieces.append(gap)
    if layout.percent:
        pieces += [(percent(share).rjust(layout.percent), "share"), gap]
    if layout.bar:
        bar = look.bar(share, layout.bar)
        pieces += [(bar, "bar"), (" " * (layout.bar - len(bar) + _GAP), "")]
    if layout.delta:
        change = "grown" if node.delta_bytes > 0 else "shrunk" if node.delta_bytes < 0 else "same"
        words = "=" if node.delta_bytes == 0 else signed(node.delta_bytes)
        pieces += [(words.rjust(layout.delta), change), gap]
    if layout.objects:
        pieces += [(look.count(node.objects).rjust(layout.objects), "objects"), gap]
    pieces += _function(rows, node, layout.function, look)
    if layout.location:
        where = look.text(location(tree, node))
        where = where if cell_len(where) <= layout.location else _ending(where, layout.location, look)
        pieces += [gap, (" " * max(0, layout.location - cell_len(where)) + where, "location")]
    pieces.append((" " * (layout.width - sum(cell_len(text) for text, _ in pieces)), ""))
    return pieces


def location(tree: Tree, node: Node) -> str:
    """``server.cpp:131``; the file alone where the node stands for several of its lines, the module where no file is known."""
    if node.function < 0:
        return ""
    places = tree.places(node)
    files = {base_name(file) for file, _ in places if file}
    if len(files) != 1:
        return f"{len(files)} files" if files else tree.table.functions.all[node.function].module
    lines = {line for _, line in places}
    file = clean(files.pop())
    line = lines.pop() if len(lines) == 1 else None
    return f"{file}:{line}" if line else file


def _function(rows: TreeRows, node: Node, width: int, look: Look) -> list[Piece]:
    tree = rows.tree
    indent = 2 * (node.depth - 1)
    if indent > width // _INDENT_PART:
        number = f"{look.ellipsis}{node.depth} "
        lead: Piece = (number.rjust(min(max(width // _INDENT_PART, len(number)), width)), "runtime")
    else:
        lead = (" " * indent, "")
    mark = " " if ends(tree, node) else look.opened if rows.is_open(node) else look.closed
    inlined = node.function >= 0 and tree.table.functions.all[node.function].inlined
    tail = _INLINED if inlined else ""
    room = max(0, width - cell_len(lead[0]) - 2 - len(tail))
    name = look.cut(look.text(shorten(tree.name(node), room)), room)
    part = "runtime" if tree.is_library(node) or _is_reachable(tree, node) else "function"
    used = cell_len(name) + len(tail)
    pieces: list[Piece] = [lead, (f"{mark} ", "branch"), (name, part), (tail, "inlined")]
    pieces.append((" " * max(0, width - cell_len(lead[0]) - 2 - used), ""))
    if width - cell_len(lead[0]) - 2 - used < 0:
        return [(padded(look, "".join(text for text, _ in pieces), width), part)]
    return pieces


def ends(tree: Tree, node: Node) -> bool:
    """Whether nothing goes further; of a single record that is known without looking into it."""
    if node.function == HERE or node.children == ():
        return True
    return len(node.records) == 1 and len(tree.table.record(node.records[0]).stack) <= node.depth


def _is_reachable(tree: Tree, node: Node) -> bool:
    """Whether nothing of it is lost where other things are."""
    table = tree.table
    if LeakKind.STILL_REACHABLE.value not in table.kinds or len(table.kinds) == 1:
        return False
    return all(table.record(index).kind is LeakKind.STILL_REACHABLE for index in node.records[:64])


def _ending(words: str, width: int, look: Look) -> str:
    """The end of what is too long: the line number matters most."""
    keep = len(words)
    while keep and cell_len(words[-keep:]) + len(look.ellipsis) > width:
        keep -= 1
    return (look.ellipsis + words[len(words) - keep :])[: max(width, 0)]
