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
