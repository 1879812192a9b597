"""The Heap tab as lines for a size: the bar of RSS, its table, and beside or below that where the free memory lies."""

from __future__ import annotations

from textual.content import Content

from memtui.charset import Glyphs
from memtui.heap import table, words
from memtui.heap.bars import stacked_bar
from memtui.heap.blocks import Block, blocks
from memtui.heap.breakdown import Breakdown, breakdown, kernel_breakdown
from memtui.state import SessionState
from memtui.widgets.line import Part, fold
from memtui_parsers.clean_text import clean

# From this width on the blocks stand beside the table.
BESIDE_FROM = 94
LEAST_BESIDE, MOST_BESIDE = 31, 52
BESIDE_PERCENT = 32
# From this height on there is a headline, and air under the bar; from the other on the bar is three rows high.
ROOMY_FROM, TALL_FROM = 12, 20
FEWEST_BELOW = 4
# Not empty, for what has no text has no ground either.
BLANK = Content(" ")


def heap_lines(state: SessionState, width: int, height: int, glyphs: Glyphs, *, textured: bool) -> list[Content]:
    """All lines there are, more than ``height`` of them where they do not fit; none is wider than ``width``."""
    shown = breakdown(state)
    if shown is None:
        return _unanswered(state, width, glyphs, textured)
    lines: list[Content] = []
    if height >= ROOMY_FROM:
        lines.append(_headline(state, width, glyphs))
    lines += _bar(shown, width, 3 if height >= TALL_FROM else 1, textured)
    if height >= ROOMY_FROM:
        lines.append(BLANK)
    found = blocks(state.heap.detail) if state.heap.detail is not None else ()
    if found and width >= BESIDE_FROM:
        right = max(LEAST_BESIDE, min(MOST_BESIDE, width * BESIDE_PERCENT // 100))
        left = width - right - 3
        body = _table(state, shown, left, glyphs, textured)
        rows = max(len(body), height - len(lines))
        body += _asides(state, shown, left, glyphs)
        below = rows - len(body) - 1
        if len(found) == 2 and below > FEWEST_BELOW:
            body += [BLANK, *found[1].lines(below - 1, left, glyphs)]
            found = found[:1]
        lines += _beside(body, left, _stacked(found, rows, right - 1, glyphs), glyphs)
    else:
        lines += _table(state, shown, width, glyphs, textured)
        asides = _asides(state, shown, width, glyphs)
        if found:
            lines.append(BLANK)
            lines += _side_by_side(found, max(FEWEST_BELOW, height - len(lines) - len(asides) - 1), width, glyphs)
        lines += asides
    if height < ROOMY_FROM:
        lines += [BLANK, _headline(state, width, glyphs)]
    return lines


def _headline(state: SessionState, width: int, glyphs: Glyphs) -> Content:
    return Content.styled(f" {clean(glyphs.plain(words.headline(state)), max(0, width - 2))}", "$muted")


def _bar(shown: Breakdown, width: int, rows: int, textured: bool) -> list[Content]:
    def row(number: int) -> Content:
        bar = stacked_bar(shown.parts, max(0, width - 2), textured=textured, named=number == rows // 2)
        return Content.assemble(" ", bar)

    return [row(number) for number in range(rows)]


def _table(state: SessionState, shown: Breakdown, width: int, glyphs: Glyphs, textured: bool) -> list[Content]:
    return [
        table.heading(shown, width),
        *table.rows(shown, width, glyphs, textured=textured, running=state.running),
    ]


def _asides(state: SessionState, shown: Breakdown, width: int, glyphs: Glyphs) -> list[Content]:
    lines = []
    for sentence in words.asides(state, shown):
        for number, text in enumerate(fold(glyphs.plain(sentence), max(10, width - 6))):
            mark = glyphs.middot if number == 0 else " "
            lines.append(Content.styled(f" {mark} {text}", "$muted"))
    return lines


def _stacked(found: tuple[Block, ...], rows: int, width: int, glyphs: Glyphs) -> list[Content]:
    """One below the other in ``rows`` rows; what one does not need the other may have."""
    if len(found) == 1:
        return found[0].lines(rows - 1, width, glyphs)
    air = 1 if rows >= ROOMY_FROM else 0
    spare = rows - 2 - air
    second = min(len(found[1].entries), spare // 2)
    first = min(len(found[0].entries), spare - second)
    second = min(len(found[1].entries), spare - first)
    return [
        *found[0].lines(first, width, glyphs),
        *[BLANK] * air,
        *found[1].lines(second, width, glyphs),
    ]


def _side_by_side(found: tuple[Block, ...], rows: int, width: int, glyphs: Glyphs) -> list[Content]:
    if len(found) == 1 or width < 60:
        return [line for block in found for line in block.lines(rows - 1, width - 1, glyphs)]
    half = (width - 3) // 2
    left, right = (block.lines(rows - 1, half, glyphs) for block in found)
    return _beside(left, half, right, glyphs, rule=False)


def _beside(
    left: list[Content], width: int, right: list[Content], glyphs: Glyphs, *, rule: bool = True
) -> list[Content]:
    separator: Part = (f" {glyphs.vertical} ", "$rule") if rule else "   "
    lines = []
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else BLANK
        second = right[number] if number < len(right) else BLANK
        first = first[:width].pad_right(max(0, width - first.cell_length))
        lines.append(Content.assemble(first, separator, second))
    return lines


def _unanswered(state: SessionState, width: int, glyphs: Glyphs, textured: bool) -> list[Content]:
    said = words.message(state)
    lines = [Content.styled(f" {glyphs.plain(clean(said.headline))}", "bold $strong")]
    if said.key:
        lines.append(Content.assemble(" ", (said.key, "bold $key"), (f" {said.key_words}", "$foreground")))
    for sentence in said.sentences:
        lines += [Content.styled(f" {text}", "$muted") for text in fold(glyphs.plain(clean(sentence)), width - 2)]
    shown = kernel_breakdown(state)
    if shown is not None:
        lines += [BLANK, *_bar(shown, width, 1, textured), *_table(state, shown, width, glyphs, textured)]
    return lines
