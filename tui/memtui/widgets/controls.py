"""The controls: the check of the next launch and the release rate; a column beside the graph, or one line under it."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message

from memtui.charset import UNICODE, Glyphs
from memtui.figures import show_rate
from memtui.pending import PendingControls
from memtui.widgets.line import Line, Part
from memtui.widgets.rate_slider import RateSlider

RATE_NOTE = "per pages freed, not per second: an idle process releases nothing"
# Rows of the column: the check and its words; what `r` would do comes after the slider's ends and the note.
CHECK_ROWS = 3
HINT_ROW = 5
# Widths of the line's parts with their longest words: 'm check → draconian', '-+ rate 9.5 → 10.0', ' r  relaunch to apply'.
CHECK_COLUMNS = 21
RATE_COLUMNS = 19
HINT_COLUMNS = 22
# What each mode does, in the few words that the column has room for.
BRIEF = {
    "off": ("no check, costs nothing", ""),
    "minimal": ("at exit: unreachable, but for", "what came before main()"),
    "normal": ("at exit: every block that no", "live pointer reaches"),
    "strict": ("at exit: as normal", ""),
    "draconian": ("at exit: everything that", "was not freed"),
    "as-is": ("at exit: what the HEAP_CHECK_", "variables ask for"),
    "local": ("only what the program's own", "checkers look at"),
}


def rate_words(pending: PendingControls, glyphs: Glyphs) -> Content:
    """``7.5``, or ``1.0 → 7.5`` while the new one is pending."""
    now = show_rate(pending.current_rate)
    if pending.rate is None:
        return Content.styled(now, "bold $strong")
    return Content.assemble((now, "$muted"), (f" {glyphs.arrow} ", "$muted"), (show_rate(pending.rate), "bold $warn"))


def mode_words(pending: PendingControls, glyphs: Glyphs) -> Content:
    if pending.mode is None:
        return Content.styled(pending.applied_mode, "bold $strong")
    return Content.assemble(
        (pending.applied_mode, "$muted"), (f" {glyphs.arrow} ", "$muted"), (pending.mode, "bold $warn")
    )


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
        self._wide = False
        self._check_columns = 0

    def compose(self) -> ComposeResult:
        yield from (self._above, self._slider, self._below)

    @property
    def slider(self) -> RateSlider:
        return self._slider

    def show(self, pending: PendingControls, *, wide: bool, width: int, live: bool, running: bool) -> None:
        """``width``: columns inside the column. ``running``: r relaunches, else it launches."""
        self._wide = wide
        self._slider.applied = pending.current_rate
        self._slider.value = pending.shown_rate
        hint = _hint(pending, live=live, running=running, glyphs=self._glyphs, column=wide)
        if wide:
            above, below = self._column(pending, hint, width, live=live)
        else:
            above, below = self._line(pending, hint, live=live)
        for line, content in ((self._above, above), (self._below, below)):
            line.show(content)
            line.styles.width = "1fr" if wide else content.cell_length

    def _column(self, pending: PendingControls, hint: Content, width: int, *, live: bool) -> tuple[Content, Content]:
        glyphs = self._glyphs
        mode = mode_words(pending, glyphs)
        if pending.mode is not None and mode.cell_length > width - len("Check ") - len(" m ▾"):
            mode = _to(pending.mode, glyphs)
        check = _apart(Content("Check ") + mode, f"m {glyphs.dropdown}" if live else "", width)
        rate = rate_words(pending, glyphs)
        gap = " " * max(1, width - len("Release rate") - rate.cell_length)
        brief = "\n".join(BRIEF.get(pending.shown_mode, ("", "")))
        above = Content.assemble(check, "\n", (brief, "$muted"), "\n\nRelease rate", gap, rate)
        ends = f"never{' ' * max(1, width - 7)}10"
        below = Content.assemble((ends, "$faint"), "\n", (_fold(RATE_NOTE, width), "$faint"), "\n\n", hint)
        return above, below

    def _line(self, pending: PendingControls, hint: Content, *, live: bool) -> tuple[Content, Content]:
        keys: tuple[Part, Part] = (("m ", "bold $key"), ("-+ ", "bold $key")) if live else ("", "")
        mode = mode_words(pending, self._glyphs) if pending.mode is None else _to(pending.mode, self._glyphs)
        check = _pad(Content.assemble(keys[0], ("check ", "$muted"), mode), CHECK_COLUMNS)
        rate = Content.assemble(keys[1], ("rate ", "$muted"), rate_words(pending, self._glyphs))
        self._check_columns = check.cell_length
        return check + _pad(rate, RATE_COLUMNS), Content.assemble((" 10 ", "$faint"), _pad(hint, HINT_COLUMNS))

    def on_click(self, event: events.Click) -> None:
        """The words stand for the keys they name: check for m, rate for R, the hint for r."""
        if event.widget is self._above:
            on_check = event.y < CHECK_ROWS if self._wide else event.x < self._check_columns
            self.post_message(self.Pressed(self, "m" if on_check else "R"))
        elif event.widget is self._below and (event.y >= HINT_ROW if self._wide else event.x > len(" 10 ")):
            self.post_message(self.Pressed(self, "r"))


def _to(mode: str, glyphs: Glyphs) -> Content:
    return Content.assemble((f"{glyphs.arrow} ", "$muted"), (mode, "bold $warn"))


def _pad(content: Content, width: int) -> Content:
    """At least so wide: what grows would push the slider away under the mouse that moves it."""
    return content.pad_right(max(0, width - content.cell_length))


def _fold(text: str, width: int) -> str:
    """``text`` on lines of at most ``width`` columns."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def _apart(left: Content, right: str, width: int) -> Content:
    gap = " " * max(1, width - left.cell_length - len(right))
    return Content.assemble(left, gap, (right, "bold $key"))


def _hint(pending: PendingControls, *, live: bool, running: bool, glyphs: Glyphs, column: bool) -> Content:
    """What `r` would do now; lit up while something is pending."""
    if not live:
        return Content.styled("recorded" if column else " recorded", "$faint")
    # "launch again" would take columns from the slider beside it.
    verb = "relaunch" if running else "launch again" if column or not pending.changed else "launch"
    if not pending.changed:
        keys: list[Part] = [("  " if not column else ""), ("r", "bold $key"), (f" {verb}", "$muted")]
        if column and running:
            keys += ["   ", ("t", "bold $key"), (" stop", "$muted")]
        return Content.assemble(*keys)
    chip = (" r ", "bold $chip-text on $warn")
    if not column:
        return Content.assemble(" ", chip, (f" {verb} to apply", "bold $warn"))
    return Content.assemble(
        chip,
        (f" {verb} to apply", "bold $warn"),
        "\n    ",
        (f"({pending.what()})  ", "$muted"),
        ("esc", "bold $key"),
        (" revert", "$muted"),
    )
