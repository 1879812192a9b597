"""The controls: the check of the next launch and the release rate; a column beside the graph, or one line under it."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message

from memtui.charset import UNICODE, Glyphs
from memtui.pending import PendingControls
from memtui.rate_lack import RateLack
from memtui.target_keys import Button
from memtui.widgets.controls_column import Column, column
from memtui.widgets.controls_words import change_words, mode_words, rate_words
from memtui.widgets.line import Line
from memtui.widgets.rate_slider import RateSlider

# Rows of the column's upper words that stand for the check; the rate's come after.
CHECK_ROWS = 3
# Widths of the line's parts with their longest words: 'm check → draconian', '-+ rate 9.5 → 10.0', ' r  relaunch to apply'.
CHECK_COLUMNS = 21
RATE_COLUMNS = 19
HINT_COLUMNS = 22


class Controls(Container):
    """``show()`` puts the values up: text, the slider, text. The slider and Pressed tell what the user wants.

    Three widgets and not one for each word: every widget costs a quarter of a millisecond before the first frame.
    """

    DEFAULT_CSS = """
    Controls { layout: horizontal; height: 1; width: 1fr; padding: 0 1; }
    Controls > Line { width: auto; }
    Controls > #slider { width: 1fr; max-width: 24; }
    """

    class Pressed(Message):
        """A control was clicked; ``key`` is the one that does the same."""

        def __init__(self, controls: Controls, key: str) -> None:
            super().__init__()
            self.controls = controls
            self.key = key

        @property
        def control(self) -> Controls:
            return self.controls

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._above = Line(id="above")
        self._slider = RateSlider(glyphs=glyphs, id="slider")
        self._below = Line(id="below")
        self._check_columns = 0
        self._buttons: tuple[Button, ...] = ()
        self._column: Column | None = None

    def compose(self) -> ComposeResult:
        yield from (self._above, self._slider, self._below)

    @property
    def slider(self) -> RateSlider:
        return self._slider

    def show(
        self,
        pending: PendingControls,
        buttons: tuple[Button, ...],
        *,
        rows: int,
        width: int,
        picker: bool,
        lack: RateLack | None = None,
    ) -> None:
        """``rows`` and ``width``: what there is inside the column, or ``rows`` 1 for the line. ``picker``: m chooses the check.

        ``lack``: there is no rate, and this stands in the slider's place.
        """
        self._slider.display = lack is None
        self._slider.applied = pending.current_rate
        self._slider.value = pending.shown_rate
        self._buttons = buttons
        if rows > 1:
            self._column = made = column(pending, buttons, width, rows, self._glyphs, picker=picker, lack=lack)
            shown = ((self._above, made.above, made.above_rows), (self._below, made.below, made.below_rows))
        else:
            self._column = None
            above, below = self._line(pending, picker=picker, lack=lack)
            shown = ((self._above, above, 1), (self._below, below, 1))
        for line, content, height in shown:
            line.show(content)
            line.styles.width = content.cell_length if self._column is None else "1fr"
            line.styles.height = height

    def _line(self, pending: PendingControls, *, picker: bool, lack: RateLack | None) -> tuple[Content, Content]:
        glyphs = self._glyphs
        mode = mode_words(pending, glyphs) if pending.mode is None else change_words(pending.mode, glyphs)
        rate_key = ("-+ ", "bold $key") if self._buttons else ""
        check = _pad(Content.assemble(("m " if picker else "", "bold $key"), ("check ", "$muted"), mode), CHECK_COLUMNS)
        rate = Content.assemble(rate_key, ("rate ", "$muted"), rate_words(pending, glyphs))
        self._check_columns = check.cell_length
        hint = _pad(_hint(pending, self._buttons), HINT_COLUMNS)
        if lack is not None:
            return check + Content.styled(glyphs.plain(lack.brief), "$muted"), hint
        return check + _pad(rate, RATE_COLUMNS), Content.assemble((" 10 ", "$faint"), hint)

    def on_click(self, event: events.Click) -> None:
        """The words stand for the keys they name: check for m, rate for R, each button for its own."""
        key = ""
        if event.widget is self._above:
            on_check = event.x < self._check_columns if self._column is None else event.y < CHECK_ROWS
            key = "m" if on_check else "R"
        elif event.widget is self._below:
            key = self._key_at(event.x, event.y)
        if key:
            self.post_message(self.Pressed(self, key))

    def _key_at(self, x: int, y: int) -> str:
        if self._column is None:
            acts = _acting(self._buttons) if x > len(" 10 ") or not self._slider.display else None
            return acts.key if acts is not None else ""
        row, half = y - self._column.buttons_row, self._below.size.width // 2
        if row < 0:
            return "esc" if row == -1 and x >= half else ""
        number = 2 * row + (x >= half)
        return self._buttons[number].key if number < len(self._buttons) else ""


def _pad(content: Content, width: int) -> Content:
    """At least so wide: what grows would push the slider away under the mouse that moves it."""
    return content.pad_right(max(0, width - content.cell_length))


def _acting(buttons: tuple[Button, ...]) -> Button | None:
    """The one that applies what is pending: a relaunch, or where memtui has only attached, the rate alone."""
    return next((button for button in buttons if button.id in ("relaunch", "set-live")), None)


def _hint(pending: PendingControls, buttons: tuple[Button, ...]) -> Content:
    """What applies the values that are shown; lit up while something is pending."""
    acts = _acting(buttons)
    if acts is None:
        return Content.styled(" recorded" if not buttons else "", "$faint")
    if not pending.changed:
        return Content.assemble("  ", (acts.key, "bold $key"), (f" {acts.words}", "$muted"))
    # "launch again" would take columns from the slider beside it.
    words = acts.words.removesuffix(" again")
    return Content.assemble(" ", (f" {acts.key} ", "bold $chip-text on $warn"), (f" {words} to apply", "bold $warn"))
