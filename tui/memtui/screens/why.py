"""The evidence behind the verdicts: what was measured, over which time, so that nobody has to believe a word of it."""

from __future__ import annotations

from textual.content import Content

from memtui.charset import Glyphs
from memtui.screens.dialog import Reading
from memtui.status_line import StatusLine, Tone
from memtui.widgets.line import Part
from memtui_parsers.clean_text import clean


def why_content(lines: tuple[StatusLine, ...], glyphs: Glyphs) -> Content:
    parts: list[Part] = []
    for line in lines:
        colour = "muted" if line.tone is Tone.CALM else line.tone.value
        parts.append("\n\n" if parts else "")
        parts += [(f"{glyphs.plain(line.glyph)} {line.word}\n", f"bold ${colour}")]
        parts += [(f"{clean(glyphs.plain(line.sentence))}\n", "$strong")]
        for sentence in line.evidence:
            parts += [(f"\n {glyphs.middot} ", "$muted"), clean(glyphs.plain(sentence))]
    return Content.assemble(*parts) if parts else Content("Nothing to explain yet: there are no samples.")


def why_screen(lines: tuple[StatusLine, ...], glyphs: Glyphs) -> Reading:
    return Reading("Why", why_content(lines, glyphs), glyphs=glyphs)
