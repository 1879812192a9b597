"""Type a release rate: any decimal, judged with every character."""

from __future__ import annotations

from textual import events, on
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from memtui.charset import UNICODE, Glyphs
from memtui.figures import show_rate
from memtui.pending import parse_rate
from memtui.screens.dialog import Dialog
from memtui.widgets.controls_words import RATE_NOTE
from memtui.widgets.line import Text


class RateInput(Dialog[float]):
    DEFAULT_CSS = """
    RateInput > #box { width: 64; }
    RateInput Input { border: none; height: 1; padding: 0; background: $bar; margin: 0 0 1 0; }
    RateInput Input:focus { border: none; background: $bar; }
    """

    def __init__(self, rate: float, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Release rate", keys="enter take it   esc leave", glyphs=glyphs)
        self._rate = rate
        self._verdict = Text(id="verdict")

    def body(self) -> list[Widget]:
        note = Content.assemble((RATE_NOTE, "$muted"), "\n", ("0 never gives back; 10 gives back most", "$muted"))
        return [
            Text(Content("TCMALLOC_RELEASE_RATE for the next launch\n")),
            Input(placeholder=show_rate(self._rate), max_length=40, compact=True, select_on_focus=False),
            self._verdict,
            Text(note),
        ]

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._judge("")

    def on_key(self, event: events.Key) -> None:
        """The focus comes a moment after the dialog is seen: what is typed before it counts all the same."""
        field = self.query_one(Input)
        if event.is_printable and event.character and not field.has_focus:
            event.stop()
            field.insert_text_at_cursor(event.character)

    def _judge(self, text: str) -> None:
        typed = parse_rate(text or show_rate(self._rate))
        if typed.value is None:
            self._verdict.show(Content.styled(f"{self.glyphs.cross} {typed.refusal}\n", "$bad"))
        elif typed.warning:
            self._verdict.show(Content.styled(f"{self.glyphs.up} {typed.warning}\n", "$warn"))
        else:
            words = "never" if typed.value == 0 else show_rate(typed.value)
            self._verdict.show(Content.styled(f"{self.glyphs.tick} {words}\n", "$good"))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._judge(event.value)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        typed = parse_rate(event.value or show_rate(self._rate))
        if typed.value is not None:
            self.dismiss(typed.value)
