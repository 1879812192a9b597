"""The keys of the leak browser: what each does with what is in hand. The pane itself brings answers to the screen."""

from __future__ import annotations

from memtui.leaks import summary
from memtui.leaks.arrange import Query
from memtui.leaks.detail import StackView
from memtui.leaks.error_view import ErrorView
from memtui.leaks.find import FindBar
from memtui.leaks.icicle_view import IcicleView
from memtui.leaks.list import ERRORS, LeakList
from memtui.leaks.model import Grouping
from memtui.leaks.names import bare
from memtui.leaks.palette import Colouring
from memtui.leaks.pane_hand import PaneHand
from memtui.leaks.requests import CopyAsked, EditAsked, Refused, SuppressAsked
from memtui.leaks.scope import Chip, ChipKind
from memtui.leaks.search import Found
from memtui.leaks.tree_view import TreeView
from memtui.leaks.views import View, next_view


class PaneKeys(PaneHand):
    """A part of LeakPane: its actions."""

    _search: str
    _filter_text: str = ""
    # How the icicle is coloured: as the user has chosen, None: what suits it.
    _coloured: Colouring | None = None

    def ask(self, query: Query | None = None, view: View | None = None) -> None:
        raise NotImplementedError

    def moved(self) -> None:
        raise NotImplementedError

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
