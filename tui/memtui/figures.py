"""Figures as the screen and the reports write them: sizes, counts, rates and clocks. Pure text, fixed widths."""

from __future__ import annotations

_TIGHT_UNITS = "BKMGTPE"
_PROSE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
THIN_SPACE = "\N{THIN SPACE}"


def _scaled(size_bytes: float) -> tuple[float, int]:
    """The figure in the largest unit that keeps it under 1,000 as written, and that unit's power of 1024.

    The bound is 999.95 and not 1024, so that no figure needs more than five characters with its decimal.
    """
    figure, power = float(size_bytes), 0
    while abs(figure) >= (999.5 if power == 0 else 999.95) and power < len(_PROSE_UNITS) - 1:
        figure /= 1024
        power += 1
    return figure, power


def tight(size_bytes: float) -> str:
    """A size for narrow places, at most five columns up to an exbibyte: ``0B``, ``14.2G``, ``142G``."""
    figure, power = _scaled(size_bytes)
    unit = _TIGHT_UNITS[power]
    return f"{figure:.0f}{unit}" if power == 0 or abs(figure) >= 99.95 else f"{figure:.1f}{unit}"


def prose(size_bytes: float) -> str:
    """A size for sentences and columns: ``999 B``, ``1.0 KiB``, ``14.2 GiB``; at most nine columns."""
    figure, power = _scaled(size_bytes)
    return f"{figure:.0f} B" if power == 0 else f"{figure:.1f} {_PROSE_UNITS[power]}"


def brief(size_bytes: float) -> str:
    """A size in words of at most eight columns: ``380 MiB``, ``12.4 GiB``; no decimal from 100 on, where nobody reads it."""
    text = prose(size_bytes)
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
    text = tight(abs(bytes_per_s))
    if text == "0B":
        return "0B/s"
    return f"{'-' if bytes_per_s < 0 else '+'}{text}/s"
