"""The keys of the leak browser: what each does with what is in hand. The pane itself brings answers to the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from memtui.keymap import Place
from memtui.leaks import summary
from memtui.leaks.arrange import Arrangement, Query
from memtui.leaks.columns import notes_words
from memtui.leaks.detail import StackView
from memtui.leaks.error_view import ErrorView
from memtui.leaks.errors import count_words, error_words, own_frame
from memtui.leaks.find import FindBar
from memtui.leaks.icicle_view import IcicleView
from memtui.leaks.list import ERRORS, NOTES, LeakList
from memtui.leaks.look import Look
from memtui.leaks.model import Grouping, LeakTable
from memtui.leaks.names import bare
from memtui.leaks.notices import SummaryLines
from memtui.leaks.palette import Colouring
from memtui.leaks.picked import NOTHING, Picked, function_of, of_node, of_row
from memtui.leaks.requests import CopyAsked, EditAsked, Refused, SuppressAsked
from memtui.leaks.scope import Chip, ChipKind
from memtui.leaks.search import Found
from memtui.leaks.source import Sources
from memtui.leaks.state import LeakPaneState
from memtui.leaks.tree import Node
from memtui.leaks.tree_view import TreeView
from memtui.leaks.views import Answer, View, Wish, next_view
from memtui_parsers.values import CheckerError

if TYPE_CHECKING:
    from textual.containers import Container as _Base
else:
    _Base = object


class PaneKeys(_Base):
    """Half of LeakPane: the actions, and what they look at."""

    _look: Look
    _ascii: bool
    _sources: Sources
    _state: LeakPaneState
    _table: LeakTable | None
    _arrangement: Arrangement | None
    _wish: Wish
    _answer: Answer | None
    _search: str
    _filter_text: str = ""
    # How the icicle is coloured: as the user has chosen, None: what suits it.
    _coloured: Colouring | None = None

    def ask(self, query: Query | None = None, view: View | None = None) -> None:
        raise NotImplementedError

    def mark(self, **marks: bool) -> None:
        raise NotImplementedError

    def moved(self) -> None:
        raise NotImplementedError

    def search(self, text: str) -> None:
        raise NotImplementedError

    @property
    def view(self) -> View:
        raise NotImplementedError

    # What is on the screen, and what of it is in hand

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
        if self.typing:
            return Place.TYPING
        stack = self.query_one(StackView)
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

    # Views, order, groups

    def action_view(self) -> None:
        if self._table is not None:
            self.ask(view=next_view(self._wish.view, errors=bool(self._table.report.errors)))

    def action_sort(self) -> None:
        if self.view not in (View.ICICLE, View.ERRORS):
            comparing = self._table is not None and self._table.difference is not None
            self.ask(self._wish.query.next_order(comparing=comparing))

    def action_group(self) -> None:
        """Group the list otherwise, or colour the icicle otherwise."""
        front = self.front
        if isinstance(front, IcicleView):
            colours = [one for one in Colouring if one is not Colouring.CHANGE or self._comparing]
            self._coloured = colours[(colours.index(front.colouring) + 1) % len(colours)]
            front.colour_by(self._coloured)
        elif self.view is View.LIST:
            self.ask(self._wish.query.next_grouping())

    @property
    def _comparing(self) -> bool:
        return self._table is not None and self._table.difference is not None

    def colouring(self, now: Colouring) -> Colouring:
        """A comparison is coloured by what has changed, until the user wants it otherwise."""
        if self._coloured is None or (self._coloured is Colouring.CHANGE and not self._comparing):
            return Colouring.CHANGE if self._comparing else Colouring.NAMESPACE
        return self._coloured

    # Moving and opening

    def action_next_leak(self) -> None:
        self._step(1)

    def action_previous_leak(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        arrangement, front = self._arrangement, self.front
        if arrangement is None:
            return
        if isinstance(front, IcicleView):
            front.action_walk("right" if by > 0 else "left")
        elif isinstance(front, LeakList):
            if len(arrangement):
                front.move_to(max(0, min(front.position + by, len(arrangement) - 1) if front.position >= 0 else 0))
                self.moved()
        elif isinstance(front, TreeView | ErrorView):
            front.go(front.cursor + by)
            self.moved()

    def action_open(self) -> None:
        front = self.front
        if self.typing:
            self.leave_find(cleared=False)
        elif self.query_one(StackView).has_focus:
            self.query_one(StackView).action_unfold()
        elif isinstance(front, IcicleView):
            front.action_zoom_in()
        elif isinstance(front, TreeView):
            front.action_select()
        else:
            self.open_row()

    def open_row(self) -> None:
        """The stack of what is in hand; for a group of several stacks, those; for the row of errors, those."""
        arrangement, position = self._arrangement, self.query_one(LeakList).position
        if arrangement is None:
            return
        if self.view is View.LIST and position == ERRORS:
            self.ask(view=View.ERRORS)
            return
        in_groups = self.view is View.LIST and arrangement.grouped and 0 <= position < len(arrangement)
        if in_groups and arrangement.row(position).stacks > 1:
            group = (arrangement.query.grouping, arrangement.group_name(position))
            self.ask(self._wish.query.with_within(group))
            return
        self.mark(opened=True)
        self.show_detail()
        self.query_one(StackView).focus()

    def action_back(self) -> None:
        self.back()

    def back(self) -> bool:
        """Undo the last step in: stack, zoom, search, group, focus or hide, filter, view. False when there is none."""
        stack, front, query = self.query_one(StackView), self.front, self._wish.query
        if self.has_class("-opened") or stack.has_focus:
            self.mark(opened=False)
            front.focus()
            self.show_detail()
        elif isinstance(front, IcicleView) and front.zoom_out():
            pass
        elif query.within is not None:
            self.ask(query.with_within(None, query.within[0]))
        elif self.has_class("-finding"):
            self.leave_find(cleared=True)
        elif query.scope.chips:
            self.ask(query.with_chips(query.scope.chips[:-1]))
        elif self.view is not View.LIST:
            self.ask(view=View.LIST)
        else:
            return False
        return True

    # Filter and search, focus and hide

    def action_filter(self) -> None:
        """Filter by what is typed; the icicle is searched for it."""
        if self._table is None:
            return
        self.mark(finding=True)
        self.query_one(FindBar).start()

    def leave_find(self, *, cleared: bool) -> None:
        if cleared:
            self.query_one(FindBar).clear()
            self.mark(finding=False)
        self.front.focus()

    def _show_finding(self) -> None:
        """The line of the filter, or of the search in the icicle, with what it leaves or finds."""
        bar, arrangement = self.query_one(FindBar), self._arrangement
        wanted = self._search if self.view is View.ICICLE else self._filter_text
        if not self.typing:
            bar.hold(wanted)
            self.mark(finding=bool(wanted))
        if self.view is View.ICICLE or arrangement is None:
            return
        errors = None if self._answer is None else self._answer.errors
        if errors is not None:
            trouble = errors.trouble or f"{len(errors.indexes)} of {len(errors.errors)} errors"
            bar.say(trouble, error=bool(errors.trouble))
        else:
            words = self._look.text(summary.filter_line(arrangement, self._look))
            bar.say(words, error=bool(arrangement.error))

    def _say_found(self, found: Found) -> None:
        total = 0 if self._table is None else self._table.total_bytes
        self.query_one(FindBar).say(found.words(total) if found.text else "", error=bool(found.error))

    def action_focus_function(self) -> None:
        self._put_chip(ChipKind.FOCUS)

    def action_hide_function(self) -> None:
        self._put_chip(ChipKind.HIDE)

    def _put_chip(self, kind: ChipKind) -> None:
        function, query = self.picked().function, self._wish.query
        if not function or self._table is None:
            self.post_message(Refused("there is no function in hand"))
            return
        chip = Chip(kind, function)
        if chip not in query.scope.chips:
            self.mark(opened=False)
            self.ask(query.with_chips((*query.scope.chips, chip)))
            self.front.focus()

    # What is done with what is in hand

    def action_edit(self) -> None:
        """Open the line in hand in the user's editor."""
        frame = self.picked().frame
        if frame is None or not frame.file:
            self.post_message(Refused("no source file is known of this frame"))
            return
        self.post_message(EditAsked(self._sources.local_path(frame.file), frame.line or 1))

    def action_copy(self) -> None:
        """Copy the stack in hand as text."""
        from memtui.report_text import error_text, no_source, stack_text

        record, table, error = self.picked().record, self._table, self.error
        if error is not None:
            self.post_message(CopyAsked("\n".join(error_text(error, self._look)), "the error"))
        elif record is not None and table is not None:
            name = bare(table.names[record].function)
            head = summary.copied_head(table, record)
            lines = [head, *stack_text(table, record, no_source, self._look)]
            self.post_message(CopyAsked("\n".join(lines), f"the stack of {name}"))
        else:
            self.post_message(Refused("there is no stack in hand"))

    def action_suppress(self) -> None:
        """Leave the leak in hand out from now on."""
        record, table = self.picked().record, self._table
        if record is None or table is None or (self._arrangement is not None and self._is_several()):
            self.post_message(Refused("choose one leak: b brings back the list by stack"))
            return
        self.post_message(SuppressAsked(table.record(record), table.report.checker))

    def _is_several(self) -> bool:
        """Whether what is in hand stands for more than one stack, and none of them is open."""
        arrangement, position = self._arrangement, self.query_one(LeakList).position
        if self.has_class("-opened") or self.query_one(StackView).has_focus or arrangement is None:
            return False
        if self.view is View.LIST:
            return arrangement.query.grouping is not Grouping.STACK and arrangement.row(position).stacks > 1
        return self.node is not None and len(self.node.records) > 1
