"""Figures of fixed width for the screen: sizes, counts, rates and clocks. Sentences have memtui_profiler.words."""

from __future__ import annotations

from memtui_profiler.words import scaled, size_words

_TIGHT_UNITS = "BKMGTPE"
THIN_SPACE = "\N{THIN SPACE}"


def tight(size_bytes: float) -> str:
    """A size for narrow places, at most five columns up to an exbibyte: ``0B``, ``14.2G``, ``142G``."""
    figure, power = scaled(size_bytes)
    unit = _TIGHT_UNITS[power]
    return f"{figure:.0f}{unit}" if power == 0 or abs(figure) >= 99.95 else f"{figure:.1f}{unit}"


def brief(size_bytes: float) -> str:
    """A size in words of at most eight columns: ``380 MiB``, ``12.4 GiB``; no decimal from 100 on, where nobody reads it."""
    text = size_words(size_bytes)
    figure, _, unit = text.partition(" ")
    return f"{float(figure):.0f} {unit}" if abs(float(figure)) >= 99.95 else text


def signed(size_bytes: float) -> str:
    """A change for narrow places: ``+1.2M``, ``-380M``, ``=`` for none."""
    text = tight(abs(size_bytes))
    return "=" if text == "0B" else f"{'-' if size_bytes < 0 else '+'}{text}"


def count(number: int, space: str = THIN_SPACE) -> str:
    """A count in groups of three: ``10 547``. ``space`` parts the groups: thin, or plain for ASCII and for aligned text."""
    return f"{number:,}".replace(",", space)


def percent(share: float) -> str:
    """A share of 0 to 1 as ``96.4 %``; something is never written as nothing, and less than all never as all."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def clock(seconds: float) -> str:
    """A duration as ``00:03:12``; hours go on past 99, negative ones are zero."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def show_rate(rate: float) -> str:
    """A release rate with at least one decimal: ``7.5``, ``3.0``, ``0.25``."""
    text = f"{rate:g}"
    return text if "." in text or "e" in text else f"{text}.0"


def rate(bytes_per_s: float) -> str:
    """A signed change per second, tight: ``+1.2M/s``, ``-380M/s``, ``0B/s``."""
    change = signed(bytes_per_s)
    return "0B/s" if change == "=" else f"{change}/s"
