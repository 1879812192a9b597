"""Parses what mimalloc's mi_stats_print writes, and MIMALLOC_SHOW_STATS=1 at exit; versions 1.6 to 3.

A release build (MI_STAT 0) counts what is reserved and committed, not what is in use: the rows of sizes are missing then.
"""

from __future__ import annotations

import re

from memtui_parsers.allocators.stats import MOST_BYTES, AllocatorStats, PrintedStatistics
from memtui_parsers.errors import ParseError

NAME = "mimalloc"

_HEADER = re.compile(r"\bpeak {1,30}total .{0,200}current")
_ROW = re.compile(r" *(?:- *)?([a-z][a-z ]{0,30}?):? +(-?\d.*)$")
_FIGURE = re.compile(r"(-?\d{1,20}(?:\.\d{1,6})?)(?: ?([KMGTP])(i?)(?:B|\b)| ?B\b)?(?= |$)")
_RSS = re.compile(r"\brss: *(\d{1,20}(?:\.\d{1,6})?) ?([KMGTP])?(i?)B?")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_NOT_COUNTED = (
    "this build of mimalloc does not count what is in use (MI_STAT is 0): committed is all that it has from the kernel"
)


def parse_mimalloc_stats(lines: list[str]) -> PrintedStatistics:
    """Parse the last answer in the text. Raises ParseError when it does not say what is committed."""
    columns: list[str] = []
    rows: dict[str, int] = {}
    rss: int | None = None
    for line in lines:
        if header := _HEADER.search(line):
            columns = [word for word in header[0].split() if word in ("peak", "total", "freed", "current")]
            if "heap stats" in line or "subproc" in line:
                rows = {}
        elif "process:" in line and (found := _RSS.search(line)):
            rss = _bytes(found[1], found[2] or "", found[3])
        elif columns and (row := _ROW.match(line)):
            figures = [_bytes(*figure) for figure in _FIGURE.findall(row[2])]
            if len(figures) >= len(columns):
                rows.setdefault(row[1].strip(), max(0, figures[columns.index("current")]))
    committed = rows.get("committed")
    if committed is None:
        raise ParseError("mimalloc's figures lack what is committed")
    in_use = rows.get("malloc req", rows.get("malloc requested"))
    return PrintedStatistics(
        NAME,
        "mimalloc's mi_stats_print",
        AllocatorStats(
            in_use_bytes=committed if in_use is None else min(in_use, committed),
            free_bytes=0,
            central_bytes=0 if in_use is None else max(0, committed - in_use),
            released_bytes=max(0, rows.get("reserved", committed) - committed),
        ),
        rss_bytes=rss,
        in_use_known=in_use is not None,
        free_known=False,
        notes=(_NOT_COUNTED,) if in_use is None else (),
    )


def _bytes(digits: str, unit: str, binary: str) -> int:
    """mimalloc writes KiB, MiB, or with its older options K and M for powers of 1000; one place after the point."""
    scale = (1024 if binary or not unit else 1000) ** _POWERS[unit]
    return max(-MOST_BYTES, min(int(float(digits) * scale), MOST_BYTES))
