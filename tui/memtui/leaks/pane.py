"""The leak browser as one widget: a view of the leaks and a stack side by side, or one of them where there is no room for both."""

from __future__ import annotations

from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from memtui.leaks import summary
from memtui.leaks.arrange import Arrangement, Query
from memtui.leaks.detail import StackView
from memtui.leaks.error_view import ErrorView
from memtui.leaks.filter import parse_filter
from memtui.leaks.find import FindBar
from memtui.leaks.icicle_view import IcicleView
from memtui.leaks.list import ERRORS, NOTES, LeakList
from memtui.leaks.look import look as look_for
from memtui.leaks.model import LeakTable, Order, same_record
from memtui.leaks.notices import EmptyView, SummaryLines
from memtui.leaks.pane_keys import PaneKeys
from memtui.leaks.search import Found
from memtui.leaks.source import Sources
from memtui.leaks.state import Empty, LeakPaneState, empty_of, reading
from memtui.leaks.tree_view import TreeView
from memtui.leaks.views import Answer, View, Wish
from memtui.leaks.work import rows_work, search_work, table_work
from memtui_parsers.values import LeakRecord


class LeakPane(PaneKeys):
    """Shows a LeakPaneState. What a view needs is worked out in a worker thread; a newer wish ends the older one's work."""

    DEFAULT_CSS = """
    LeakPane {
        layout: vertical;
        #leak-body { height: 1fr; }
        .leak-view { width: 1fr; height: 1fr; }
        #leak-stack { width: 1fr; height: 1fr; padding: 0 1; }
        #leak-summary { height: 2; padding: 0 1; }
        #leak-empty { height: 1fr; padding: 1 3; }
        &.-split .leak-view { width: 3fr; }
        &.-split #leak-stack { width: 2fr; border-left: solid $rule; padding: 0 0 0 1; }
        &.-split.-ascii #leak-stack { border-left: ascii $rule; }
    }
    """

    class Arranged(Message):
        """The list has changed: its caption for the tab bar (``by stack · bytes▾``), and how many records it shows."""

        def __init__(self, caption: str, records: int) -> None:
            super().__init__()
            self.caption = caption
            self.records = records

    def __init__(self, *, sources: Sources | None = None, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id, classes="-ascii" if ascii else "")
        self._look = look_for(ascii)
        self._ascii = ascii
        self._sources = Sources() if sources is None else sources
        self._state = LeakPaneState()
        self._table: LeakTable | None = None
        self._arrangement: Arrangement | None = None
        self._wish = Wish(Query())
        self._answer: Answer | None = None
        self._search = ""
        # The record the cursor belongs to, through sorting, filtering, reloading; None until there is one.
        self._anchor: int | None = None
        # The same as a value: a report that lacks it may give way to one that has it.
        self._held: LeakRecord | None = None
        self._order_before: Order | None = None

    def compose(self) -> ComposeResult:
        yield FindBar(id="leak-find")
        with Horizontal(id="leak-body"):
            yield self._made(LeakList(ascii=self._ascii, id="leak-list"))
            yield StackView(sources=self._sources, ascii=self._ascii, id="leak-stack")
        yield SummaryLines(sources=self._sources, look=self._look, id="leak-summary")
        yield EmptyView(look=self._look, id="leak-empty")

    @staticmethod
    def _made(widget: Widget) -> Widget:
        widget.add_class("leak-view")
        return widget

    def on_mount(self) -> None:
        self.mark()
        self._show_state()

    # What the application says and asks

    def show(self, state: LeakPaneState) -> None:
        """Show this. A report with the same ``report_id`` as before is a reload: cursor, filter and order stay."""
        before, self._state = self._state, state
        if state.report is before.report and state.against is before.against and state == before:
            return
        if self.is_mounted:
            self._show_state()

    @property
    def arrangement(self) -> Arrangement | None:
        """What the list shows now, or what the trees are made of."""
        return self._arrangement

    @property
    def busy(self) -> bool:
        """Whether something asked for is still being worked out."""
        return any(worker.group.startswith("leak-") and worker.is_running for worker in self.workers)

    def focus_front(self) -> None:
        """Give the keys to the view that is shown."""
        self.front.focus()

    # From state to table to what a view needs

    def _show_state(self) -> None:
        state = self._state
        empty = empty_of(state)
        if empty is not None or state.report is None:
            self._table = self._arrangement = self._answer = None
            self._anchor = None
            for group in ("leak-table", "leak-rows"):
                self.workers.cancel_group(self, group)
            self._show_empty(empty)
            return
        known = self._table
        if known is not None and known.is_made_of(state.report, state.against):
            self.workers.cancel_group(self, "leak-table")
            self._show_answer()
            return
        if known is None:
            self._show_empty(reading())
        self.run_worker(
            table_work(state.report, state.against),
            name=f"leaks of report {state.report_id}",
            group="leak-table",
            thread=True,
            exclusive=True,
        )

    def ask(self, query: Query | None = None, view: View | None = None) -> None:
        """Have another query answered, or another view made; what is open in a tree stays open in the same one."""
        before = self._wish
        record = self._anchor if self._anchor is not None and self._anchor >= 0 else self.picked().record
        wish = Wish(query or before.query, view or before.view, record=record)
        if self.view is wish.view:
            wish = self._with_place(wish)
        self._wish = wish
        if self._table is not None:
            known = self._arrangement
            self.run_worker(
                rows_work(self._table, wish, known), name="leak rows", group="leak-rows", thread=True, exclusive=True
            )

    def _with_place(self, wish: Wish) -> Wish:
        """The wish with where the user is in the tree that is shown."""
        if self._answer is None or self._answer.branches is None:
            return wish
        rows, front, node = self._answer.branches, self.front, self.node
        held = () if node is None else rows.tree.names(node)
        shown = front.shown if isinstance(front, IcicleView) else None
        zoomed = () if shown is None else shown.tree.names(shown.zoomed)
        return replace(wish, opened=rows.opened(), held=held, zoomed=zoomed)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.SUCCESS:
            return
        result = event.worker.result
        if isinstance(result, LeakTable) and result.is_made_of(self._state.report, self._state.against):
            self._take_table(result)
        elif isinstance(result, Answer) and result.arrangement.table is self._table and result.wish == self._wish:
            # The first one takes no keys: they may be another pane's by now.
            changed = self._answer is not None and self._answer.wish.view is not result.wish.view
            self._answer, self._arrangement = result, result.arrangement
            self._show_answer(fresh=True, changed=changed)
        elif isinstance(result, Found) and result.text == self._search and self.view is View.ICICLE:
            self.query_one(IcicleView).light(result)
            self._say_found(result)

    def _take_table(self, table: LeakTable) -> None:
        self._table = table
        self.query_one(FindBar).offer_states(table.difference is not None)
        if self._held is not None and self._anchor not in (NOTES, ERRORS):
            self._anchor = same_record(self._held, table, NOTES if self._anchor is None else self._anchor)
            if self._anchor is not None:
                self._held = table.record(self._anchor)
        query = self._ordered_for(table)
        if query.within is not None:
            # Symbols rename groups: the one entered is where the cursor's leak is now.
            grouping, name = query.within
            if self._anchor is not None and self._anchor >= 0:
                name = table.group_of(self._anchor, grouping)
            query = query.with_within((grouping, name), query.grouping)
        view = self._wish.view
        self.ask(query, View.LIST if view is View.ERRORS and not table.report.errors else view)

    def _ordered_for(self, table: LeakTable) -> Query:
        """The query; a comparison begins with what has grown most, and its end brings the order from before back."""
        query = self._wish.query
        if table.difference is not None and self._order_before is None:
            self._order_before = query.order
            return replace(query, order=Order.CHANGE)
        if table.difference is None and self._order_before is not None:
            before, self._order_before = self._order_before, None
            return replace(query, order=before) if query.order is Order.CHANGE else query
        return query

    # From there to the screen

    def _show_answer(self, *, fresh: bool = False, changed: bool = False) -> None:
        """``fresh``: it has just come. ``changed``: it is of another view than the one before."""
        answer = self._answer
        if answer is None:
            return
        arrangement = answer.arrangement
        if changed:
            self.mark(empty=False, opened=False)
        else:
            self.mark(empty=False)
        if self.view is View.LIST:
            self._show_list(arrangement)
        elif fresh:
            self._show_view(answer)
        self._show_finding()
        if changed:
            self.front.focus()
            self._let_go_of_trees()
        self.show_detail()
        caption = summary.caption(arrangement, self._look, self._state.aside, self.view)
        self.post_message(self.Arranged(caption, arrangement.record_count))

    def _let_go_of_trees(self) -> None:
        """A tree of 200,000 stacks is not kept for a view that is not shown."""
        for hidden in (*self.query(TreeView), *self.query(IcicleView)):
            if hidden is not self.front:
                hidden.clear()

    def _show_list(self, arrangement: Arrangement) -> None:
        leak_list = self.query_one(LeakList)
        hint = arrangement.error or summary.nothing_shown(arrangement.table)
        leak_list.show(arrangement, self.lead(), self._position(arrangement, leak_list.position), hint)

    def _show_view(self, answer: Answer) -> None:
        front, branches = self.front, answer.branches
        if isinstance(front, ErrorView) and answer.errors is not None:
            front.show(answer.errors, front.index)
        elif isinstance(front, TreeView) and branches is not None:
            front.show(branches, answer.node)
        elif isinstance(front, IcicleView) and branches is not None:
            front.colour_by(self.colouring(front.colouring))
            front.show(branches.tree, answer.zoomed, answer.node)
            if self._search:
                self.search(self._search)

    def _position(self, arrangement: Arrangement, before: int) -> int:
        """Where the cursor belongs: on its record's row, else where it was, at first on the largest leak."""
        if self._anchor in (NOTES, ERRORS):
            return self._anchor if self._anchor in dict(self.lead()) else 0
        if self._anchor is None:
            return 0
        found = arrangement.position_of(self._anchor)
        if found is not None:
            return found
        return 0 if arrangement.query.filtered else max(0, min(before, len(arrangement) - 1))

    def _show_empty(self, empty: Empty | None) -> None:
        self.mark(empty=True, opened=False)
        if empty is not None:
            self.query_one(EmptyView).show(empty)
        self.post_message(self.Arranged("", 0))

    # What the user does

    def on_resize(self, event: events.Resize) -> None:
        self.mark(low=event.size.height < 6)
        self.show_detail()

    def moved(self) -> None:
        """The user's cursor is on something else."""
        table, record = self._table, self.picked().record
        position = self.query_one(LeakList).position
        if self.view is View.LIST and position < 0:
            self._anchor, self._held = position, None
        elif table is not None and record is not None:
            self._anchor, self._held = record, table.record(record)
        self.show_detail()

    @on(LeakList.Highlighted)
    @on(TreeView.Moved)
    @on(IcicleView.Moved)
    @on(ErrorView.Moved)
    def _view_moved(self) -> None:
        self.moved()

    @on(LeakList.Selected)
    @on(TreeView.Opened)
    @on(ErrorView.Opened)
    def _row_opened(self) -> None:
        self.moved()
        self.open_row()

    @on(LeakList.OrderAsked)
    def _order_asked(self, event: LeakList.OrderAsked) -> None:
        self.ask(replace(self._wish.query, order=event.order))

    @on(FindBar.Changed)
    def _typed(self, event: FindBar.Changed) -> None:
        if self.view is View.ICICLE:
            if event.text != self._search:
                self.search(event.text)
            return
        wanted = parse_filter(event.text)
        self._filter_text = event.text
        if wanted != self._wish.query.filter:
            self.ask(self._wish.query.with_filter(wanted))

    @on(FindBar.Left)
    def _find_left(self, event: FindBar.Left) -> None:
        self.leave_find(cleared=event.cleared)

    def search(self, text: str) -> None:
        """Light up in the icicle what is found."""
        self._search = text
        if self._table is not None and self._arrangement is not None:
            self.run_worker(
                search_work(self._table, self._arrangement.records, text),
                name="leak search",
                group="leak-search",
                thread=True,
                exclusive=True,
            )
