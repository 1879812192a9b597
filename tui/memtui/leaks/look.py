"""The glyphs the browser draws with, each with its ASCII twin."""

from __future__ import annotations

from dataclasses import dataclass

from memtui.figures import THIN_SPACE, count


@dataclass(frozen=True, slots=True)
class Look:
    """One character set's glyphs. ``eighths``: bar ends of 1/8 to 7/8 of a cell, then the full cell."""

    ascii: bool
    cursor: str
    eighths: str
    arrow: str
    caller: str
    ellipsis: str
    dot: str
    rule: str
    sorted_by: str
    note: str
    fold: str
    through: str
    closed: str
    opened: str

    def text(self, words: str) -> str:
        """``words`` in this character set: what ASCII lacks becomes a likeness, or ``?``."""
        if not self.ascii or words.isascii():
            return words
        return words.translate(_LIKENESSES).encode("ascii", "replace").decode("ascii")

    def count(self, number: int) -> str:
        return count(number, " " if self.ascii else THIN_SPACE)

    def cut(self, words: str, width: int) -> str:
        """``words`` in at most ``width`` columns, the end replaced by an ellipsis where it does not fit."""
        from rich.cells import cell_len, set_cell_size

        if width <= 0:
            return ""
        if cell_len(words) <= width:
            return words
        mark = self.ellipsis[:width]
        return set_cell_size(words, width - len(mark)).rstrip() + mark

    def bar(self, share: float, width: int) -> str:
        """``share`` (0 to 1) of ``width`` cells in eighths; anything above nothing shows."""
        steps = len(self.eighths)
        filled = round(max(0.0, min(1.0, share)) * width * steps)
        if filled == 0 and share > 0:
            filled = 1
        whole, part = divmod(filled, steps)
        return self.eighths[-1] * whole + (self.eighths[part - 1] if part else "")


_LIKENESSES = str.maketrans(
    {
        "…": "...",
        "←": "<-",
        "◀": "<-",
        "▶": ">",
        "·": "-",
        "│": "|",
        "▾": "v",
        "▸": ">",
        "→": "->",
        "−": "-",
        "›": ">",
        "\N{THIN SPACE}": " ",
        "—": "-",
        "±": "+-",
        "–": "-",
    }
)

UNICODE = Look(
    ascii=False,
    cursor="▶",
    eighths="▏▎▍▌▋▊▉█",
    arrow="←",
    caller="◀",
    ellipsis="…",
    dot="·",
    rule="│",
    sorted_by="▾",
    note="◆",
    fold="…",
    through="░",
    closed="▸",
    opened="▾",
)
ASCII = Look(
    ascii=True,
    cursor=">",
    eighths="#",
    arrow="<-",
    caller="<-",
    ellipsis="..",
    dot="-",
    rule="|",
    sorted_by="v",
    note="!",
    fold="..",
    through="-",
    closed="+",
    opened="-",
)


def look(ascii: bool) -> Look:
    return ASCII if ascii else UNICODE
