"""The breakdown as a table: for each part of RSS its name, size, share and change, and what can be done about it."""

from __future__ import annotations

from textual.content import Content

from memtui.display.figures import brief, signed
from memtui.display.glyphs import Glyphs
from memtui.viewer.heap.bars import COLOURS, TEXTURES, share_words, small_bar
from memtui.viewer.heap.breakdown import Breakdown, Part, Role

# Before each name: a mark between two spaces.
MARK_COLUMNS = 3
BYTES_COLUMNS = 9
SHARE_COLUMNS = 6
CHANGE_COLUMNS = 9
_ALL_BUT_NAME_BAR_AND_NOTE = BYTES_COLUMNS + 1 + SHARE_COLUMNS + CHANGE_COLUMNS
_SHORTEST_BAR, _WIDEST_BAR = 4, 40
# The width of a note and the two columns before it: of the long notes and of the short ones.
_LONG_NOTE, _NOTE = 18, 15
# Less than this is not worth a release.
_WORTH_A_RELEASE_BYTES = 1 << 20
# A change of less than this share of RSS is usual in any process, and gets no colour.
_WORTH_A_COLOUR = 0.01


def _name_columns(shown: Breakdown) -> int:
    return MARK_COLUMNS + max(len(part.name) for part in shown.parts)


def _bar_and_note(shown: Breakdown, width: int) -> tuple[int, int]:
    """The widths of the small bars and of the notes with the two columns before them; 0 for no room or no notes."""
    spare = width - _name_columns(shown) - _ALL_BUT_NAME_BAR_AND_NOTE
    notes = (_LONG_NOTE, _NOTE) if any(part.role is Role.FREE for part in shown.parts) else ()
    note = next((note for note in notes if spare - note >= _SHORTEST_BAR), 0)
    return max(0, min(_WIDEST_BAR, spare - note)), note


def heading(shown: Breakdown, width: int) -> Content:
    """Return the titles of the columns, with RSS itself."""
    bar, _ = _bar_and_note(shown, width)
    since = shown.since if shown.since.startswith("since ") else shown.since.upper()
    return Content.assemble(
        (f" {shown.whole:<{_name_columns(shown) - 1}}{brief(shown.rss_bytes):>{BYTES_COLUMNS}}", "$muted"),
        (f"{'':<{bar + 1}}{'SHARE':>{SHARE_COLUMNS}}", "$muted"),
        (f"{since.replace('since ', 'SINCE '):>{CHANGE_COLUMNS}}", "$muted"),
    )


def rows(shown: Breakdown, width: int, glyphs: Glyphs, *, textured: bool, running: bool) -> list[Content]:
    """Return one row for each part. ``running``: the key x can release memory."""
    notes = _notes(shown.parts, _bar_and_note(shown, width)[1] == _LONG_NOTE, running, glyphs)
    return [_row(part, note, shown, width, glyphs, textured) for part, note in zip(shown.parts, notes, strict=True)]


def _row(part: Part, note: Content, shown: Breakdown, width: int, glyphs: Glyphs, textured: bool) -> Content:
    rss_bytes = shown.rss_bytes
    bar, room = _bar_and_note(shown, width)
    colour = COLOURS[part.role]
    mark = TEXTURES[part.role] if textured else glyphs.band
    share = share_words(part.size_bytes, rss_bytes)
    small = small_bar(part.size_bytes / rss_bytes if rss_bytes else 0.0, bar, colour, glyphs)
    line = Content.assemble(
        (f" {mark} ", colour),
        (f"{part.name:<{_name_columns(shown) - MARK_COLUMNS}}", "$foreground"),
        (f"{brief(part.size_bytes):>{BYTES_COLUMNS}}", "bold $strong"),
        " ",
        small,
        (f"{share:>{SHARE_COLUMNS}}", "$foreground"),
        _change(part, rss_bytes),
    )
    return Content.assemble(line, "  ", note) if room else line


def _change(part: Part, rss_bytes: int) -> Content:
    if part.change_bytes is None:
        return Content(" " * CHANGE_COLUMNS)
    text = f"{signed(part.change_bytes):>{CHANGE_COLUMNS}}"
    if abs(part.change_bytes) < rss_bytes * _WORTH_A_COLOUR:
        return Content.styled(text, "$faint" if text.endswith("=") else "$muted")
    return Content.styled(text, "$warn" if part.change_bytes > 0 else "$good")


def _notes(parts: tuple[Part, ...], long: bool, running: bool, glyphs: Glyphs) -> list[Content]:
    """A note for each part: that a release returns it, or, in a bracket over the caches, that they are fragmentation."""
    cached = [n for n, part in enumerate(parts) if part.role is Role.CACHED]
    first, *others = (
        ("fragmentation:", "on partly used", "pages") if long else ("fragmented:", "on partly", "used pages")
    )
    bracket = {
        1: ["fragmentation"],
        2: [f"╮ {first}", "╯ partly used"],
        3: [f"╮ {first}", f"│ {others[0]}", f"╯ {others[1]}"],
    }.get(len(cached), [])
    notes = [Content("")] * len(parts)
    for n, text in zip(cached, bracket, strict=False):
        notes[n] = Content.styled(glyphs.plain(text), "$muted")
    for n, part in enumerate(parts):
        if part.role is Role.FREE and part.size_bytes >= _WORTH_A_RELEASE_BYTES:
            key = Content.assemble(("x", "bold $key"), (" returns it", "$muted"))
            notes[n] = key if running else Content.styled("returnable", "$muted")
    return notes
