"""The mode and the rate in words, for the column and for the line."""

from __future__ import annotations

from textual.content import Content

from memtui.charset import Glyphs
from memtui.figures import show_rate
from memtui.pending import PendingControls

RATE_NOTE = "per pages freed, not per second: an idle process releases nothing"


def rate_words(pending: PendingControls, glyphs: Glyphs) -> Content:
    """``7.5``, ``7.5 live`` where it was set while the process ran, or ``1.0 → 7.5`` while the new one is pending."""
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
    if pending.mode is None:
        return Content.styled(pending.applied_mode, "bold $strong")
    return Content.assemble(
        (pending.applied_mode, "$muted"), (f" {glyphs.arrow} ", "$muted"), (pending.mode, "bold $warn")
    )


def change_words(mode: str, glyphs: Glyphs) -> Content:
    """``→ normal``, where there is no room for what it was."""
    return Content.assemble((f"{glyphs.arrow} ", "$muted"), (mode, "bold $warn"))
