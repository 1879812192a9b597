"""What a process has mapped, as a table of text and as JSON."""

from __future__ import annotations

import json

from memtui.display.figures import brief, count, percent, signed
from memtui_parsers.clean_text import clean
from memtui_profiler.launch.matching import Found
from memtui_profiler.process.regions import Region, RegionLook
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.run.region_watch import region_rows
from memtui_profiler.session.region_looks import region_words
from memtui_profiler.words import span_words

SCHEMA = "memtui-regions/1"
NAME_COLUMNS = 60


def region_table(process: Found, look: RegionLook, before: RegionLook | None, seconds: float | None) -> list[str]:
    """Return the lines: what process, the titles, a row for each region and one for the whole."""
    whole = look.whole
    names = [_name(row.kind, row.name, region_words(row)) for row in region_rows(look, 0.0, 0)]
    width = max(len("REGION"), *map(len, names))
    since = "" if seconds is None else f"{'IN ' + span_words(seconds):>9}"
    lines = [
        f"pid {process.pid}  {process.command}",
        f"RSS {brief(whole.rss_bytes)}, {brief(whole.huge_bytes)} of it in huge pages; "
        f"{count(whole.mappings, ' ')} mappings, {look.threads} threads",
        "",
        f"{'REGION':<{width}}{'RSS':>10}{'SHARE':>8}{since}{'PSS':>10}{'DIRTY':>10}{'SWAP':>10}{'HUGE':>10}{'MAPPED':>10}{'COUNT':>7}",
    ]
    for name, region in zip(names, (*look.regions, whole), strict=True):
        share = percent(region.rss_bytes / whole.rss_bytes) if whole.rss_bytes else "-"
        change = "" if before is None else f"{_change_words(region, before):>9}"
        sizes = (region.pss_bytes, region.dirty_bytes, region.swap_bytes, region.huge_bytes, region.size_bytes)
        figures = "".join(f"{brief(size) if size else '-':>10}" for size in sizes)
        lines.append(
            f"{name:<{width}}{brief(region.rss_bytes):>10}{share:>8}{change}{figures}{count(region.mappings, ' '):>7}"
        )
    return lines


def _name(kind: str, name: str, words: str) -> str:
    """A file by its path; the end of a long one tells more than its beginning."""
    text = name if kind == RegionKind.FILE.value else words
    return text if len(text) <= NAME_COLUMNS else f"...{text[3 - NAME_COLUMNS :]}"


def _change(region: Region, before: RegionLook) -> int | None:
    """The growth of RSS since ``before``; None for what is not the same group in both."""
    if region.kind is RegionKind.OTHER:
        return None
    same = (one for one in (*before.regions, before.whole) if (one.kind, one.name) == (region.kind, region.name))
    old = next(same, None)
    return region.rss_bytes - (0 if old is None else old.rss_bytes)


def _change_words(region: Region, before: RegionLook) -> str:
    change = _change(region, before)
    return "" if change is None else signed(change)


def regions_json(
    process: Found, look: RegionLook, before: RegionLook | None, seconds: float | None, *, version: str
) -> str:
    """Return one object; docs/SESSION-FORMAT.md describes it."""

    def fields(region: Region) -> dict[str, object]:
        sizes = ("size_bytes", "rss_bytes", "pss_bytes", "swap_bytes", "dirty_bytes", "huge_bytes")
        return {
            "mappings": region.mappings,
            **{name: getattr(region, name) for name in sizes},
            "change_bytes": None if before is None else _change(region, before),
        }

    return json.dumps(
        {
            "schema": SCHEMA,
            "memtui": version,
            "pid": process.pid,
            "command": process.command,
            "threads": look.threads,
            "seconds": None if seconds is None else round(seconds, 3),
            "total": fields(look.whole),
            "regions": [{"kind": one.kind.value, "name": clean(one.name, 4096), **fields(one)} for one in look.regions],
        }
    )
