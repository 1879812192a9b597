"""The controls: the check of the next launch and the release rate; a column beside the graph, or one line under it."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message

from memtui.charset import UNICODE, Glyphs
from memtui.pending import PendingControls
from memtui.widgets.line import Line, Part, Text
from memtui.widgets.rate_slider import RateSlider, show_rate

RATE_NOTE = "per pages freed, not per second: an idle process releases nothing"
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
    """``show()`` puts the values up; the children tell the application of what the user wants."""

    DEFAULT_CSS = """
    Controls { layout: horizontal; height: 1; width: 1fr; padding: 0 1; }
    Controls > #check { width: auto; }
    Controls > #rate { width: auto; }
    Controls > #slider { width: 1fr; max-width: 24; }
    Controls > #rate-most { width: 4; }
    Controls > #hint { width: auto; }
    Controls > .column-only { display: none; }
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
        self._check = Line(id="check")
        self._brief = Line(id="check-brief", classes="column-only")
        self._rate = Line(id="rate")
        self._slider = RateSlider(glyphs=glyphs, id="slider")
        self._most = Line(id="rate-most")
        self._note = Text(Content.styled(RATE_NOTE, "$faint"), id="rate-note", classes="column-only")
        self._hint = Line(id="hint")

    def compose(self) -> ComposeResult:
        yield from (self._check, self._brief, self._rate, self._slider, self._most, self._note, self._hint)

    @property
    def slider(self) -> RateSlider:
        return self._slider

    def show(self, pending: PendingControls, *, wide: bool, width: int, live: bool, running: bool) -> None:
        """``width``: columns that the controls have in all. ``running``: r relaunches, else it launches."""
        self._slider.applied = pending.current_rate
        self._slider.value = pending.shown_rate
        if wide:
            self._show_column(pending, width - 4, live=live, running=running)
        else:
            self._show_line(pending, live=live, running=running)

    def _show_column(self, pending: PendingControls, width: int, *, live: bool, running: bool) -> None:
        glyphs = self._glyphs
        choose = f"m {glyphs.dropdown}" if live else ""
        self._check.show(_apart(Content("Check ") + mode_words(pending, glyphs), choose, width))
        self._brief.show(Content.styled("\n".join(BRIEF.get(pending.shown_mode, ("", ""))), "$muted"))
        rate = rate_words(pending, glyphs)
        gap = " " * max(1, width - len("Release rate") - rate.cell_length)
        self._rate.show(Content.assemble("Release rate", gap, rate))
        self._most.show(Content.assemble(("never", "$faint"), " " * max(1, width - 7), ("10", "$faint")))
        self._hint.show(_hint(pending, live=live, running=running, glyphs=glyphs, column=True))

    def _show_line(self, pending: PendingControls, *, live: bool, running: bool) -> None:
        glyphs = self._glyphs
        key: Part = ("m ", "bold $key") if live else ""
        self._check.show(Content.assemble(key, ("check ", "$muted"), mode_words(pending, glyphs), "   "))
        key = ("-+ ", "bold $key") if live else ""
        self._rate.show(Content.assemble(key, ("rate ", "$muted"), rate_words(pending, glyphs), "  "))
        self._most.show(Content.assemble((" 10 ", "$faint")))
        self._hint.show(_hint(pending, live=live, running=running, glyphs=glyphs, column=False))
        for line in (self._check, self._rate, self._hint):
            line.styles.width = line.content.cell_length
        # Text of another length moves its neighbours.

    def on_click(self, event: events.Click) -> None:
        key = {"check": "m", "check-brief": "m", "rate": "R", "hint": "r"}.get(getattr(event.widget, "id", None) or "")
        if key:
            self.post_message(self.Pressed(self, key))


def _apart(left: Content, right: str, width: int) -> Content:
    gap = " " * max(1, width - left.cell_length - len(right))
    return Content.assemble(left, gap, (right, "bold $key"))


def _hint(pending: PendingControls, *, live: bool, running: bool, glyphs: Glyphs, column: bool) -> Content:
    """What `r` would do now; lit up while something is pending."""
    if not live:
        return Content.styled("recorded" if column else " recorded", "$faint")
    verb = "relaunch" if running else "launch again"
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
