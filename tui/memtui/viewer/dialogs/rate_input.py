"""The dialog to type a release rate: any decimal, checked at each character."""

from __future__ import annotations

from textual import on
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from memtui.control.pending import parse_rate
from memtui.display.figures import show_rate
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.dialogs.dialog import InputDialog
from memtui.viewer.widgets.controls import RATE_NOTE
from memtui.viewer.widgets.line import Text


class RateInput(InputDialog[float]):
    """Answers with the rate; ``rate``: the answer when nothing is typed."""

    DEFAULT_CSS = "RateInput > #box { width: 64; }"

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
        self._judge("")

    def _judge(self, text: str) -> None:
        typed = parse_rate(text or show_rate(self._rate))
        if typed.value is None:
            self._verdict.show(Content.styled(f"{self.glyphs.cross} {typed.refusal}\n", "$bad"))
        elif typed.warning:
            self._verdict.show(Content.styled(f"{self.glyphs.up} {typed.warning}\n", "$warn"))
        else:
            rate = "never" if typed.value == 0 else show_rate(typed.value)
            self._verdict.show(Content.styled(f"{self.glyphs.tick} {rate}\n", "$good"))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._judge(event.value)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        typed = parse_rate(event.value or show_rate(self._rate))
        if typed.value is not None:
            self.dismiss(typed.value)
