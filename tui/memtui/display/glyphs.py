"""The glyphs of the screen and of the reports, and their twins where the terminal can show ASCII alone."""

from __future__ import annotations

from dataclasses import dataclass, fields

from memtui.display.figures import THIN_SPACE, count


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One string for each mark on the screen; the ASCII twin of a glyph has the same width, but for ``ellipsis`` and ``caller``.

    ``eighths_right`` are the ends of a bar of 1/8 to 7/8 of a cell, then the full cell; ``eighths_up`` are cells filled from
    below, 0/8 to 7/8.
    """

    ascii: bool = False
    running: str = "●"
    ended: str = "○"
    stopped: str = "■"
    waiting: str = "◌"
    up: str = "▲"
    down: str = "▼"
    level: str = "·"
    band: str = "■"
    band_other: str = "▦"
    separator: str = "│"
    middot: str = "·"
    rule: str = "─"
    corner_left: str = "╭"
    corner_right: str = "╮"
    bar: str = "━"
    track: str = "─"
    thumb: str = "●"
    thumb_pending: str = "○"
    arrow: str = "→"
    cursor: str = "▶"
    dropdown: str = "▾"
    cross: str = "✗"
    tick: str = "✓"
    ellipsis: str = "…"
    vertical: str = "│"
    # The leak browser.
    caller: str = "◀"
    note: str = "◆"
    share_of_callers: str = "░"
    closed: str = "▸"
    opened: str = "▾"
    box_edge: str = "▏"
    box_fill: str = "╌"
    eighths_right: str = "▏▎▍▌▋▊▉█"
    # The graph.
    eighths_up: str = " ▁▂▃▄▅▆▇"
    limit: str = "╌"
    mark: str = "┊"
    beyond: str = "↑"
    scale_tick: str = "┤"
    scale_top: str = "┬"
    scale_corner: str = "└"

    def count(self, number: int) -> str:
        """Return ``number`` in groups of three digits: ``10 547``."""
        return count(number, " " if self.ascii else THIN_SPACE)

    def share_bar(self, share: float, width: int) -> str:
        """Return ``share`` (0 to 1) of ``width`` cells in eighths of a cell; any share above 0 shows."""
        steps = len(self.eighths_right)
        filled = round(max(0.0, min(1.0, share)) * width * steps)
        if filled == 0 and share > 0:
            filled = 1
        whole, part = divmod(filled, steps)
        return self.eighths_right[-1] * whole + (self.eighths_right[part - 1] if part else "")

    def dots(self, bits: int) -> str:
        """Return the braille cell with the dots of ``bits`` (Unicode 15, "Braille Patterns"); in ASCII all look the same."""
        return "'" if self.ascii else chr(0x2800 | bits)

    def plain(self, text: str) -> str:
        """``text`` as this character set can show it: what the table knows becomes its twin, the rest of Unicode '?'."""
        if not self.ascii or text.isascii():
            return text
        return "".join(c if c.isascii() else _TWINS.get(c, "?") for c in text)


UNICODE = Glyphs()

ASCII = Glyphs(
    ascii=True,
    running="*",
    ended="o",
    stopped="#",
    waiting="~",
    up="^",
    down="v",
    level=".",
    band="#",
    band_other="=",
    separator="|",
    middot="-",
    rule="-",
    corner_left="+",
    corner_right="+",
    bar="=",
    track="-",
    thumb="O",
    thumb_pending="o",
    arrow=">",
    cursor=">",
    dropdown="v",
    cross="x",
    tick="+",
    ellipsis="...",
    vertical="|",
    caller="<-",
    note="!",
    share_of_callers="-",
    closed="+",
    opened="-",
    box_edge="|",
    box_fill="-",
    eighths_right="#",
    eighths_up=" ___####",
    limit="-",
    mark=":",
    beyond="^",
    scale_tick="+",
    scale_top="+",
    scale_corner="+",
)


def _twins() -> dict[str, str]:
    pairs = {getattr(UNICODE, f.name): getattr(ASCII, f.name) for f in fields(Glyphs) if f.name != "ascii"}
    return pairs | {
        "\N{THIN SPACE}": " ",
        "\N{NO-BREAK SPACE}": " ",
        "±": "+-",
        "×": "x",
        "▒": "%",
        "◇": "<",
        "◿": "/",
        "←": "<-",
        "◀": "<-",
        "▶": ">",
        "▸": ">",
        "▾": "v",
        "›": ">",
        "−": "-",
        "↓": "v",
        "–": "-",
        "—": "-",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "⏸": "=",
        "≥": ">=",
        "≤": "<=",
        "╯": "+",
    }


_TWINS = _twins()


def glyphs_for(*, ascii: bool) -> Glyphs:
    return ASCII if ascii else UNICODE
