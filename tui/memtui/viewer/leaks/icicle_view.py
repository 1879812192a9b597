"""The icicle as a widget: arrows go from box to box, enter zooms in, backspace and esc zoom out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.worker import Worker, WorkerState

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.reports.icicle import Box, Icicle, icicle
from memtui.reports.search import SearchResult
from memtui.reports.tree import Node, Tree
from memtui.viewer.leaks.icicle_lines import HUES, Colouring, Lighting, row_pieces
from memtui.viewer.leaks.summary import nothing_shown
from memtui.viewer.leaks.work import cancellable
from memtui.viewer.widgets.inked_view import InkedView
from memtui.viewer.widgets.line import fit


class IcicleView(InkedView):
    """The boxes of a tree. A worker computes them for the width; ``shown`` is what it made last, of ``leak_tree``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "walk('down')", "to the callee", show=False, id="icicle.down"),
        Binding("up,k", "walk('up')", "to the caller", show=False, id="icicle.up"),
        Binding("left", "walk('left')", "left", show=False, id="icicle.left"),
        Binding("right", "walk('right')", "right", show=False, id="icicle.right"),
        Binding("home,g", "walk('top')", "to the top", show=False, id="icicle.top"),
        Binding("end,G", "walk('bottom')", "down the widest", show=False, id="icicle.bottom"),
        Binding("enter", "zoom_in", "zoom in", show=False, id="icicle.zoom-in"),
        Binding("backspace", "zoom_out", "zoom out", show=False, id="icicle.zoom-out"),
    ]
    INKS: ClassVar[Mapping[str, str]] = {
        **{f"hue-{n}": f"$flame-text on $flame-{n}" for n in range(HUES)},
        "root": "$strong on $rule",
        "runtime": "$foreground on $flame-runtime",
        "merged": "$muted on $bar",
        "grown": "$flame-text on $bad",
        "shrunk": "$flame-text on $good",
        "same": "$foreground on $flame-runtime",
        "match": "bold $flame-text on $warn",
        "dim": "$muted on $bar",
        "selected": "bold $background on $strong",
        "path": "$muted",
        "hint": "italic $muted",
    }

    class Moved(Message):
        """Another box is selected, or other boxes are on the screen."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self.leak_tree: Tree | None = None
        self._zoomed: Node | None = None
        self.shown: Icicle | None = None
        self.lighting = Lighting(outlined=glyphs.ascii)
        self._wanted: Node | None = None

    # What is shown

    @property
    def box(self) -> Box | None:
        """The selected box."""
        if self.shown is None or self.lighting.selected is None:
            return None
        row, index = self.lighting.selected
        return self.shown.rows[row][index]

    def show(self, tree: Tree, zoomed: Node | None = None, selected: Node | None = None) -> None:
        """Show another tree; its root fills the width, or the node ``zoomed`` does."""
        self.leak_tree = tree
        self._wanted = selected
        self._lay_out(tree.root if zoomed is None else zoomed)

    def clear(self) -> None:
        self.leak_tree = self.shown = self._zoomed = self._wanted = None
        self.lighting = self.lighting._replace(selected=None)
        self.refresh()

    def light(self, search: SearchResult) -> None:
        """Highlight what a search has found."""
        self.lighting = self.lighting._replace(search=search)
        self.refresh()

    def colour_by(self, colouring: Colouring) -> None:
        self.lighting = self.lighting._replace(colouring=colouring)
        self.refresh()

    def on_mount(self) -> None:
        if self.app.no_color:
            self.lighting = self.lighting._replace(outlined=True)

    def on_resize(self, event: events.Resize) -> None:
        if self._zoomed is not None and (self.shown is None or self._room != self.shown.columns):
            self._lay_out(self._zoomed)

    @property
    def _room(self) -> int:
        return max(1, self.size.width - (0 if self._glyphs.ascii else 1))

    def _lay_out(self, zoomed: Node) -> None:
        """Have a worker compute the boxes: nodes that are wide enough to be seen may have to grow first."""
        tree, columns = self.leak_tree, self._room
        self._zoomed = zoomed
        if tree is None or columns <= 1:
            return
        work = cancellable(lambda cancelled: icicle(tree, zoomed, columns, cancelled))
        self.run_worker(work, name="leak boxes", group="leak-boxes", thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        result = event.worker.result
        if event.state is not WorkerState.SUCCESS or not isinstance(result, Icicle):
            return
        event.stop()
        if result.tree is not self.leak_tree or result.zoomed is not self._zoomed:
            return
        if result.columns != self._room:
            self._lay_out(result.zoomed)
            return
        node = self._wanted or (self.box.node if self.box is not None else None)
        self._wanted = None
        self.shown = result
        self.extend_to(len(result.rows) + 1)
        selected = None
        while node is not None and (selected := result.find(node)) is None:
            node = node.parent
        self._select(selected or (0, 0))
        self.refresh()

    # Walking

    def action_walk(self, where: str) -> None:
        shown, selected = self.shown, self.lighting.selected
        if shown is None or selected is None:
            return
        row, index = selected
        if where == "down":
            self._select(shown.below(row, index) or selected)
        elif where == "up":
            self._select(shown.above_of(row, index) or selected)
        elif where == "top":
            self._select((0, 0))
        elif where == "bottom":
            while (below := shown.below(*selected)) is not None:
                selected = below
            self._select(selected)
        else:
            beside = index + (1 if where == "right" else -1)
            self._select((row, max(0, min(beside, len(shown.rows[row]) - 1))))

    def action_zoom_in(self) -> None:
        box = self.box
        if box is not None and box.node is not self._zoomed:
            self._wanted = box.node
            self._lay_out(box.node)

    def action_zoom_out(self) -> bool:
        """Zoom out to the caller of the zoomed function. Return False when nothing is zoomed."""
        shown = self.shown
        if shown is None or not shown.above:
            return False
        outer = shown.above[-1]
        # Runtime frames that follow each other are one box: zooming out passes them together.
        while outer.parent is not None and shown.tree.is_library(outer) and len(outer.children or ()) == 1:
            outer = outer.parent
        self._wanted = shown.zoomed
        self._lay_out(outer)
        return True

    def _select(self, selected: tuple[int, int]) -> None:
        before = self.lighting.selected
        self.lighting = self.lighting._replace(selected=selected)
        for there in {before, selected} - {None}:
            assert there is not None
            self.refresh_row(there[0])
        self.reveal(selected[0], selected[0])
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        if self.shown is None:
            return
        if event.y == 0:
            self.action_zoom_out()
            return
        clicked = self.shown.at(self.scroll_offset.y + event.y - 1, event.x)
        if clicked is None:
            return
        again = clicked == self.lighting.selected
        self._select(clicked)
        if again:
            self.action_zoom_in()

    # Drawing

    def render_line(self, y: int) -> Strip:
        shown = self.shown
        row = self.scroll_offset.y + y - 1
        if shown is None or row >= len(shown.rows):
            return Strip.blank(self.size.width, self.ink(""))
        if y == 0:
            return self._line(self._path(shown), "path")
        if row == 0 and not shown.zoomed.size_bytes:
            return self._line(nothing_shown(shown.tree.table), "hint")
        return self.strip(row_pieces(shown, row, self.lighting, self._glyphs))

    def _line(self, text: str, part: str) -> Strip:
        return self.strip([(fit(self._glyphs.plain(f" {text}"), self.size.width, self._glyphs.ellipsis), part)])

    def _path(self, shown: Icicle) -> str:
        """Return the functions above the zoomed one, as many of the nearest as fit; without any, how to read the boxes."""
        if not shown.above:
            return f"width is bytes, colour is {self.lighting.colouring.value}; enter zooms in"
        names = [shown.tree.name(node) for node in shown.above]
        room = self.size.width - 2
        path = names[-1]
        for name in reversed(names[:-1]):
            if len(f"{name} › {path}") > room:
                return f"… › {path}"
            path = f"{name} › {path}"
        return path

    def pure(self, part: str) -> Style:
        """Return an ink: without colours, boxes differ by weight; a box's edge has the box's background as its foreground."""
        if self.app.no_color and part not in ("path", "hint"):
            return Style(bold=part in ("selected", "match"), reverse=part == "selected")
        if part.endswith("-edge"):
            return Style(color=super().pure(part.removesuffix("-edge")).bgcolor)
        return super().pure(part)
