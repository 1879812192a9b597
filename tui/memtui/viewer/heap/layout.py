"""The Heap tab as lines for a given size: the bar of RSS, its table, and beside or below the table the free memory."""

from __future__ import annotations

from itertools import zip_longest

from textual.content import Content

from memtui.display.glyphs import Glyphs
from memtui.session.state import SessionState
from memtui.viewer.heap import sentences, table
from memtui.viewer.heap.bars import stacked_bar
from memtui.viewer.heap.breakdown import Breakdown, breakdown, kernel_breakdown
from memtui.viewer.heap.free_memory import Block, blocks
from memtui.viewer.widgets.line import Part, fold
from memtui_parsers.clean_text import clean

# From this width on the blocks of free memory stand beside the table.
BESIDE_FROM = 94
LEAST_BESIDE, MOST_BESIDE = 31, 52
BESIDE_PERCENT = 32
# The heights from which there is a headline and an empty line below the bar, and from which the bar is three rows high.
ROOMY_FROM, TALL_FROM = 12, 20
FEWEST_BELOW = 4
# Not empty: Textual draws no background for a line without text.
BLANK = Content(" ")


def heap_lines(state: SessionState, width: int, height: int, glyphs: Glyphs, *, textured: bool) -> list[Content]:
    """Return all lines, more than ``height`` where they do not fit, each at most ``width`` cells wide."""
    shown = breakdown(state)
    if shown is None:
        return _without_figures(state, width, glyphs, textured)
    lines: list[Content] = []
    if height >= ROOMY_FROM:
        lines.append(_headline(state, width, glyphs))
    lines += _bar(shown, width, 3 if height >= TALL_FROM else 1, textured)
    if height >= ROOMY_FROM:
        lines.append(BLANK)
    free = blocks(state.heap.detail) if state.heap.detail is not None else ()
    if free and width >= BESIDE_FROM:
        right = max(LEAST_BESIDE, min(MOST_BESIDE, width * BESIDE_PERCENT // 100))
        left = width - right - 3
        body = _table(state, shown, left, glyphs, textured)
        rows = max(len(body), height - len(lines))
        body += _asides(state, shown, left, glyphs)
        below = rows - len(body) - 1
        if len(free) == 2 and below > FEWEST_BELOW:
            body += [BLANK, *free[1].lines(below - 1, left, glyphs)]
            free = free[:1]
        lines += _beside(body, left, _stacked(free, rows, right - 1, glyphs), glyphs)
    else:
        lines += _table(state, shown, width, glyphs, textured)
        asides = _asides(state, shown, width, glyphs)
        if free:
            lines.append(BLANK)
            lines += _side_by_side(free, max(FEWEST_BELOW, height - len(lines) - len(asides) - 1), width, glyphs)
        lines += asides
    if height < ROOMY_FROM:
        lines += [BLANK, _headline(state, width, glyphs)]
    return lines


def _headline(state: SessionState, width: int, glyphs: Glyphs) -> Content:
    return Content.styled(f" {clean(glyphs.plain(sentences.headline(state)), max(0, width - 2))}", "$muted")


def _bar(shown: Breakdown, width: int, rows: int, textured: bool) -> list[Content]:
    bars = (stacked_bar(shown.parts, max(0, width - 2), textured=textured, named=n == rows // 2) for n in range(rows))
    return [Content.assemble(" ", bar) for bar in bars]


def _table(state: SessionState, shown: Breakdown, width: int, glyphs: Glyphs, textured: bool) -> list[Content]:
    return [table.heading(shown, width), *table.rows(shown, width, glyphs, textured=textured, running=state.running)]


def _asides(state: SessionState, shown: Breakdown, width: int, glyphs: Glyphs) -> list[Content]:
    return _notes(sentences.asides(state, shown), width, glyphs)


def _notes(notes: list[str], width: int, glyphs: Glyphs) -> list[Content]:
    lines = []
    for sentence in notes:
        for number, text in enumerate(fold(glyphs.plain(sentence), max(10, width - 6))):
            mark = glyphs.middot if number == 0 else " "
            lines.append(Content.styled(f" {mark} {text}", "$muted"))
    return lines


def _stacked(free: tuple[Block, ...], rows: int, width: int, glyphs: Glyphs) -> list[Content]:
    """One below the other in ``rows`` rows; rows that one does not need go to the other."""
    if len(free) == 1:
        return free[0].lines(rows - 1, width, glyphs)
    air = 1 if rows >= ROOMY_FROM else 0
    spare = rows - 2 - air
    second = min(len(free[1].entries), spare // 2)
    first = min(len(free[0].entries), spare - second)
    second = min(len(free[1].entries), spare - first)
    return [*free[0].lines(first, width, glyphs), *[BLANK] * air, *free[1].lines(second, width, glyphs)]


def _side_by_side(free: tuple[Block, ...], rows: int, width: int, glyphs: Glyphs) -> list[Content]:
    if len(free) == 1 or width < 60:
        return [line for block in free for line in block.lines(rows - 1, width - 1, glyphs)]
    half = (width - 3) // 2
    left, right = (block.lines(rows - 1, half, glyphs) for block in free)
    return _beside(left, half, right, glyphs, rule=False)


def _beside(
    left: list[Content], width: int, right: list[Content], glyphs: Glyphs, *, rule: bool = True
) -> list[Content]:
    separator: Part = (f" {glyphs.vertical} ", "$rule") if rule else "   "
    lines = []
    for first, second in zip_longest(left, right, fillvalue=BLANK):
        first = first[:width].pad_right(max(0, width - first.cell_length))
        lines.append(Content.assemble(first, separator, second))
    return lines


def _without_figures(state: SessionState, width: int, glyphs: Glyphs, textured: bool) -> list[Content]:
    message = sentences.message(state)
    lines = [Content.styled(f" {glyphs.plain(clean(message.headline))}", "bold $strong")]
    if message.key:
        lines.append(Content.assemble(" ", (message.key, "bold $key"), (f" {message.key_words}", "$foreground")))
    for sentence in message.sentences:
        lines += [Content.styled(f" {text}", "$muted") for text in fold(glyphs.plain(clean(sentence)), width - 2)]
    shown = kernel_breakdown(state)
    if shown is not None:
        lines += [BLANK, *_bar(shown, width, 1, textured), *_table(state, shown, width, glyphs, textured)]
        lines += _notes(sentences.mapped_notes(state), width, glyphs)
    return lines
