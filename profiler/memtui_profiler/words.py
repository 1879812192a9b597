"""Figures in the sentences that are made below the screen: sizes and counts."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def object_words(count: int) -> str:
    """``1 object``, ``12 946 objects``."""
    return "1 object" if count == 1 else f"{count:,} objects".replace(",", " ")


def size_words(size_bytes: float) -> str:
    """A size in a sentence: ``512 B``, ``0.4 MiB``, ``14.2 GiB``; from a tenth of a MiB on in MiB, as rates are read."""
    figure, power = float(size_bytes), 0
    while power < len(_UNITS) - 1 and figure >= (102.4 if power == 1 else 999.95):
        figure /= 1024
        power += 1
    return f"{figure:.0f} B" if power == 0 else f"{figure:.1f} {_UNITS[power]}"


def span_words(seconds: float) -> str:
    """How long in a sentence: ``90 s``, ``5 min``, ``3 h``."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 119.5 else f"{minutes / 60:.0f} h"


def percent_words(share: float) -> str:
    """A share of 0 to 1 in a sentence: ``68 %``; something is never written as nothing."""
    text = f"{100 * share:.0f} %"
    return "<1 %" if share > 0 and text == "0 %" else text


def short_function(name: str, columns: int = 32) -> str:
    """A function's name in at most ``columns``: without its arguments first, then cut.

    ``map<k, v>::find(k const&)`` becomes ``map<k, v>::find``; the arguments are what follows the last bracket that closes.
    """
    if len(name) <= columns:
        return name
    depth = 0
    for place in range(len(name) - 1, 0, -1):
        depth += (name[place] == ")") - (name[place] == "(")
        if name[place] == "(" and depth == 0:
            name = name[:place]
            break
    return name if len(name) <= columns else f"{name[: columns - 1]}…"
