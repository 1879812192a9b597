"""The line in which a filter is typed, with how much passes it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from memtui.reports.filter import TEXT_LIMIT

_TERMS = "-without  fn: file: lib: kind:  re:pattern  >1M"


class FindBar(Horizontal):
    """The line; it posts each change of the text, and that the user is done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(True)", "clear the filter", show=False, id="filter.clear"),
        Binding("down", "leave(False)", "to the list", show=False, id="filter.list"),
    ]
    DEFAULT_CSS = """
    FindBar {
        height: 1; background: $bar;
        & > #find-mark { width: 3; color: $key; text-style: bold; }
        & > #find-text { width: 1fr; height: 1; background: $bar; border: none; padding: 0; }
        & > #find-text:focus { background-tint: $bar 0%; }
        & > #find-count { width: auto; color: $muted; padding: 0 1; }
        & > #find-count.-error { color: $bad; }
    }
    """

    class Changed(Message):
        """The text has changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The user is done; ``cleared``: without a filter."""

        def __init__(self, cleared: bool) -> None:
            super().__init__()
            self.cleared = cleared

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._result = ("", False)

    def compose(self) -> ComposeResult:
        yield Static(" / ", id="find-mark", markup=False)
        yield Input(
            id="find-text",
            compact=True,
            max_length=TEXT_LIMIT,
            placeholder=f"text  {_TERMS}",
            select_on_focus=False,
        )
        yield Static("", id="find-count", markup=False)

    def start(self) -> None:
        """Give the keys to the text."""
        self.query_one(Input).focus()

    def hold(self, text: str) -> None:
        """Show this text in place of what was typed."""
        field = self.query_one(Input)
        if field.value != text:
            field.value = text

    def offer_states(self, comparing: bool) -> None:
        """Name the terms a filter can have; the one for changes only where two reports are compared."""
        self.query_one(Input).placeholder = f"text  {'state:new  ' if comparing else ''}{_TERMS}"

    def say(self, result: str, *, error: bool) -> None:
        """Show how much passes the filter, or the ``error`` in it."""
        count = self.query_one("#find-count", Static)
        if (result, error) != self._result:
            count.update(Content(result), layout=len(result) != len(self._result[0]))
            count.set_class(error, "-error")
            self._result = (result, error)

    def action_leave(self, cleared: bool) -> None:
        self.post_message(self.Left(cleared))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Left(not event.value.strip()))
