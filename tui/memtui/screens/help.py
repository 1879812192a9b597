"""The help screen: every key, from the keymap's table."""

from __future__ import annotations

from textual.content import Content

from memtui.charset import Glyphs
from memtui.keymap import help_sections
from memtui.screens.dialog import Reading
from memtui.widgets.line import Part, columns

KEY_COLUMNS = 10


def help_content(glyphs: Glyphs) -> Content:
    parts: list[Part] = []
    for heading, keys in help_sections():
        parts.append((f"{'' if not parts else chr(10)}{heading}\n", "bold $primary"))
        for shown, words in keys:
            shown = glyphs.plain(shown)
            parts += [(f"  {shown}{' ' * (KEY_COLUMNS - columns(shown))}", "bold $key"), f"{words}\n"]
    return Content.assemble(*parts)


def help_screen(glyphs: Glyphs) -> Reading:
    return Reading("Keys", help_content(glyphs), keys="j k scroll   esc close", glyphs=glyphs)
