"""The controls: the check of the next launch and the release rate, in a column beside the graph or on one line below it."""

from __future__ import annotations

from typing import NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content

from memtui.control.buttons import Button
from memtui.control.no_rate import RateLack
from memtui.control.pending import PendingControls
from memtui.display.figures import show_rate
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.widgets.key_clicked import KeyClicked
from memtui.viewer.widgets.line import Line, fold
from memtui.viewer.widgets.rate_slider import RateSlider
from memtui_profiler.checkers import mode_named
from memtui_profiler.request import CHECK_OFF

# The rows at the top of the column that belong to the check; those below belong to the rate.
CHECK_ROWS = 3
# The widths of the line's parts, each for its longest text: 'm check → draconian', '-+ rate 9.5 → 10.0', ' r  relaunch to apply'.
CHECK_COLUMNS = 21
RATE_COLUMNS = 19
HINT_COLUMNS = 22


class Controls(Container):
    """Text, the slider, and text below it. The slider's Changed and KeyClicked tell what the user wants.

    All text is in two widgets, as each widget costs a quarter of a millisecond before the first frame.
    """

    DEFAULT_CSS = """
    Controls { layout: horizontal; height: 1; width: 1fr; padding: 0 1; }
    Controls > Line { width: auto; }
    Controls > #slider { width: 1fr; max-width: 24; }
    """

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
        """Show this. ``rows`` and ``width``: the size inside the column; ``rows`` 1 for the line.

        ``picker``: the key m opens the check picker. ``lack``: why there is no rate, shown instead of the slider.
        """
        self._slider.display = lack is None
        self._slider.applied = pending.current_rate
        self._slider.value = pending.shown_rate
        self._buttons = buttons
        if rows > 1:
            self._column = parts = column(pending, buttons, width, rows, self._glyphs, picker=picker, lack=lack)
            shown = ((self._above, parts.above, parts.above_rows), (self._below, parts.below, parts.below_rows))
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
        """A click on the check presses m, on the rate R, on a button its key."""
        key = ""
        if event.widget is self._above:
            on_check = event.x < self._check_columns if self._column is None else event.y < CHECK_ROWS
            key = "m" if on_check else "R"
        elif event.widget is self._below:
            key = self._key_at(event.x, event.y)
        if key:
            self.post_message(KeyClicked(key))

    def _key_at(self, x: int, y: int) -> str:
        if self._column is None:
            button = _applying(self._buttons) if x > len(" 10 ") or not self._slider.display else None
            return button.key if button is not None else ""
        row, half = y - self._column.buttons_row, self._below.size.width // 2
        if row < 0:
            return "esc" if row == -1 and x >= half else ""
        number = 2 * row + (x >= half)
        return self._buttons[number].key if number < len(self._buttons) else ""


def _pad(content: Content, width: int) -> Content:
    """``content`` at least so wide: text that grows would move the slider away from the mouse that drags it."""
    return content.pad_right(max(0, width - content.cell_length))


def _applying(buttons: tuple[Button, ...]) -> Button | None:
    """The button that applies what is pending: relaunch, or where memtui has attached, the one that sets the rate."""
    return next((button for button in buttons if button.id in ("relaunch", "set-live")), None)


def _hint(pending: PendingControls, buttons: tuple[Button, ...]) -> Content:
    """The button that applies the values shown; highlighted while something is pending."""
    button = _applying(buttons)
    if button is None:
        return Content.styled(" recorded" if not buttons else "", "$faint")
    if not pending.changed:
        return Content.assemble("  ", (button.key, "bold $key"), (f" {button.words}", "$muted"))
    # Shorter than "launch again", to leave the slider its columns.
    verb = button.words.removesuffix(" again")
    return Content.assemble(" ", (f" {button.key} ", "bold $chip-text on $warn"), (f" {verb} to apply", "bold $warn"))


RATE_NOTE = "per pages freed, not per second: an idle process releases nothing"


def rate_words(pending: PendingControls, glyphs: Glyphs) -> Content:
    """Return ``7.5``, ``7.5 live`` for a rate set while the process ran, or ``1.0 → 7.5`` while a new one is pending."""
    now = show_rate(pending.current_rate)
    if pending.rate is not None:
        return Content.assemble(
            (now, "$muted"), (f" {glyphs.arrow} ", "$muted"), (show_rate(pending.rate), "bold $warn")
        )
    how = pending.read.how if pending.read is not None else ""
    if how == "outside":
        return Content.assemble((now, "bold $warn"), (" outside", "$warn"))
    return Content.assemble((now, "bold $strong"), (" live" if how == "live" else "", "$good"))


def mode_words(pending: PendingControls, glyphs: Glyphs) -> Content:
    """Return the check of the run, and the one of the next launch where it is another: ``minimal → normal``."""
    if pending.mode is None:
        return Content.styled(pending.applied_mode, "bold $strong")
    return Content.assemble(
        (pending.applied_mode, "$muted"), (f" {glyphs.arrow} ", "$muted"), (pending.mode, "bold $warn")
    )


def change_words(mode: str, glyphs: Glyphs) -> Content:
    """Return ``→ normal``, for where there is no room for both checks."""
    return Content.assemble((f"{glyphs.arrow} ", "$muted"), (mode, "bold $warn"))


