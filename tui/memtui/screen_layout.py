"""How the rows of the terminal are shared out. Pure; the widths are in the style sheet's breakpoints."""

from __future__ import annotations

WIDE_COLUMNS = 100
FULL_COLUMNS, FULL_ROWS = 80, 24
TALL_ROWS = 32
CONTROLS_COLUMNS = 34
GRAPH_ROWS, GRAPH_MOST = 9, 16


def boxed(width: int, height: int) -> bool:
    """Whether the panes have boxes and air around them."""
    return width >= WIDE_COLUMNS and height >= TALL_ROWS


def graph_rows(width: int, height: int) -> int:
    """Rows for the graph's own cells: spare ones go to it up to 16, then to the pane; never less than 3."""
    if width < FULL_COLUMNS or height < FULL_ROWS:
        # Header, figures and tabs stay; the graph and the pane share what is left.
        return max(3, min(GRAPH_ROWS, (height - 3) // 2))
    if boxed(width, height):
        return min(GRAPH_MOST, height - 20)
    spare = height - FULL_ROWS
    if width >= WIDE_COLUMNS:
        return min(GRAPH_MOST, GRAPH_ROWS + 1 + spare)
    return min(GRAPH_MOST, GRAPH_ROWS + spare)
