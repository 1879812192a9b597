"""The words below the list, and those that stand in its place when there is no leak to show."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from memtui.leaks import summary
from memtui.leaks.arrange import Arrangement
from memtui.leaks.look import Look
from memtui.leaks.source import Sources
from memtui.leaks.state import Empty, EmptyKind, LeakPaneState

_COLOURS = {EmptyKind.NONE_FOUND: "$good", EmptyKind.CANNOT: "$warn", EmptyKind.KILLED: "$bad"}


class SummaryLines(Static):
    """What the report is of, and where the stack is not beside the list, the leak in hand in one line."""

    def __init__(self, *, sources: Sources, look: Look, id: str) -> None:
        super().__init__("", id=id, markup=False)
        self._sources = sources
        self._look = look
        self._words = Content("")

    def show(
        self,
        state: LeakPaneState,
        arrangement: Arrangement,
        below: str | int | None,
        width: int,
        *,
        one_line: bool,
    ) -> None:
        """``below``: what is in hand, a record or words, in the second line, or where there is ``one_line`` in its place."""
        room = max(10, width - 2)
        words = self._look.text(summary.report_line(state, arrangement, self._look))
        report = Content.styled(self._look.cut(words, room), "$muted")
        if below is None:
            self._put(report)
            return
        if isinstance(below, str):
            leak = Content.styled(self._look.cut(self._look.text(below), room), "$foreground")
        else:
            where, code, callers = summary.leak_line(arrangement.table, below, self._sources, self._look, room)
            leak = Content.assemble((where, "$muted"), (code, "$foreground"), (callers, "$muted"))
        self._put(leak if one_line else Content.assemble(report, "\n", leak))

    def _put(self, words: Content) -> None:
        if not words.is_same(self._words):
            self._words = words
            # Its height is fixed: nothing else moves.
            self.update(words, layout=False)


class EmptyView(Static):
    """Why there is nothing to list, and what to do."""

    def __init__(self, *, look: Look, id: str) -> None:
        super().__init__("", id=id, markup=False)
        self._look = look

    def show(self, empty: Empty) -> None:
        parts = [(self._look.text(empty.headline), f"bold {_COLOURS.get(empty.kind, '$strong')}")]
        parts += [(f"\n{self._look.text(line)}", "$muted") for line in empty.lines]
        self.update(Content.assemble(*parts))