# The rows from which there is an empty line above the buttons, the whole note, and an empty line before the rate.
AIRY_ROWS, ALL_ROWS, BRIEF_ROWS = 15, 14, 11
BRIEF_NOTE, OUTSIDE_NOTE = "per pages freed", "changed from outside"


class Column(NamedTuple):
    """Text above and below the slider. ``buttons_row``: the row of ``below`` with the first two buttons; the row before it tells
    what is pending.
    """

    above: Content
    below: Content
    above_rows: int
    below_rows: int
    buttons_row: int


def column(
    pending: PendingControls,
    buttons: tuple[Button, ...],
    width: int,
    rows: int,
    glyphs: Glyphs,
    *,
    picker: bool,
    lack: RateLack | None = None,
) -> Column:
    """Return the text for ``width`` columns and ``rows`` rows, one of which is the slider's.

    ``picker``: the key m opens the check picker. ``lack``: why there is no rate, shown instead of the slider and its note.
    """
    mode = mode_words(pending, glyphs)
    if pending.mode is not None and mode.cell_length > width - len("Check ") - len(" m ▾"):
        mode = change_words(pending.mode, glyphs)
    empty_line = "" if rows < BRIEF_ROWS else "\n"
    rate = rate_words(pending, glyphs) if lack is None else Content.styled("none", "$muted")
    gap = " " * max(1, width - len("Release rate") - rate.cell_length)
    above = Content.assemble(
        _apart(Content("Check ") + mode, Content.styled(f"m {glyphs.dropdown}" if picker else "", "bold $key"), width),
        "\n",
        ("\n".join(_brief(pending.shown_mode)), "$muted"),
        f"\n{empty_line}Release rate",
        gap,
        rate,
    )
    note = _note(pending, width, glyphs, whole=rows >= ALL_ROWS)
    if lack is not None:
        note = _instead_of_slider(lack, width, len(note) + 1, glyphs)
    grid = _grid(pending, buttons, width, glyphs)
    note += [Content("")] * (rows >= AIRY_ROWS)
    below = Content("\n").join([*note, _pending(pending, buttons, width), *grid])
    return Column(above, below, 4 + len(empty_line), len(note) + 1 + len(grid), len(note) + 1)


def _brief(mode: str) -> tuple[str, str]:
    """The two lines that say what a mode does."""
    if mode == CHECK_OFF:
        return "no check, costs nothing", ""
    known = mode_named(mode)
    return ("", "") if known is None else known.brief


def _note(pending: PendingControls, width: int, glyphs: Glyphs, *, whole: bool) -> list[Content]:
    """The ends of the slider's scale, and where there is room what a rate means."""
    outside = pending.rate is None and pending.read is not None and pending.read.how == "outside"
    if outside:
        middle, style, low = OUTSIDE_NOTE, "$warn", "0"
    else:
        middle, style, low = ("" if whole else BRIEF_NOTE), "$faint", "never"
    room = width - len(low) - len("10")
    ends = Content.assemble((low, "$faint"), (f"{middle:^{room}}", style), ("10", "$faint"))
    return [ends, *(Content.styled(line, "$faint") for line in (fold(RATE_NOTE, width) if whole else ()))]


def _instead_of_slider(lack: RateLack, width: int, rows: int, glyphs: Glyphs) -> list[Content]:
    """Why there is no rate, on the rows of the slider and its note, so that nothing below moves."""
    lines = fold(glyphs.plain(lack.sentence), width)
    if len(lines) > rows:
        lines = fold(glyphs.plain(lack.brief), width)[:rows]
    return [Content.styled(line, "$muted") for line in lines] + [Content("")] * (rows - len(lines))


def _pending(pending: PendingControls, buttons: tuple[Button, ...], width: int) -> Content:
    if not pending.changed or not buttons:
        return Content("")
    revert = Content.assemble(("esc", "bold $key"), (" revert", "$muted"))
    return _apart(Content.styled(f"apply {pending.what()}", "bold $warn"), revert, width)


def _grid(pending: PendingControls, buttons: tuple[Button, ...], width: int, glyphs: Glyphs) -> list[Content]:
    """The buttons, two a row."""
    if not buttons:
        return [Content.styled("recorded", "$faint")]
    half = width // 2
    cells = [_button(button, pending, glyphs) for button in buttons]
    return [
        Content.assemble(cells[n].pad_right(max(0, half - cells[n].cell_length)), *cells[n + 1 : n + 2])
        for n in range(0, len(cells), 2)
    ]


def _button(button: Button, pending: PendingControls, glyphs: Glyphs) -> Content:
    applies = (button.id == "relaunch" and pending.changed) or (button.id == "set-live" and pending.rate is not None)
    chip = "bold $chip-text on $warn" if applies else "bold $chip-text on $chip" if button.able else "$muted on $rule"
    style = "bold $warn" if applies else "$foreground" if button.able else "$faint"
    return Content.assemble((f" {button.key} ", chip), (f" {glyphs.plain(button.words)}", style))


def _apart(left: Content, right: Content, width: int) -> Content:
    return Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length), right)
