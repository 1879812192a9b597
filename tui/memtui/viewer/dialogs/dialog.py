"""The kinds of dialog: a box with a title over the main screen that answers with a value, or with None when esc closes it."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.widgets.line import Text

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """A subclass gives the body. The box is as high as its body, and scrolls where the terminal is lower."""

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
        # A title is parsed as markup; Content escapes it.
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
    """A dialog whose ``#text`` is scrolled by the keys of lists. A subclass binds the key that opened it to close it."""

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
    """Text to be read, in ``content``."""

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
    """A question with a few answers, each with a key; enter chooses the highlighted one."""

    DEFAULT_CSS = "Choice > #box { width: 64; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,tab", "move(1)", "down", show=False),
        Binding("up,k,shift+tab", "move(-1)", "up", show=False),
        Binding("enter", "choose", "choose", show=False),
    ]

    def __init__(
        self, title: str, question: str, answers: tuple[tuple[str, str, str], ...], *, glyphs: Glyphs = UNICODE
    ) -> None:
        """``answers``: value, key and label of each; the first is highlighted."""
        super().__init__(title, keys="enter choose   esc stay", glyphs=glyphs)
        self._question = question
        self._answers = answers
        self._highlighted = 0
        self._list = Text(self._content())

    def body(self) -> list[Widget]:
        return [Text(Content(self.glyphs.plain(self._question) + "\n")), self._list]

    def _content(self) -> Content:
        lines = []
        for index, (_, key, label) in enumerate(self._answers):
            highlighted = index == self._highlighted
            mark = f"{self.glyphs.cursor} " if highlighted else "  "
            style = "bold $strong" if highlighted else "$foreground"
            lines.append(Content.assemble((mark, "$primary"), (key, "bold $key"), (f"  {label}", style)))
        return Content("\n").join(lines)

    def action_move(self, by: int) -> None:
        self._highlighted = (self._highlighted + by) % len(self._answers)
        self._list.show(self._content())

    def action_choose(self) -> None:
        self.dismiss(self._answers[self._highlighted][0])

    def on_key(self, event: events.Key) -> None:
        for value, key, _ in self._answers:
            if event.key == key:
                event.stop()
                self.dismiss(value)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self._list and event.y < len(self._answers):
            self.dismiss(self._answers[event.y][0])


class InputDialog(Dialog[T]):
    """A dialog with one line to type in: an Input that a subclass puts into its body. It gets the focus, the cursor at its end."""

    DEFAULT_CSS = """
    InputDialog Input { border: none; height: 1; padding: 0; background: $bar; margin: 0 0 1 0; }
    InputDialog Input:focus { border: none; background: $bar; }
    """

    def on_mount(self) -> None:
        field = self.query_one(Input)
        field.focus()
        field.cursor_position = len(field.value)

    def on_key(self, event: events.Key) -> None:
        """Insert what is typed between the dialog's first frame and the moment when the input has the focus."""
        field = self.query_one(Input)
        if event.is_printable and event.character and not field.has_focus:
            event.stop()
            field.insert_text_at_cursor(event.character)
