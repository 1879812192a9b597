"""What the user wants to see of the leaks, and what each key changes about it. Pure: a key and a state give a state."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace

from memtui.reports.answer import ERRORS, NOTES, View
from memtui.reports.arrangement import Arrangement, Query
from memtui.reports.filter import parse_filter
from memtui.reports.scope import Chip, ChipKind
from memtui.reports.table import LeakTable, Order, same_record
from memtui.viewer.leaks.icicle_lines import Colouring
from memtui_parsers.values import LeakRecord


@dataclass(frozen=True, slots=True)
class Navigation:
    """The query and the view that the user wants; while a worker answers, another view may still be shown.

    ``filter_text`` is what was typed for the lists, ``search_text`` for the icicle; ``finding``: its line is displayed.
    ``position`` is the record that the cursor stays with through sorting, filtering and reloading, or NOTES or ERRORS; None
    before there is one. ``record`` is the same as a value, for a report that has it elsewhere.
    ``colouring`` is the user's choice for the icicle, None before there is one. ``order_before`` is the order that comes back
    when a comparison ends, None outside of one. ``stack_open``: the user has opened a stack.
    """

    query: Query = field(default_factory=Query)
    view: View = View.LIST
    filter_text: str = ""
    search_text: str = ""
    finding: bool = False
    position: int | None = None
    record: LeakRecord | None = None
    colouring: Colouring | None = None
    order_before: Order | None = None
    stack_open: bool = False

    def next_view(self, *, errors: bool) -> Navigation:
        """``errors``: the report has errors to show."""
        views = [view for view in View if errors or view is not View.ERRORS]
        at = views.index(self.view) if self.view in views else -1
        return replace(self, view=views[(at + 1) % len(views)])

    def next_order(self, *, comparing: bool) -> Navigation:
        return replace(self, query=self.query.next_order(comparing=comparing))

    def ordered_by(self, order: Order) -> Navigation:
        return replace(self, query=replace(self.query, order=order))

    def next_grouping(self) -> Navigation:
        return replace(self, query=self.query.next_grouping())

    def next_colouring(self, *, comparing: bool) -> Navigation:
        colourings = [one for one in Colouring if comparing or one is not Colouring.CHANGE]
        now = colourings.index(self.icicle_colouring(comparing=comparing))
        return replace(self, colouring=colourings[(now + 1) % len(colourings)])

    def icicle_colouring(self, *, comparing: bool) -> Colouring:
        """Return how the icicle is coloured: in a comparison by change, until the user chooses another colouring."""
        if self.colouring is None or (self.colouring is Colouring.CHANGE and not comparing):
            return Colouring.CHANGE if comparing else Colouring.NAMESPACE
        return self.colouring

    def opened(self) -> Navigation:
        return replace(self, stack_open=True)

    def closed(self) -> Navigation:
        return replace(self, stack_open=False)

    def row_opened(self, arrangement: Arrangement, position: int) -> Navigation:
        """Open a row of the list: the errors, the stacks of a group of several, or the stack."""
        if position == ERRORS:
            return replace(self, view=View.ERRORS)
        if arrangement.grouped and 0 <= position < len(arrangement) and arrangement.row(position).stacks > 1:
            group = (arrangement.query.grouping, arrangement.group_name(position))
            return replace(self, query=self.query.with_within(group))
        return self.opened()

    def with_skips(self, patterns: tuple[str, ...]) -> Navigation:
        """Name no leak by a function like one of these patterns."""
        return replace(self, query=self.query.with_chips(tuple(Chip(ChipKind.SKIP, pattern) for pattern in patterns)))

    def with_chip(self, kind: ChipKind, function: str) -> Navigation:
        """Show only the stacks through a function, hide them, or name none by it. Return this very state where it is so."""
        chip, chips = Chip(kind, function), self.query.scope.chips
        return self if chip in chips else replace(self.closed(), query=self.query.with_chips((*chips, chip)))

    def typed(self, text: str, shown: View) -> Navigation:
        """Filter the list, or search the icicle where that is ``shown``."""
        if shown is View.ICICLE:
            return replace(self, search_text=text)
        return replace(self, filter_text=text, query=self.query.with_filter(parse_filter(text)))

    def find_opened(self) -> Navigation:
        return replace(self, finding=True)

    def find_shown(self, shown: View) -> Navigation:
        """Display the line of the filter or the search, whichever ``shown`` has, if it has any text."""
        return replace(self, finding=bool(self.text_of(shown)))

    def find_cleared(self, shown: View) -> Navigation:
        return replace(self.typed("", shown), finding=False)

    def text_of(self, shown: View) -> str:
        """Return what was typed for this view."""
        return self.search_text if shown is View.ICICLE else self.filter_text

    def step_back(self, shown: View) -> Navigation | None:
        """Undo the last of: group entered, filter or search, focus or hide, view. Return None when there is none."""
        query = self.query
        if query.within is not None:
            return replace(self, query=query.with_within(None, query.within[0]))
        if self.finding:
            return self.find_cleared(shown)
        if query.scope.chips:
            return replace(self, query=query.with_chips(query.scope.chips[:-1]))
        return None if shown is View.LIST else replace(self, view=View.LIST)

    def moved(self, table: LeakTable, position: int, record: int | None) -> Navigation:
        """The cursor is on a row above the list (``position`` below 0), or else on ``record``."""
        if position < 0:
            return replace(self, position=position, record=None)
        return self if record is None else replace(self, position=record, record=table.record(record))

    def at_nothing(self) -> Navigation:
        """There are no leaks: no stack is open, and the cursor is on none."""
        return replace(self, position=None, stack_open=False)

    def row_in(self, arrangement: Arrangement, lead: Container[int], before: int) -> int:
        """Return the cursor's row: that of its record, else the one ``before``; at first the largest leak's.

        ``lead``: which of NOTES and ERRORS there are.
        """
        if self.position in (NOTES, ERRORS):
            return self.position if self.position in lead else 0
        row = None if self.position is None else arrangement.position_of(self.position)
        if row is not None or self.position is None or arrangement.query.scope.narrowed:
            return row or 0
        return max(0, min(before, len(arrangement) - 1))

    def for_table(self, table: LeakTable) -> Navigation:
        """Return the navigation of another table, of a reloaded report, another one, or a comparison.

        A comparison begins with what has grown most, and its end brings back the order from before. Symbols rename groups:
        the group entered is where the cursor's record is now.
        """
        position, record = self.position, self.record
        if record is not None and position not in (NOTES, ERRORS):
            position = same_record(record, table, NOTES if position is None else position)
            record = record if position is None else table.record(position)
        query, order_before = self.query, self.order_before
        if table.difference is not None and order_before is None:
            query, order_before = replace(query, order=Order.CHANGE), query.order
        elif table.difference is None and order_before is not None:
            query = replace(query, order=order_before) if query.order is Order.CHANGE else query
            order_before = None
        if query.within is not None and position is not None and position >= 0:
            grouping = query.within[0]
            query = query.with_within((grouping, table.group_of(position, grouping)), query.grouping)
        return replace(
            self,
            query=query,
            view=View.LIST if self.view is View.ERRORS and not table.report.errors else self.view,
            position=position,
            record=record,
            order_before=order_before,
        )
