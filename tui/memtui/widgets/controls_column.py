"""The controls as a column beside the graph: the words above the slider, those under it, and the buttons. Pure text."""

from __future__ import annotations

from typing import NamedTuple

from textual.content import Content

from memtui.charset import Glyphs
from memtui.pending import PendingControls
from memtui.rate_lack import RateLack
from memtui.target_keys import Button
from memtui.widgets.controls_words import RATE_NOTE, change_words, mode_words, rate_words
from memtui.widgets.line import Part, fold

# The rows for all words and air, for all words, for the note in two of them; with fewer there is no air before the rate.
AIRY_ROWS, ALL_ROWS, BRIEF_ROWS = 15, 14, 11
BRIEF_NOTE, OUTSIDE_NOTE = "per pages freed", "changed from outside"
# What each mode does, in the few words that the column has room for.
BRIEF = {
    "off": ("no check, costs nothing", ""),
    "minimal": ("at exit: unreachable, but for", "what came before main()"),
    "normal": ("at exit: every block that no", "live pointer reaches"),
    "strict": ("at exit: as normal", ""),
    "draconian": ("at exit: everything that", "was not freed"),
    "as-is": ("at exit: what the HEAP_CHECK_", "variables ask for"),
    "local": ("only what the program's own", "checkers look at"),
    "memcheck": ("at exit, by valgrind: lost,", "reachable, and other errors"),
    "lsan": ("at exit, by LeakSanitizer:", "what no pointer reaches"),
    "profile": ("what is in use, by stack:", "each minute, and on s"),
}


class Column(NamedTuple):
    """``buttons_row``: the row of ``below`` where the first two buttons stand; the row before names what is pending."""

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
    """All of it for ``width`` columns and ``rows`` rows, one of which is the slider's. ``picker``: m chooses the check.

    ``lack``: there is no slider, and its row and those of its note say why.
    """
    mode = mode_words(pending, glyphs)
    if pending.mode is not None and mode.cell_length > width - len("Check ") - len(" m ▾"):
        mode = change_words(pending.mode, glyphs)
    air = "" if rows < BRIEF_ROWS else "\n"
    rate = rate_words(pending, glyphs) if lack is None else Content.styled("none", "$muted")
    gap = " " * max(1, width - len("Release rate") - rate.cell_length)
    above = Content.assemble(
        _apart(Content("Check ") + mode, Content.styled(f"m {glyphs.dropdown}" if picker else "", "bold $key"), width),
        "\n",
        ("\n".join(BRIEF.get(pending.shown_mode, ("", ""))), "$muted"),
        f"\n{air}Release rate",
        gap,
        rate,
    )
    note = _note(pending, width, glyphs, whole=rows >= ALL_ROWS)
    if lack is not None:
        note = _instead_of_slider(lack, width, len(note) + 1, glyphs)
    grid = _grid(pending, buttons, width, glyphs)
    note += [Content("")] * (rows >= AIRY_ROWS)
    below = Content("\n").join([*note, _pending(pending, buttons, width), *grid])
    return Column(above, below, 4 + len(air), len(note) + 1 + len(grid), len(note) + 1)


def _note(pending: PendingControls, width: int, glyphs: Glyphs, *, whole: bool) -> list[Content]:
    """The slider's ends, and what a rate is: under it always."""
    outside = pending.rate is None and pending.read is not None and pending.read.how == "outside"
    if outside:
        middle, style, low = OUTSIDE_NOTE, "$warn", "0"
    else:
        middle, style, low = ("" if whole else BRIEF_NOTE), "$faint", "never"
    room = width - len(low) - len("10")
    ends = Content.assemble((low, "$faint"), (f"{middle:^{room}}", style), ("10", "$faint"))
    return [ends, *(Content.styled(line, "$faint") for line in (fold(RATE_NOTE, width) if whole else ()))]


def _instead_of_slider(lack: RateLack, width: int, rows: int, glyphs: Glyphs) -> list[Content]:
    """As many rows as the slider and its note have, so that nothing below moves."""
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
    """Two buttons a row; lit are those that would apply what is pending."""
    if not buttons:
        return [Content.styled("recorded", "$faint")]
    half = width // 2
    cells = [_button(button, pending, glyphs) for button in buttons]
    return [
        Content.assemble(cells[n].pad_right(max(0, half - cells[n].cell_length)), *cells[n + 1 : n + 2])
        for n in range(0, len(cells), 2)
    ]


def _button(button: Button, pending: PendingControls, glyphs: Glyphs) -> Content:
    lit = (button.id == "relaunch" and pending.changed) or (button.id == "set-live" and pending.rate is not None)
    chip = "bold $chip-text on $warn" if lit else "bold $chip-text on $chip" if button.able else "$muted on $rule"
    words = "bold $warn" if lit else "$foreground" if button.able else "$faint"
    parts: tuple[Part, Part] = ((f" {button.key} ", chip), (f" {glyphs.plain(button.words)}", words))
    return Content.assemble(*parts)


def _apart(left: Content, right: Content, width: int) -> Content:
    return Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length), right)
