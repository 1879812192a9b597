"""Figures in sentences: sizes, counts, rates of change, durations and shares. The screen's narrow forms are made from these."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def object_words(count: int) -> str:
    """Return ``1 object``, ``12 946 objects``."""
    return "1 object" if count == 1 else f"{count:,} objects".replace(",", " ")


def scaled(size_bytes: float) -> tuple[float, int]:
    """Return the figure in the largest unit that keeps it under 1,000 as written, and that unit's power of 1024.

    The bound is 999.95 and not 1024, so that no figure needs more than five characters with its decimal.
    """
    figure, power = float(size_bytes), 0
    while abs(figure) >= (999.5 if power == 0 else 999.95) and power < len(_UNITS) - 1:
        figure /= 1024
        power += 1
    return figure, power


def size_words(size_bytes: float) -> str:
    """Return a size for sentences and columns: ``999 B``, ``1.0 KiB``, ``14.2 GiB``; at most nine columns."""
    figure, power = scaled(size_bytes)
    return f"{figure:.0f} B" if power == 0 else f"{figure:.1f} {_UNITS[power]}"


def in_what_was_seen(seen_bytes: int | None) -> str:
    """Return what follows "no leaks found" where a check saw little: `` in the 72.7 KiB that the check saw``; '' for None."""
    return "" if seen_bytes is None else f" in the {size_words(seen_bytes)} that the check saw"


def rate_words(bytes_per_s: float) -> str:
    """Return a rate of change: ``90.0 KiB/s``, ``0.4 MiB/s``; in MiB from a tenth on, so that rates can be compared."""
    tenths = 102.4 * 1024 <= bytes_per_s < 1 << 20
    return f"{bytes_per_s / (1 << 20):.1f} MiB/s" if tenths else f"{size_words(bytes_per_s)}/s"


def span_words(seconds: float) -> str:
    """Return a time between two moments: ``90 s``, ``5 min``, ``2.5 h``."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 119.5 else f"{minutes / 60:.1f}".removesuffix(".0") + " h"


def age_words(seconds: float) -> str:
    """Return how long ago something was, in the largest unit that it fills: ``40 s``, ``5 min``, ``3 h``, ``12 d``."""
    for unit, unit_s, next_s in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86400)):
        if seconds < next_s:
            return f"{max(0, int(seconds // unit_s))} {unit}"
    return f"{int(seconds // 86400)} d"


def cost_words(seconds: float) -> str:
    """Return how long a piece of work took: ``0.2 ms``, ``340 ms``, ``2.5 s``."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


def percent_words(share: float) -> str:
    """Return a share of 0 to 1: ``68 %``; something is never written as nothing."""
    text = f"{100 * share:.0f} %"
    return "<1 %" if share > 0 and text == "0 %" else text


def short_function(name: str, columns: int = 32) -> str:
    """Return a function's name in at most ``columns``: without its arguments first, then cut.

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
