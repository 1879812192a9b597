"""What of the leak browser is on the screen and in hand, and the stack and the lines that go with it."""

from __future__ import annotations

from textual.containers import Container
from textual.widget import Widget

from memtui.keymap import Place
from memtui.leaks import summary
from memtui.leaks.arrange import Arrangement
from memtui.leaks.columns import notes_words
from memtui.leaks.detail import StackView
from memtui.leaks.error_view import ErrorView
from memtui.leaks.errors import count_words, error_words, own_frame
from memtui.leaks.find import FindBar
from memtui.leaks.icicle_view import IcicleView
from memtui.leaks.list import ERRORS, NOTES, LeakList
from memtui.leaks.look import Look
from memtui.leaks.model import LeakTable
from memtui.leaks.notices import EmptyView, SummaryLines
from memtui.leaks.picked import NOTHING, Picked, function_of, of_node, of_row
from memtui.leaks.source import Sources
from memtui.leaks.state import LeakPaneState
from memtui.leaks.tree import Node
from memtui.leaks.tree_view import TreeView
from memtui.leaks.views import Answer, View, Wish
from memtui_parsers.values import CheckerError

# The stack stands beside the view from this many columns on.
SPLIT_FROM = 100


class PaneHand(Container):
    """A part of LeakPane: looks at its parts, changes none but the stack and the summary."""

    _look: Look
    _ascii: bool
    _sources: Sources
    _state: LeakPaneState
    _table: LeakTable | None
    _arrangement: Arrangement | None
    _wish: Wish
    _answer: Answer | None

    @property
    def view(self) -> View:
        """The one that is on the screen."""
        return View.LIST if self._answer is None else self._answer.wish.view

    @property
    def front(self) -> Widget:
        """The view that is shown. All but the list are made when they are first wanted."""
        kinds: dict[View, tuple[type[TreeView | IcicleView | ErrorView], str]] = {
            View.CALLERS: (TreeView, "leak-tree"),
            View.CALLEES: (TreeView, "leak-tree"),
            View.ICICLE: (IcicleView, "leak-icicle"),
            View.ERRORS: (ErrorView, "leak-errors"),
        }
        if self.view not in kinds:
            return self.query_one(LeakList)
        kind, name = kinds[self.view]
        known = next(iter(self.query(f"#{name}")), None)
        if known is None:
            known = kind(ascii=self._ascii, id=name)
            known.add_class("leak-view")
            self.query_one("#leak-body").mount(known, before=self.query_one(StackView))
        return known

    @property
    def place(self) -> Place:
        """What has the keys, or would have them."""
        stack = next(iter(self.query(StackView)), None)
        if stack is None:
            return Place.LIST  # the footer is drawn before the pane is up, and while it goes
        if self.has_class("-empty"):
            return Place.EMPTY
        if self.typing:
            return Place.TYPING
        if self.has_class("-opened") or stack.has_focus:
            return Place.FOLDED if stack.folds else Place.STACK
        if self.view is View.LIST:
            grouped = self._arrangement is not None and self._arrangement.grouped
            return Place.GROUPS if grouped else Place.LIST
        return {View.ICICLE: Place.ICICLE, View.ERRORS: Place.ERRORS}.get(self.view, Place.TREE)

    @property
    def typing(self) -> bool:
        """Whether a filter or a search is being typed."""
        focused = self.app.focused
        return focused is not None and self.query_one(FindBar) in focused.ancestors

    @property
    def beside(self) -> bool:
        """Whether the stack stands beside the view; the icicle has all of the width."""
        return self.has_class("-split") and self.view is not View.ICICLE

    def mark(self, **marks: bool) -> None:
        """Note what is ``opened`` (a stack), ``finding``, ``empty`` or ``low``, and bring up the parts that this calls for.

        Parts come and go one by one: a class would have Textual style all of the pane anew.
        """
        front = self.front
        self.update_classes({f"-{name}": on for name, on in marks.items()}, update=False)
        self.update_classes({"-split": self.size.width >= SPLIT_FROM})
        split = self.beside
        opened, empty = self.has_class("-opened"), self.has_class("-empty")
        for part in self.query(".leak-view"):
            part.display = part is front and (split or not opened)
        self.query_one(StackView).display = split or opened
        summary_lines = self.query_one(SummaryLines)
        summary_lines.display = not empty and (split or not opened)
        summary_lines.styles.height = 1 if split or self.has_class("-low") else 2
        self.query_one(FindBar).display = not empty and self.has_class("-finding")
        self.query_one("#leak-body").display = not empty
        self.query_one(EmptyView).display = empty
        self.query_one(LeakList).beside_stack = split

    @property
    def node(self) -> Node | None:
        """The tree's node in hand."""
        front = self.front
        if isinstance(front, TreeView):
            return front.node
        return front.box.node if isinstance(front, IcicleView) and front.box is not None else None

    @property
    def error(self) -> CheckerError | None:
        front = self.front
        if not isinstance(front, ErrorView) or front.index is None:
            return None
        return front.rows.errors[front.index]

    def picked(self) -> Picked:
        arrangement, stack = self._arrangement, self.query_one(StackView)
        if arrangement is None:
            return NOTHING
        found = NOTHING
        if self.view is View.LIST:
            found = of_row(arrangement, self.query_one(LeakList).position)
        elif (error := self.error) is not None:
            found = Picked(None, own_frame(error))
        elif (node := self.node) is not None and self._answer is not None and self._answer.branches is not None:
            found = of_node(self._answer.branches.tree, node)
        if (stack.has_focus or self.has_class("-opened")) and stack.frame is not None:
            return found._replace(frame=stack.frame, function=function_of(arrangement.table, stack.frame))
        return found

    def lead(self) -> tuple[tuple[int, str], ...]:
        """The rows above the list: the notes, the other errors."""
        if self._table is None:
            return ()
        notes, errors = self.notes(), self._table.report.errors
        rows = [(NOTES, notes_words(notes))] if notes else []
        return (*rows, *([(ERRORS, count_words(errors))] if errors else []))

    def notes(self) -> tuple[str, ...]:
        return summary.table_notes(self._table) if self._table is not None else ()

    def show_detail(self) -> None:
        """The stack of what is in hand, and the lines below."""
        arrangement, stack = self._arrangement, self.query_one(StackView)
        if arrangement is None:
            stack.clear()
            return
        below: str | int | None = None
        if self.view is View.LIST:
            below = self._show_row(arrangement, self.query_one(LeakList).position, stack)
        elif self.view is View.ERRORS:
            below = self._show_error(stack)
        elif self._answer is not None and self._answer.branches is not None:
            below = self._show_node(self._answer, stack)
        one_line = self.beside or self.has_class("-low")
        if self.beside:
            below = None
        self.query_one(SummaryLines).show(self._state, arrangement, below, self.size.width, one_line=one_line)

    def _show_row(self, arrangement: Arrangement, position: int, stack: StackView) -> str | int | None:
        if position == NOTES and self.notes():
            stack.show_notes(self.notes())
            return "enter shows the notes in full"
        if position == ERRORS and arrangement.table.report.errors:
            stack.show_notes(tuple(error_words(error) for error in arrangement.table.report.errors[:100]))
            return "enter shows the errors"
        if not 0 <= position < len(arrangement):
            stack.clear()
            return None
        record = arrangement.row(position).record
        words = summary.short_heading if self.beside else summary.heading
        stack.show_stack(arrangement.table, record, words(arrangement, position, self._look, self._state.was_at))
        return record

    def _show_error(self, stack: StackView) -> str | None:
        error, front = self.error, self.front
        if error is None or not isinstance(front, ErrorView) or front.index is None:
            stack.clear()
            return None
        times = f"{self._look.count(error.count)} times" if error.count != 1 else "once"
        stack.show_error(error, front.index, (f"{error_words(error)}, {times}",))
        return error_words(error)

    def _show_node(self, answer: Answer, stack: StackView) -> str | int | None:
        node, front = self.node, self.front
        assert answer.branches is not None
        tree = answer.branches.tree
        if isinstance(front, IcicleView):
            if front.box is None or front.shown is None or front.leak_tree is not tree:
                return ""
            return summary.box_line(front.box, front.shown, self._look, self.size.width - 2)
        if node is None or not node.records:
            stack.clear()
            return None
        record = node.records[0]
        stack.show_stack(tree.table, record, summary.node_heading(tree, node, self._look), tree.frame_index(node))
        return record
