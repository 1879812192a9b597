"""The leak browser as one widget: list and stack side by side, or one of them where there is no room for both."""

from __future__ import annotations

from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.worker import Worker, WorkerState

from memtui.leaks import summary
from memtui.leaks.arrange import Arrangement, Query
from memtui.leaks.columns import notes_words
from memtui.leaks.detail import StackView
from memtui.leaks.filter import parse_filter
from memtui.leaks.find import FindBar
from memtui.leaks.list import NOTES, LeakList
from memtui.leaks.look import look as look_for
from memtui.leaks.model import LeakTable, Order, same_record
from memtui.leaks.notices import EmptyView, SummaryLines
from memtui.leaks.source import Sources
from memtui.leaks.state import Empty, LeakPaneState, empty_of, reading
from memtui.leaks.work import rows_work, table_work
from memtui_parsers.values import LeakRecord

SPLIT_FROM = 100


class LeakPane(Container):
    """Shows a LeakPaneState. Sorting and filtering run in a worker thread; a newer wish ends the older one's work."""

    DEFAULT_CSS = """
    LeakPane {
        layout: vertical;
        &.-finding #leak-find { display: block; }
        #leak-body { height: 1fr; }
        #leak-list { width: 1fr; height: 1fr; }
        #leak-stack { width: 1fr; height: 1fr; display: none; }
        #leak-summary { height: 2; padding: 0 1; }
        #leak-empty { height: 1fr; padding: 1 3; display: none; }
        &.-opened #leak-list { display: none; }
        &.-opened #leak-stack { display: block; padding: 0 1; }
        &.-opened #leak-summary { display: none; }
        &.-split #leak-list { width: 3fr; display: block; }
        &.-split #leak-stack { width: 2fr; display: block; border-left: solid $rule; padding: 0 0 0 1; }
        &.-split.-ascii #leak-stack { border-left: ascii $rule; }
        &.-split #leak-summary { height: 1; display: block; }
        &.-low #leak-summary { height: 1; }
        &.-empty #leak-find, &.-empty #leak-body, &.-empty #leak-summary { display: none; }
        &.-empty #leak-empty { display: block; }
    }
    """

    class Arranged(Message):
        """The list has changed: its caption for the tab bar (``by stack · bytes▾``), and how many records it shows."""

        def __init__(self, caption: str, records: int) -> None:
            super().__init__()
            self.caption = caption
            self.records = records

    def __init__(self, *, sources: Sources | None = None, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id, classes="-ascii" if ascii else None)
        self._look = look_for(ascii)
        self._ascii = ascii
        self._sources = Sources() if sources is None else sources
        self._state = LeakPaneState()
        self._table: LeakTable | None = None
        self._arrangement: Arrangement | None = None
        self._query = Query()
        # The record the cursor belongs to, through sorting, filtering, reloading; None until there is one.
        self._anchor: int | None = None
        # The same as a value: a report that lacks it may give way to one that has it.
        self._held: LeakRecord | None = None
        self._order_before: Order | None = None

    def compose(self) -> ComposeResult:
        yield FindBar(id="leak-find")
        with Horizontal(id="leak-body"):
            yield LeakList(ascii=self._ascii, id="leak-list")
            yield StackView(sources=self._sources, ascii=self._ascii, id="leak-stack")
        yield SummaryLines(sources=self._sources, look=self._look, id="leak-summary")
        yield EmptyView(look=self._look, id="leak-empty")

    def on_mount(self) -> None:
        self._show_state()

    # What the application says and asks

    def show(self, state: LeakPaneState) -> None:
        """Show this. A report with the same ``report_id`` as before is a reload: cursor, filter and order stay."""
        before, self._state = self._state, state
        if state.report is before.report and state.against is before.against and state == before:
            return
        if self.is_mounted:
            self._show_state(before)

    @property
    def arrangement(self) -> Arrangement | None:
        """What the list shows now."""
        return self._arrangement

    @property
    def busy(self) -> bool:
        """Whether something asked for is still being worked out."""
        return any(worker.group.startswith("leak-") and worker.is_running for worker in self.workers)

    def action_filter(self) -> None:
        if self._table is None:
            return
        self.add_class("-finding")
        self.query_one(FindBar).start()

    def action_sort(self) -> None:
        self._ask(self._query.next_order(comparing=self._table is not None and self._table.difference is not None))

    def action_group(self) -> None:
        self._ask(self._query.next_grouping())

    def action_next_leak(self) -> None:
        self._step(1)

    def action_previous_leak(self) -> None:
        self._step(-1)

    def action_open(self) -> None:
        """The stack of the leak in hand; for a group of several stacks, those."""
        arrangement, position = self._arrangement, self.query_one(LeakList).position
        if arrangement is None:
            return
        if position >= 0 and arrangement.grouped and arrangement.row(position).stacks > 1:
            self._ask(self._query.with_within((arrangement.query.grouping, arrangement.group_name(position))))
            return
        self.add_class("-opened")
        self._show_detail()
        self.query_one(StackView).focus()

    def action_back(self) -> None:
        self.back()

    def back(self) -> bool:
        """Undo the last step in: the open stack, the group entered, the filter. False when there is none."""
        stack = self.query_one(StackView)
        if self.has_class("-opened") or stack.has_focus:
            self.remove_class("-opened")
            self.query_one(LeakList).focus()
            self._show_detail()
            return True
        if self._query.within is not None:
            grouping, _ = self._query.within
            self._ask(self._query.with_within(None, grouping))
            return True
        if self.has_class("-finding"):
            self._leave_filter(cleared=True)
            return True
        return False

    # From state to table to arrangement

    def _show_state(self, before: LeakPaneState | None = None) -> None:
        state = self._state
        empty = empty_of(state)
        if empty is not None or state.report is None:
            self._table = self._arrangement = None
            self._anchor = None
            self.workers.cancel_group(self, "leak-table")
            self.workers.cancel_group(self, "leak-rows")
            self._show_empty(empty)
            return
        known = self._table
        if known is not None and known.is_made_of(state.report, state.against):
            self.workers.cancel_group(self, "leak-table")
            self._show_arrangement()
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

    def _ask(self, query: Query) -> None:
        self._query = query
        if self._table is not None:
            self.run_worker(
                rows_work(self._table, query),
                name="leak rows",
                group="leak-rows",
                thread=True,
                exclusive=True,
            )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.SUCCESS:
            return
        result = event.worker.result
        if isinstance(result, LeakTable) and result.is_made_of(self._state.report, self._state.against):
            self._take_table(result)
        elif isinstance(result, Arrangement) and result.table is self._table and result.query == self._query:
            self._arrangement = result
            self._show_arrangement()

    def _take_table(self, table: LeakTable) -> None:
        self._table = table
        self.query_one(FindBar).offer_states(table.difference is not None)
        if self._held is not None and self._anchor != NOTES:
            self._anchor = same_record(self._held, table, NOTES if self._anchor is None else self._anchor)
            if self._anchor is not None:
                self._held = table.record(self._anchor)
        query = self._ordered_for(table)
        if query.within is not None:
            # Symbols rename groups: the one entered is where the cursor's leak is now.
            grouping, name = query.within
            if self._anchor is not None and self._anchor != NOTES:
                name = table.group_of(self._anchor, grouping)
            query = query.with_within((grouping, name), query.grouping)
        self._ask(query)

    def _ordered_for(self, table: LeakTable) -> Query:
        """The query; a comparison begins with what has grown most, and its end brings the order from before back."""
        query = self._query
        if table.difference is not None and self._order_before is None:
            self._order_before = query.order
            return replace(query, order=Order.CHANGE)
        if table.difference is None and self._order_before is not None:
            before, self._order_before = self._order_before, None
            return replace(query, order=before) if query.order is Order.CHANGE else query
        return query

    # From arrangement to screen

    def _show_arrangement(self) -> None:
        arrangement = self._arrangement
        if arrangement is None:
            return
        self.remove_class("-empty")
        leak_list = self.query_one(LeakList)
        hint = "" if len(arrangement) else arrangement.error or "No record passes the filter: esc clears it."
        leak_list.show(arrangement, self._lead(), self._position(arrangement, leak_list.position), hint)
        self._show_detail()
        words = self._look.text(summary.filter_line(arrangement, self._look))
        self.query_one(FindBar).say(words, error=bool(arrangement.error))
        caption = summary.caption(arrangement, self._look, self._state.aside)
        self.post_message(self.Arranged(caption, arrangement.record_count))

    def _position(self, arrangement: Arrangement, before: int) -> int:
        """Where the cursor belongs: on its record's row, else where it was, at first on the largest leak."""
        if self._anchor == NOTES and self._notes():
            return NOTES
        if self._anchor is None or self._anchor == NOTES:
            return 0
        found = arrangement.position_of(self._anchor)
        if found is not None:
            return found
        return 0 if arrangement.query.filtered else max(0, min(before, len(arrangement) - 1))

    def _lead(self) -> tuple[tuple[int, str], ...]:
        notes = self._notes()
        return ((NOTES, notes_words(notes)),) if notes else ()

    def _notes(self) -> tuple[str, ...]:
        return summary.table_notes(self._table) if self._table is not None else ()

    def _show_detail(self) -> None:
        arrangement, position = self._arrangement, self.query_one(LeakList).position
        stack = self.query_one(StackView)
        if arrangement is None:
            stack.clear()
        elif position < 0 and self._notes():
            stack.show_notes(self._notes())
        elif 0 <= position < len(arrangement):
            row = arrangement.row(position)
            words = summary.short_heading if self.has_class("-split") else summary.heading
            heading = words(arrangement, position, self._look, self._state.was_at)
            stack.show_stack(arrangement.table, row.record, heading)
        else:
            stack.clear()
        self._show_summary()

    def _show_summary(self) -> None:
        if self._arrangement is not None:
            position = self.query_one(LeakList).position
            self.query_one(SummaryLines).show(self._state, self._arrangement, position, self.size.width, self.classes)

    def _show_empty(self, empty: Empty | None) -> None:
        self.add_class("-empty")
        self.remove_class("-opened")
        if empty is not None:
            self.query_one(EmptyView).show(empty)
        self.post_message(self.Arranged("", 0))

    # What the user does

    def on_resize(self, event: events.Resize) -> None:
        split = event.size.width >= SPLIT_FROM
        self.set_class(split, "-split")
        self.query_one(LeakList).beside_stack = split
        self.set_class(event.size.height < 6, "-low")
        self._show_detail()

    def _step(self, by: int) -> None:
        arrangement, leak_list = self._arrangement, self.query_one(LeakList)
        if arrangement is None or not len(arrangement):
            return
        leak_list.move_to(max(0, min(leak_list.position + by, len(arrangement) - 1)))
        self._moved()

    def _moved(self) -> None:
        arrangement, position = self._arrangement, self.query_one(LeakList).position
        if arrangement is None:
            return
        if position < 0:
            self._anchor, self._held = NOTES, None
        elif position < len(arrangement):
            self._anchor = arrangement.row(position).record
            self._held = arrangement.table.record(self._anchor)
        self._show_detail()

    @on(LeakList.Highlighted)
    def _list_moved(self) -> None:
        self._moved()

    @on(LeakList.Selected)
    def _list_opened(self) -> None:
        self._moved()
        self.action_open()

    @on(LeakList.OrderAsked)
    def _order_asked(self, event: LeakList.OrderAsked) -> None:
        self._ask(replace(self._query, order=event.order))

    @on(FindBar.Changed)
    def _filter_typed(self, event: FindBar.Changed) -> None:
        wanted = parse_filter(event.text)
        if wanted != self._query.filter:
            self._ask(self._query.with_filter(wanted))

    @on(FindBar.Left)
    def _filter_left(self, event: FindBar.Left) -> None:
        self._leave_filter(cleared=event.cleared)

    def _leave_filter(self, *, cleared: bool) -> None:
        if cleared:
            self.query_one(FindBar).clear()
            self.remove_class("-finding")
        self.query_one(LeakList).focus()
