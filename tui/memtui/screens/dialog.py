"""A dialog: a titled box over the main screen, closed by esc, which answers with a value or None."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget

from memtui.charset import UNICODE, Glyphs
from memtui.widgets.line import Text

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """Subclasses give the body; the box is as high as it needs to be and scrolls where the terminal is lower."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "close", show=False, id="dialog.close")]
    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > #box { border: round $primary; background: $surface; padding: 1 2; height: auto; max-height: 100%; width: 76;
        max-width: 100%; border-title-color: $strong; border-title-style: bold; border-subtitle-color: $muted; }
    Dialog > #box.-ascii { border: ascii $primary; }
    """

    def __init__(self, title: str, *, keys: str = "esc close", glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self.glyphs = glyphs
        self._box_title = title
        self._box_keys = keys

    def compose(self) -> ComposeResult:
        box = Container(*self.body(), id="box", classes="-ascii" if self.glyphs.ascii else "")
        # Titles are markup unless they are Content made of plain text.
        box.border_title = Content(f" {self.glyphs.plain(self._box_title)} ").markup
        box.border_subtitle = Content(f" {self.glyphs.plain(self._box_keys)} ").markup
        yield box

    def body(self) -> list[Widget]:
        raise NotImplementedError

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.dismiss(None)


class Scrolling(Dialog[None]):
    """``#text`` of the body is read on by the keys of any list; closes by esc or by the key that opened it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter", "leave", "close", show=False),
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("g,home", "edge(False)", "first", show=False),
        Binding("G,end", "edge(True)", "last", show=False),
    ]

    def action_scroll(self, by: int) -> None:
        self.query_one("#text").scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        text = self.query_one("#text")
        text.scroll_relative(y=by * max(1, text.size.height - 1), animate=False)

    def action_edge(self, last: bool) -> None:
        text = self.query_one("#text")
        text.scroll_to(y=text.max_scroll_y if last else 0, animate=False)


class Reading(Scrolling):
    """Text to be read."""

    DEFAULT_CSS = """
    Reading > #box { max-height: 90%; }
    Reading #text { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    """

    def __init__(self, title: str, content: Content, *, keys: str = "esc close", glyphs: Glyphs = UNICODE) -> None:
        super().__init__(title, keys=keys, glyphs=glyphs)
        self._text = content

    def body(self) -> list[Widget]:
        return [VerticalScroll(Text(self._text), id="text")]


class Choice(Dialog[str]):
    """A question with a few answers, each with a key; enter takes the one that is lit."""

    DEFAULT_CSS = "Choice > #box { width: 64; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,tab", "move(1)", "down", show=False),
        Binding("up,k,shift+tab", "move(-1)", "up", show=False),
        Binding("enter", "choose", "choose", show=False),
    ]

    def __init__(
        self, title: str, question: str, answers: tuple[tuple[str, str, str], ...], *, glyphs: Glyphs = UNICODE
    ) -> None:
        """``answers``: (value, key, words) each; the first is lit at first."""
        super().__init__(title, keys="enter choose   esc stay", glyphs=glyphs)
        self._question = question
        self._answers = answers
        self._lit = 0
        self._list = Text(self._content())

    def body(self) -> list[Widget]:
        return [Text(Content(self.glyphs.plain(self._question) + "\n")), self._list]

    def _content(self) -> Content:
        lines = []
        for index, (_, key, words) in enumerate(self._answers):
            lit = index == self._lit
            mark = f"{self.glyphs.cursor} " if lit else "  "
            style = "bold $strong" if lit else "$foreground"
            lines.append(Content.assemble((mark, "$primary"), (key, "bold $key"), (f"  {words}", style)))
        return Content("\n").join(lines)

    def action_move(self, by: int) -> None:
        self._lit = (self._lit + by) % len(self._answers)
        self._list.show(self._content())

    def action_choose(self) -> None:
        self.dismiss(self._answers[self._lit][0])

    def on_key(self, event: events.Key) -> None:
        for value, key, _ in self._answers:
            if event.key == key:
                event.stop()
                self.dismiss(value)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self._list and event.y < len(self._answers):
            self.dismiss(self._answers[event.y][0])
