"""The widgets of the leak browser: which of them are displayed, what is selected in them, and the stack of the selection."""

from __future__ import annotations

from dataclasses import replace

from textual.containers import Horizontal
from textual.widget import Widget

from memtui.display.glyphs import Glyphs
from memtui.display.keymap import Place
from memtui.reports.answer import (
    ERRORS,
    NOTES,
    NOTHING,
    Answer,
    Selection,
    View,
    Wish,
    function_of,
    node_selection,
    row_selection,
)
from memtui.reports.arrangement import Arrangement
from memtui.reports.errors import count_words, error_words, own_frame
from memtui.reports.pane_state import LeakPaneState
from memtui.reports.search import SearchResult
from memtui.reports.table import table_notes
from memtui.reports.tree import Node
from memtui.viewer.leaks import summary
from memtui.viewer.leaks.error_view import ErrorView
from memtui.viewer.leaks.find_bar import FindBar
from memtui.viewer.leaks.icicle_view import IcicleView
from memtui.viewer.leaks.navigation import Navigation
from memtui.viewer.leaks.record_list import LeakList, notes_words
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.leaks.stack_view import StackView
from memtui.viewer.leaks.summary import EmptyView, SummaryLines
from memtui.viewer.leaks.tree_view import TreeView
from memtui_parsers.values import CheckerError

# The stack stands beside the view from this many columns on; below so many rows the summary has one line.
SPLIT_FROM, LOW_BELOW = 100, 6
MOST_ERRORS = 100

_KINDS: dict[View, type[TreeView | IcicleView | ErrorView]] = {
    View.CALLERS: TreeView,
    View.CALLEES: TreeView,
    View.ICICLE: IcicleView,
    View.ERRORS: ErrorView,
}
_IDS = {TreeView: "leak-tree", IcicleView: "leak-icicle", ErrorView: "leak-errors"}
_PLACES = {View.ICICLE: Place.ICICLE, View.ERRORS: Place.ERRORS}


