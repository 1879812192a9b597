"""The icicle on the screen: arrows walk from box to box, enter zooms in, backspace and esc zoom out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.worker import Worker, WorkerState, get_current_worker

from memtui.leaks.icicle import Box, Icicle, icicle
from memtui.leaks.icicle_lines import Lighting, row_pieces
from memtui.leaks.inked_view import InkedView
from memtui.leaks.look import look as look_for
from memtui.leaks.model import Cancelled
from memtui.leaks.palette import HUES, Colouring
from memtui.leaks.search import Found
from memtui.leaks.summary import nothing_shown
from memtui.leaks.tree import Node, Tree


class IcicleView(InkedView):
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
        """Another box is in hand, or other boxes are on the screen."""

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id)
        self._look = look_for(ascii)
        self._tree: Tree | None = None
        self._zoomed: Node | None = None
        self._shown: Icicle | None = None
        self._lighting = Lighting(outlined=ascii)
        self._wanted: Node | None = None

    # What is shown

    @property
    def shown(self) -> Icicle | None:
        return self._shown

    @property
    def leak_tree(self) -> Tree | None:
        return self._tree

    @property
    def box(self) -> Box | None:
        """The box in hand."""
        if self._shown is None or self._lighting.selected is None:
            return None
        row, index = self._lighting.selected
        return self._shown.rows[row][index]

    @property
    def colouring(self) -> Colouring:
        return self._lighting.colouring

    def show(self, tree: Tree, zoomed: Node | None = None, selected: Node | None = None) -> None:
        """Show another tree, whose root fills the width, or ``zoomed`` of it."""
        self._tree = tree
        self._wanted = selected
        self._lay_out(tree.root if zoomed is None else zoomed)

    def clear(self) -> None:
        self._tree = self._shown = self._zoomed = self._wanted = None
        self._lighting = self._lighting._replace(selected=None)
        self.refresh()

    def light(self, found: Found) -> None:
        self._lighting = self._lighting._replace(found=found)
        self.refresh()

    def colour_by(self, colouring: Colouring) -> None:
        self._lighting = self._lighting._replace(colouring=colouring)
        self.refresh()

    def on_mount(self) -> None:
        if self.app.no_color:
            self._lighting = self._lighting._replace(outlined=True)

    def on_resize(self, event: events.Resize) -> None:
        if self._zoomed is not None and (self._shown is None or self._room != self._shown.columns):
            self._lay_out(self._zoomed)

    @property
    def _room(self) -> int:
        return max(1, self.size.width - (0 if self._look.ascii else 1))

    def _lay_out(self, zoomed: Node) -> None:
        """Have a worker work out the boxes: what is wide enough to be seen may have to grow first."""
        tree, columns = self._tree, self._room
        if tree is None or columns <= 1:
            self._zoomed = zoomed
            return
        self._zoomed = zoomed

        def work() -> Icicle | None:
            worker = get_current_worker()
            try:
                return icicle(tree, zoomed, columns, lambda: worker.is_cancelled)
            except Cancelled:
                return None

        self.run_worker(work, name="leak boxes", group="leak-boxes", thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        result = event.worker.result
        if event.state is not WorkerState.SUCCESS or not isinstance(result, Icicle):
            return
        event.stop()
        if result.tree is not self._tree or result.zoomed is not self._zoomed:
            return
        if result.columns != self._room:
            self._lay_out(result.zoomed)
            return
        held = self._wanted or (self.box.node if self.box is not None else None)
        self._wanted = None
        self._shown = result
        self.extend_to(len(result.rows) + 1)
        found = None
        while held is not None and (found := result.find(held)) is None:
            held = held.parent
        self._select(found or (0, 0))
        self.refresh()

    # Walking

    def action_walk(self, where: str) -> None:
        shown, selected = self._shown, self._lighting.selected
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

    def action_zoom_out(self) -> None:
        self.zoom_out()

    def zoom_out(self) -> bool:
        """Go back to what called the zoomed function; False when nothing is zoomed."""
        shown = self._shown
        if shown is None or not shown.above:
            return False
        outer = shown.above[-1]
        # Runtime frames in a row are one box: zooming out passes them together.
        while outer.parent is not None and shown.tree.is_library(outer) and len(outer.children or ()) == 1:
            outer = outer.parent
        self._wanted = shown.zoomed
        self._lay_out(outer)
        return True

    def _select(self, selected: tuple[int, int]) -> None:
        before = self._lighting.selected
        self._lighting = self._lighting._replace(selected=selected)
        for there in {before, selected} - {None}:
            assert there is not None
            self._refresh_row(there[0])
        self._reveal(selected[0])
        self.post_message(self.Moved())

    def _refresh_row(self, row: int) -> None:
        y = row + 1 - self.scroll_offset.y
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _reveal(self, row: int) -> None:
        if self.size.height < 2:
            return
        top = self.scroll_offset.y
        wanted = min(row, max(top, row - self.size.height + 2))
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)

    def on_click(self, event: events.Click) -> None:
        if self._shown is None:
            return
        if event.y == 0:
            self.zoom_out()
            return
        found = self._shown.at(self.scroll_offset.y + event.y - 1, event.x)
        if found is None:
            return
        again = found == self._lighting.selected
        self._select(found)
        if again:
            self.action_zoom_in()

    # Drawing

    def render_line(self, y: int) -> Strip:
        shown = self._shown
        row = self.scroll_offset.y + y - 1
        if shown is None or row >= len(shown.rows):
            return Strip.blank(self.size.width, self.ink(""))
        if y == 0:
            return self._words(self._way(shown), "path")
        if row == 0 and not shown.zoomed.size_bytes:
            return self._words(nothing_shown(shown.tree.table), "hint")
        return self.strip(row_pieces(shown, row, self._lighting, self._look))

    def _words(self, words: str, part: str) -> Strip:
        return self.strip([(self._look.cut(self._look.text(f" {words}"), self.size.width), part)])

    def _way(self, shown: Icicle) -> str:
        """The functions above the one that fills the width, the nearest first to stay; else what the picture says."""
        if not shown.above:
            return f"width is bytes, colour is {self._lighting.colouring.value}; enter zooms in"
        names = [shown.tree.name(node) for node in shown.above]
        room = self.size.width - 2
        words = names[-1]
        for name in reversed(names[:-1]):
            if len(f"{name} › {words}") > room:
                words = f"… › {words}"
                break
            words = f"{name} › {words}"
        return words

    def pure(self, part: str) -> Style:
        """Boxes where there is no colour are told apart by weight; a box's edge is drawn in the box's colour on the ground."""
        if self.app.no_color and part not in ("path", "hint"):
            return Style(bold=part in ("selected", "match"), reverse=part == "selected")
        if part.endswith("-edge"):
            return Style(color=super().pure(part.removesuffix("-edge")).bgcolor)
        return super().pure(part)
