"""The leak browser as one widget: it connects what the user navigates to, the workers that answer, and the parts that show it."""

from __future__ import annotations

from collections.abc import Callable

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.worker import Worker, WorkerState

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.display.keymap import Place
from memtui.reports.answer import Answer, Selection, View, Wish
from memtui.reports.arrangement import Arrangement, Query
from memtui.reports.pane_state import READING, Empty, LeakPaneState, empty_of
from memtui.reports.scope import ChipKind
from memtui.reports.search import SearchResult
from memtui.reports.table import LeakTable
from memtui.session.status_line import StatusLine
from memtui.viewer.leaks import summary
from memtui.viewer.leaks.editor import Notice, SuppressAsked, copy, edit_frame, refused
from memtui.viewer.leaks.find_bar import FindBar
from memtui.viewer.leaks.icicle_view import IcicleView
from memtui.viewer.leaks.leak_rows import LeakRows
from memtui.viewer.leaks.navigation import Navigation
from memtui.viewer.leaks.parts import Parts
from memtui.viewer.leaks.record_list import LeakList
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.leaks.tree_view import TreeView
from memtui.viewer.leaks.work import rows_work, search_work, table_work


class LeakPane(Container):
    """Shows a LeakPaneState: a view of the leaks and a stack side by side, or one of them where there is no room for both.

    What a view needs is worked out in a worker thread; a newer wish ends the older one's work.
    """

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
        """The list has changed; its caption is for the tab bar: ``by stack · bytes▾``, or '' without leaks."""

        def __init__(self, caption: str) -> None:
            super().__init__()
            self.caption = caption

    def __init__(
        self,
        *,
        sources: Sources | None = None,
        skips: tuple[str, ...] = (),
        glyphs: Glyphs = UNICODE,
        id: str | None = None,
    ) -> None:
        """``skips``: patterns of functions that leaks are not named by, from the start."""
        super().__init__(id=id, classes="-ascii" if glyphs.ascii else "")
        self._glyphs = glyphs
        self._sources = Sources() if sources is None else sources
        self._parts = Parts(self, sources=self._sources, glyphs=self._glyphs)
        self._state = LeakPaneState()
        self._table: LeakTable | None = None
        self._navigation = Navigation().with_skips(skips)
        self._wish = Wish(Query())

    def compose(self) -> ComposeResult:
        parts = self._parts
        yield from (parts.find_bar, parts.body, parts.summary, parts.empty)

    def on_mount(self) -> None:
        self._show_state()

    # What the application shows and asks

    def show(self, state: LeakPaneState) -> None:
        """Show this. A report with the same ``report_id`` as before is a reload: cursor, filter and order stay."""
        before, self._state = self._state, state
        if state.report is before.report and state.against is before.against and state == before:
            return
        if self.is_mounted:
            self._show_state()

    @property
    def arrangement(self) -> Arrangement | None:
        """The rows of the list, or the records that the trees are made of; None while there are none."""
        return None if self._parts.answer is None else self._parts.answer.arrangement

    @property
    def view(self) -> View:
        """The view that is shown."""
        return self._parts.view

    @property
    def selection(self) -> Selection:
        return self._parts.selection

    @property
    def place(self) -> Place:
        """The part that has the keys, or would have them."""
        return self._parts.place

    @property
    def busy(self) -> bool:
        """Whether a worker has something still to work out."""
        return any(worker.group.startswith("leak-") and worker.is_running for worker in self.workers)

    def focus_front(self) -> None:
        """Give the keys to the view that is shown."""
        self._parts.front.focus()

    # From a report to its table, from there to the answer of a view

    def _show_state(self) -> None:
        state, table, empty = self._state, self._table, empty_of(self._state)
        if empty is not None:
            for group in ("leak-table", "leak-rows"):
                self.workers.cancel_group(self, group)
            self._show_empty(empty)
            return
        assert state.report is not None
        skips = self._navigation.query.scope.skips
        if table is not None and table.is_made_of(state.report, state.against, skips):
            self.workers.cancel_group(self, "leak-table")
            self._show_answer()
            return
        if table is None:
            self._show_empty(READING)
        self._run(table_work(state.report, state.against, skips), "leak-table", f"leaks of report {state.report_id}")

    def _run(self, work: Callable[[], object], group: str, name: str) -> None:
        self.run_worker(work, name=name, group=group, thread=True, exclusive=True)

    def _go(self, navigation: Navigation) -> None:
        """Navigate there: display its parts, and have worked out what was not wanted before."""
        before, self._navigation = self._navigation, navigation
        self._parts.lay_out(self._navigation)
        if before.finding and not navigation.finding:
            self._parts.find_bar.hold("")
            self.focus_front()
        if navigation.query.scope.skips != before.query.scope.skips:
            # Other names make another table, whose rows are worked out when it has come.
            self._show_state()
        elif (navigation.query, navigation.view) != (before.query, before.view):
            self._work_out()
        if navigation.search_text != before.search_text:
            self._search()

    def _work_out(self) -> None:
        """Have a worker answer the query and the view that are wanted; what is open in a tree stays open in the same one."""
        navigation, parts = self._navigation, self._parts
        record = navigation.position
        if record is None or record < 0:
            record = parts.selection.record
        self._wish = parts.with_place(Wish(navigation.query, navigation.view, record=record))
        if self._table is not None:
            self._run(rows_work(self._table, self._wish, self.arrangement), "leak-rows", "leak rows")

    def _search(self) -> None:
        """Have a worker find in the icicle what was typed."""
        arrangement, text = self.arrangement, self._navigation.search_text
        if self._table is not None and arrangement is not None:
            self._run(search_work(self._table, arrangement.records, text), "leak-search", "leak search")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.SUCCESS:
            return
        result, parts = event.worker.result, self._parts
        skips = self._navigation.query.scope.skips
        if isinstance(result, LeakTable) and result.is_made_of(self._state.report, self._state.against, skips):
            self._take_table(result)
        elif isinstance(result, Answer) and result.arrangement.table is self._table and result.wish == self._wish:
            # The first one takes no keys: they may be another pane's by now.
            changed = parts.answer is not None and parts.view is not result.wish.view
            parts.answer = result
            self._show_answer(fresh=True, changed=changed)
        elif isinstance(result, SearchResult) and result.text == self._navigation.search_text:
            parts.show_search(result)

    def _take_table(self, table: LeakTable) -> None:
        self._table = table
        self._parts.find_bar.offer_states(table.difference is not None)
        self._navigation = self._navigation.for_table(table)
        self._work_out()

    # From the answer to the screen

    def _show_answer(self, *, fresh: bool = False, changed: bool = False) -> None:
        """``fresh``: it has just come. ``changed``: it is of another view than the one before."""
        parts, answer = self._parts, self._parts.answer
        if answer is None:
            return
        if changed:
            self._navigation = self._navigation.closed()
        if not parts.find_bar.has_focus_within:
            self._navigation = self._navigation.find_shown(parts.view)
        parts.lay_out(self._navigation)
        parts.show_answer(self._navigation, fresh=fresh)
        if fresh and self.view is View.ICICLE and self._navigation.search_text:
            self._search()
        if changed:
            self.focus_front()
            parts.clear_hidden_trees()
        parts.show_stack(self._state)
        caption = summary.caption(answer.arrangement, self._glyphs, self._state.aside, parts.view)
        self.post_message(self.Arranged(caption))

    def _show_empty(self, empty: Empty) -> None:
        self._table = self._parts.answer = None
        self._navigation = self._navigation.at_nothing()
        self._parts.lay_out(self._navigation)
        self._parts.empty.show(empty)
        self.post_message(self.Arranged(""))

    # What the parts tell

    def on_resize(self, _: events.Resize) -> None:
        self._parts.lay_out(self._navigation)
        self._parts.show_stack(self._state)

    @on(LeakRows.Moved)
    @on(IcicleView.Moved)
    def _moved(self) -> None:
        """Keep what the cursor is on, and show its stack."""
        position = self._parts.leak_list.position if self.view is View.LIST else 0
        if self._table is not None:
            self._navigation = self._navigation.moved(self._table, position, self.selection.record)
        self._parts.show_stack(self._state)

    @on(LeakRows.Opened)
    def _row_opened(self) -> None:
        self._moved()
        self._open_row()

    @on(LeakList.OrderAsked)
    def _order_asked(self, event: LeakList.OrderAsked) -> None:
        self._go(self._navigation.ordered_by(event.order))

    @on(FindBar.Changed)
    def _typed(self, event: FindBar.Changed) -> None:
        self._go(self._navigation.typed(event.text, self.view))

    @on(FindBar.Left)
    def _find_left(self, event: FindBar.Left) -> None:
        if event.cleared:
            self._go(self._navigation.find_cleared(self.view))
        self.focus_front()

    # Keys: views, order, groups

    @property
    def _comparing(self) -> bool:
        return self._table is not None and self._table.difference is not None

    def action_view(self) -> None:
        if self._table is not None:
            self._go(self._navigation.next_view(errors=bool(self._table.report.errors)))

    def action_sort(self) -> None:
        if self.view not in (View.ICICLE, View.ERRORS):
            self._go(self._navigation.next_order(comparing=self._comparing))

    def action_group(self) -> None:
        """Group the list by the next grouping, or colour the icicle by the next colouring."""
        front = self._parts.front
        if isinstance(front, IcicleView):
            self._go(self._navigation.next_colouring(comparing=self._comparing))
            front.colour_by(self._navigation.icicle_colouring(comparing=self._comparing))
        elif self.view is View.LIST:
            self._go(self._navigation.next_grouping())

    # Keys: moving and opening

    def action_step(self, by: int) -> None:
        """Move the cursor by this many rows, also while a stack is open."""
        if self._parts.step(by):
            self._moved()

    def action_open(self) -> None:
        parts, front = self._parts, self._parts.front
        if parts.find_bar.has_focus_within:
            front.focus()
        elif parts.stack.has_focus:
            parts.stack.action_unfold()
        elif isinstance(front, IcicleView):
            front.action_zoom_in()
        elif isinstance(front, TreeView):
            front.action_select()
        else:
            self._open_row()

    def _open_row(self) -> None:
        """Open what is selected: its stack; for a group of several stacks, those; for the row of errors, those."""
        arrangement, navigation = self.arrangement, self._navigation.opened()
        if arrangement is None:
            return
        if self.view is View.LIST:
            navigation = self._navigation.row_opened(arrangement, self._parts.leak_list.position)
        opens_stack = navigation == self._navigation.opened()
        self._go(navigation)
        if opens_stack:
            self._parts.show_stack(self._state)
            self._parts.stack.focus()

    def back(self) -> bool:
        """Undo the last step in: stack, zoom, or one of the navigation. Return False when there is none."""
        parts = self._parts
        if parts.in_stack:
            self._go(self._navigation.closed())
            self.focus_front()
            parts.show_stack(self._state)
        elif isinstance(parts.front, IcicleView) and parts.front.action_zoom_out():
            pass
        elif (before := self._navigation.step_back(self.view)) is not None:
            self._go(before)
        else:
            return False
        return True

    # Keys: filter, focus, hide and skip

    def action_filter(self) -> None:
        """Filter by what is typed; the icicle is searched for it."""
        if self._table is not None:
            self._go(self._navigation.find_opened())
            self._parts.find_bar.start()

    def action_focus_function(self) -> None:
        self._put_chip(ChipKind.FOCUS)

    def action_hide_function(self) -> None:
        self._put_chip(ChipKind.HIDE)

    def action_skip_function(self) -> None:
        self._put_chip(ChipKind.SKIP)

    def _put_chip(self, kind: ChipKind) -> None:
        function = self.selection.function
        if not function or self._table is None:
            self._tell(refused("no function is selected"))
        elif (navigation := self._navigation.with_chip(kind, function)) is not self._navigation:
            self._go(navigation)
            self.focus_front()

    # Keys: what is done with the selection

    def _tell(self, line: StatusLine | None) -> None:
        if line is not None:
            self.post_message(Notice(line))

    def action_edit(self) -> None:
        """Open the selected line in the user's editor."""
        self._tell(edit_frame(self.app, self.selection.frame, self._sources))

    def action_copy(self) -> None:
        """Copy the selected stack, or error, as text."""
        self._tell(copy(self.app, self._table, self.selection.record, self._parts.error, self._glyphs))

    def action_suppress(self) -> None:
        """Have the selected leak left out from now on."""
        record, table = self.selection.record, self._table
        if record is None or table is None or self._parts.selects_several:
            self._tell(refused("choose one leak: b brings back the list by stack"))
        else:
            self.post_message(SuppressAsked(table.record(record), table.report.checker))