class Parts:
    """The widgets on ``pane``, which show ``answer``, None while there is none."""

    def __init__(self, pane: Widget, *, sources: Sources, glyphs: Glyphs) -> None:
        self._pane = pane
        self._glyphs = glyphs
        self.answer: Answer | None = None
        self.find_bar = FindBar(id="leak-find")
        self.leak_list = LeakList(glyphs=glyphs, id="leak-list")
        self.leak_list.add_class("leak-view")
        self.stack = StackView(sources=sources, glyphs=glyphs, id="leak-stack")
        self.body = Horizontal(self.leak_list, self.stack, id="leak-body")
        self.summary = SummaryLines(sources=sources, glyphs=glyphs, id="leak-summary")
        self.empty = EmptyView(glyphs=glyphs, id="leak-empty")
        # The views that have been wanted so far.
        self._views: dict[type, TreeView | IcicleView | ErrorView] = {}

    @property
    def view(self) -> View:
        """The view that is shown."""
        return View.LIST if self.answer is None else self.answer.wish.view

    @property
    def front(self) -> LeakList | TreeView | IcicleView | ErrorView:
        """The widget of the view that is shown. All but the list are made when they are first wanted."""
        kind = _KINDS.get(self.view)
        if kind is None:
            return self.leak_list
        widget = self._views.get(kind)
        if widget is None:
            widget = self._views[kind] = kind(glyphs=self._glyphs, id=_IDS[kind])
            widget.add_class("leak-view")
            self.body.mount(widget, before=self.stack)
        return widget

    @property
    def in_stack(self) -> bool:
        """Whether the stack has the keys, or would have them."""
        return self.stack.has_focus or self._pane.has_class("-opened")

    @property
    def place(self) -> Place:
        """The part that has the keys, or would have them."""
        if not self._pane.is_attached:
            return Place.LIST  # the footer is drawn before the pane is up, and while it goes
        if self.answer is None:
            return Place.EMPTY
        if self.find_bar.has_focus_within:
            return Place.TYPING
        if self.in_stack:
            return Place.FOLDED if self.stack.folds else Place.STACK
        if self.view is View.LIST:
            return Place.GROUPS if self.answer.arrangement.grouped else Place.LIST
        return _PLACES.get(self.view, Place.TREE)

    @property
    def beside(self) -> bool:
        """Whether the stack stands beside the view; the icicle has all of the width."""
        return self._pane.has_class("-split") and self.view is not View.ICICLE

    def lay_out(self, navigation: Navigation) -> None:
        """Display the parts that the navigation and the pane's size call for; without an answer, the words in their place.

        Parts come and go one by one: a class would have Textual style all of the pane anew.
        """
        pane, empty = self._pane, self.answer is None
        opened, finding = navigation.stack_open, navigation.finding
        marks = {"-opened": opened, "-finding": finding, "-empty": empty, "-low": pane.size.height < LOW_BELOW}
        pane.update_classes(marks, update=False)
        pane.update_classes({"-split": pane.size.width >= SPLIT_FROM})
        front, beside = self.front, self.beside
        for widget in (self.leak_list, *self._views.values()):
            widget.display = widget is front and (beside or not opened)
        self.stack.display = beside or opened
        self.summary.display = not empty and (beside or not opened)
        self.summary.styles.height = 1 if beside or pane.has_class("-low") else 2
        self.find_bar.display = not empty and finding
        self.body.display = not empty
        self.empty.display = empty
        self.leak_list.beside_stack = beside

    def clear_hidden_trees(self) -> None:
        """Drop the trees of the views that are not shown: one of 200,000 stacks is large."""
        for kind, widget in self._views.items():
            if kind is not _KINDS.get(self.view) and not isinstance(widget, ErrorView):
                widget.clear()

    def show_answer(self, navigation: Navigation, *, fresh: bool) -> None:
        """Bring the answer to its view: a list always, the others where it is ``fresh``. Say what passes the filter."""
        answer, front = self.answer, self.front
        assert answer is not None
        arrangement, branches = answer.arrangement, answer.branches
        if isinstance(front, LeakList):
            lead = self.lead(arrangement)
            front.show(arrangement, lead, navigation.row_in(arrangement, dict(lead), front.position))
        elif not fresh:
            pass
        elif isinstance(front, ErrorView) and answer.errors is not None:
            front.show(answer.errors, front.index)
        elif isinstance(front, TreeView) and branches is not None:
            front.show(branches, answer.node)
        elif isinstance(front, IcicleView) and branches is not None:
            front.colour_by(navigation.icicle_colouring(comparing=arrangement.table.difference is not None))
            front.show(branches.tree, answer.zoomed, answer.node)
        if not self.find_bar.has_focus_within:
            self.find_bar.hold(navigation.text_of(self.view))
        if answer.errors is not None:
            trouble = answer.errors.trouble
            passing = f"{len(answer.errors.indexes)} of {len(answer.errors.errors)} errors"
            self.find_bar.say(trouble or passing, error=bool(trouble))
        elif self.view is not View.ICICLE:
            passing = self._glyphs.plain(summary.filter_line(arrangement, self._glyphs))
            self.find_bar.say(passing, error=bool(arrangement.error))

    def show_search(self, result: SearchResult) -> None:
        """Light up in the icicle what a search has found, and say how much that is."""
        front = self.front
        if isinstance(front, IcicleView) and self.answer is not None:
            front.light(result)
            total_bytes = self.answer.arrangement.table.total_bytes
            self.find_bar.say(result.summary(total_bytes) if result.text else "", error=bool(result.error))

    # The selection

    @property
    def node(self) -> Node | None:
        """The selected node of the tree or the icicle that is shown."""
        front = self.front
        if isinstance(front, IcicleView):
            return None if front.box is None else front.box.node
        return front.node if isinstance(front, TreeView) else None

    @property
    def error(self) -> CheckerError | None:
        """The selected error, where the errors are shown."""
        front = self.front
        return front.rows.errors[front.index] if isinstance(front, ErrorView) and front.index is not None else None

    @property
    def selection(self) -> Selection:
        """What is selected; with the stack opened, the frame that is selected there."""
        if self.answer is None:
            return NOTHING
        selection = NOTHING
        if self.view is View.LIST:
            selection = row_selection(self.answer.arrangement, self.leak_list.position)
        elif (error := self.error) is not None:
            selection = Selection(None, own_frame(error))
        elif (node := self.node) is not None and self.answer.branches is not None:
            selection = node_selection(self.answer.branches.tree, node)
        frame = self.stack.frame
        if self.in_stack and frame is not None:
            return selection._replace(frame=frame, function=function_of(self.answer.arrangement.table, frame))
        return selection

    @property
    def selects_several(self) -> bool:
        """Whether the selection stands for more than one stack, and none of them is open."""
        if self.in_stack or self.answer is None:
            return False
        if self.view is View.LIST:
            arrangement = self.answer.arrangement
            return arrangement.grouped and arrangement.row(self.leak_list.position).stacks > 1
        return self.node is not None and len(self.node.records) > 1

    def with_place(self, wish: Wish) -> Wish:
        """Return a wish with the user's place in the tree that is shown, where it is for the same view."""
        answer, front, node = self.answer, self.front, self.node
        if answer is None or answer.branches is None or self.view is not wish.view:
            return wish
        held = () if node is None else answer.branches.tree.names(node)
        shown = front.shown if isinstance(front, IcicleView) else None
        zoomed = () if shown is None else shown.tree.names(shown.zoomed)
        return replace(wish, opened=answer.branches.opened(), held=held, zoomed=zoomed)

    def step(self, by: int) -> bool:
        """Move the cursor by this many rows. Return False where it cannot move, or tells of it itself."""
        front = self.front
        if isinstance(front, IcicleView):
            front.action_walk("right" if by > 0 else "left")
            return False
        if not isinstance(front, LeakList):
            front.go(front.cursor + by)
            return True
        rows = 0 if self.answer is None else len(self.answer.arrangement)
        if rows:
            front.move_to(max(0, min(front.position + by, rows - 1)) if front.position >= 0 else 0)
        return rows > 0

    # What goes with it

    def lead(self, arrangement: Arrangement) -> tuple[tuple[int, str], ...]:
        """Return the rows above the list: the report's notes and its other errors, as (NOTES or ERRORS, words)."""
        notes, errors = table_notes(arrangement.table), arrangement.table.report.errors
        rows = [(NOTES, notes_words(notes))] if notes else []
        return (*rows, *([(ERRORS, count_words(errors))] if errors else []))

    def show_stack(self, state: LeakPaneState) -> None:
        """Show the stack of the selection, and the summary below it."""
        answer = self.answer
        if answer is None:
            self.stack.clear()
            return
        below: str | int | None = None
        if self.view is View.LIST:
            below = self._show_row(answer.arrangement, self.leak_list.position, state.was_at)
        elif self.view is View.ERRORS:
            below = self._show_error()
        elif answer.branches is not None:
            below = self._show_node(answer)
        one_line = self.beside or self._pane.has_class("-low")
        if self.beside:
            below = None
        self.summary.show(state, answer.arrangement, below, self._pane.size.width, one_line=one_line)

    def _show_row(self, arrangement: Arrangement, position: int, was_at: str) -> str | int | None:
        """Show the stack of a row. Return what the summary says of it: words, a record, or nothing."""
        table = arrangement.table
        if position == NOTES and (notes := table_notes(table)):
            self.stack.show_notes(notes)
            return "enter shows the notes in full"
        if position == ERRORS and table.report.errors:
            self.stack.show_notes(tuple(map(error_words, table.report.errors[:MOST_ERRORS])))
            return "enter shows the errors"
        if not 0 <= position < len(arrangement):
            self.stack.clear()
            return None
        record = arrangement.row(position).record
        heading = summary.short_heading if self.beside else summary.heading
        self.stack.show_stack(table, record, heading(arrangement, position, self._glyphs, was_at))
        return record

    def _show_error(self) -> str | None:
        error, front = self.error, self.front
        if error is None or not isinstance(front, ErrorView) or front.index is None:
            self.stack.clear()
            return None
        times = f"{self._glyphs.count(error.count)} times" if error.count != 1 else "once"
        self.stack.show_error(error, front.index, (f"{error_words(error)}, {times}",))
        return error_words(error)

    def _show_node(self, answer: Answer) -> str | int | None:
        node, front = self.node, self.front
        assert answer.branches is not None
        tree = answer.branches.tree
        if isinstance(front, IcicleView):
            if front.box is None or front.shown is None or front.leak_tree is not tree:
                return ""
            return summary.box_line(front.box, front.shown, self._glyphs, self._pane.size.width - 2)
        if node is None or not node.records:
            self.stack.clear()
            return None
        record = node.records[0]
        heading = summary.node_heading(tree, node, self._glyphs)
        self.stack.show_stack(tree.table, record, heading, tree.frame_index(node))
        return record
