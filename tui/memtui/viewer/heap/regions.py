"""What the process has mapped, as a table: a row for each region of the newest look, with its growth since the look before."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from textual.content import Content

from memtui.display.figures import brief, count, signed
from memtui.display.glyphs import Glyphs
from memtui.session.state import SessionState
from memtui.viewer.heap.bars import COLOURS, TEXTURES, share_words, small_bar
from memtui.viewer.heap.breakdown import Role
from memtui.viewer.widgets.line import columns, fit
from memtui_parsers.clean_text import clean
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.session.region_looks import RecordedLook, region_words
from memtui_profiler.session.rows import RegionRow
from memtui_profiler.words import age_words, cost_words, span_words

MARK_COLUMNS, NAME_COLUMNS, PATH_COLUMNS = 3, 22, 60
SHARE_COLUMNS, CHANGE_COLUMNS = 6, 9
# A bar is drawn from this width on, and is not wider than that.
BAR_FROM, WIDEST_BAR, LEAST_SHARE = 6, 60, 0.005
_ROLES = {RegionKind.FILE.value: Role.FILE, RegionKind.SHARED.value: Role.SHARED, RegionKind.OTHER.value: Role.METADATA}


class _Column(NamedTuple):
    title: str
    width: int
    figure: Callable[[RegionRow], str]


def _size(size_bytes: int) -> str:
    """Nothing for nothing: a column of zeros hides the few figures that matter."""
    return brief(size_bytes) if size_bytes else ""


# As many of them as there is room for, the first ones first.
_COLUMNS = (
    _Column("DIRTY", 9, lambda row: _size(row.dirty_bytes)),
    _Column("SWAP", 9, lambda row: _size(row.swap_bytes)),
    _Column("HUGE", 9, lambda row: _size(row.huge_bytes)),
    _Column("PSS", 9, lambda row: _size(row.pss_bytes)),
    _Column("MAPPED", 10, lambda row: _size(row.size_bytes)),
    _Column("COUNT", 8, lambda row: count(row.mappings, " ")),
)


def region_lines(state: SessionState, width: int, glyphs: Glyphs, *, textured: bool) -> list[Content]:
    """Return all lines, each at most ``width`` cells wide: a headline, the titles of the columns, a row for each region."""
    if not state.regions:
        words = (
            "Looking at what the process has mapped." if state.running else "Nobody has looked at what it had mapped."
        )
        return [Content.styled(f" {words}", "bold $strong")]
    look = state.regions[-1]
    before = state.regions[-2] if len(state.regions) > 1 else None
    layout = _Layout(width)
    lines = [_headline(state, look, width, glyphs), _heading(look, before, layout)]
    rows = (*look.regions, look.whole)
    return [*lines, *(_row(row, look, before, layout, glyphs, textured) for row in rows)]


class _Layout:
    """The widths of what depends on the room: the names, the bar (0 for none), and the columns that are shown."""

    def __init__(self, width: int) -> None:
        spare = width - MARK_COLUMNS - NAME_COLUMNS - 9 - SHARE_COLUMNS - CHANGE_COLUMNS
        shown: list[_Column] = []
        for column in _COLUMNS:
            if column.width > spare:
                break
            shown.append(column)
            spare -= column.width
        self.shown = tuple(shown)
        longer = min(spare, PATH_COLUMNS - NAME_COLUMNS)
        self.name = NAME_COLUMNS + max(0, longer)
        bar = min(WIDEST_BAR, spare - max(0, longer))
        self.bar = bar if bar >= BAR_FROM else 0
        self.name += max(0, spare - max(0, longer) - self.bar)


def _headline(state: SessionState, look: RecordedLook, width: int, glyphs: Glyphs) -> Content:
    threads = "" if look.whole.threads is None else f"{look.whole.threads} threads"
    if state.running:
        age_s = max(0.0, state.now_s - look.at_s)
        cost = "" if look.whole.cost_s is None else f" in {cost_words(look.whole.cost_s)}"
        looked = f"looked {age_words(age_s)} ago{cost}"
    else:
        looked = "the last look"
    mapped = f"RSS {brief(look.whole.rss_bytes)} in {count(look.whole.mappings, ' ')} mappings"
    words = glyphs.plain(" · ".join(filter(None, (mapped, threads, looked))))
    hint = "enter looks again" if state.running else ""
    room = width - columns(hint) - 3
    head = fit(words, max(0, room), glyphs.ellipsis)
    gap = " " * max(1, width - columns(head) - columns(hint) - 2)
    return Content.assemble((f" {head}{gap}", "$muted"), ("enter", "bold $key") if hint else "", (hint[5:], "$muted"))


def _heading(look: RecordedLook, before: RecordedLook | None, layout: _Layout) -> Content:
    since = "" if before is None else f"IN {span_words(look.at_s - before.at_s)}"
    titles = "".join(f"{column.title:>{column.width}}" for column in layout.shown)
    bar = " " * layout.bar
    return Content.styled(
        f" {'REGION':<{MARK_COLUMNS - 1 + layout.name}}{'RSS':>9}{bar}{'SHARE':>{SHARE_COLUMNS}}{since:>{CHANGE_COLUMNS}}{titles}",
        "$muted",
    )


def _row(
    row: RegionRow, look: RecordedLook, before: RecordedLook | None, layout: _Layout, glyphs: Glyphs, textured: bool
) -> Content:
    whole = row.kind == RegionKind.ALL.value
    role = _ROLES.get(row.kind, Role.ANON)
    mark = " " if whole else TEXTURES[role] if textured else glyphs.band
    rss = look.whole.rss_bytes
    share = row.rss_bytes / rss if rss else 0.0
    bar: Content | str = " " * layout.bar
    if not whole and layout.bar:
        bar = Content.assemble(
            " ", small_bar(share if share >= LEAST_SHARE else 0.0, layout.bar - 1, COLOURS[role], glyphs)
        )
    change = _change(row, look, before)
    return Content.assemble(
        (f" {mark} ", COLOURS[role]),
        (_name(row, layout.name, glyphs), "bold $foreground" if whole else "$foreground"),
        (f"{brief(row.rss_bytes):>9}", "bold $strong"),
        bar,
        (f"{share_words(row.rss_bytes, rss):>{SHARE_COLUMNS}}", "$foreground"),
        change,
        *((f"{column.figure(row):>{column.width}}", "$muted") for column in layout.shown),
    )


def _name(row: RegionRow, width: int, glyphs: Glyphs) -> str:
    """A file by its path where that has room, else by its name."""
    words = clean(glyphs.plain(region_words(row)))
    path = clean(glyphs.plain(row.name))
    if row.kind == RegionKind.FILE.value and columns(path) < width:
        words = path
    return f"{fit(words, width - 1, glyphs.ellipsis):<{width}}"


def _change(row: RegionRow, look: RecordedLook, before: RecordedLook | None) -> Content:
    if before is None or row.kind == RegionKind.OTHER.value:  # what is in it differs from look to look
        return Content(" " * CHANGE_COLUMNS)
    if row.kind == RegionKind.ALL.value:
        old: RegionRow | None = before.whole
    else:
        old = before.region(row.kind, row.name)
    change = row.rss_bytes - (0 if old is None else old.rss_bytes)
    text = f"{signed(change):>{CHANGE_COLUMNS}}"
    if abs(change) < max(1 << 16, look.whole.rss_bytes // 200):
        return Content.styled(text, "$faint" if change == 0 else "$muted")
    return Content.styled(text, "$warn" if change > 0 else "$good")
