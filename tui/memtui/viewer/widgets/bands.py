"""The bands that RSS is divided into, wherever they are drawn: their sizes, names, colours, and textures for no colours."""

from __future__ import annotations

from enum import Enum

from memtui_profiler.session.series import Point


class Band(str, Enum):
    """A part of RSS, drawn from the bottom up in the order bands() gives them; the value is its name on the screen."""

    IN_USE = "in use"
    KEPT = "kept by the allocator"
    OUTSIDE = "outside the heap"
    ANON = "anonymous"
    FILE = "file and shared"


# Names where there is little room.
SHORT_NAMES = {
    Band.IN_USE: "in use",
    Band.KEPT: "kept",
    Band.OUTSIDE: "outside",
    Band.ANON: "anon",
    Band.FILE: "file",
}
COLOURS = {
    Band.IN_USE: "$mem-in-use",
    Band.KEPT: "$mem-kept",
    Band.OUTSIDE: "$mem-outside",
    Band.ANON: "$mem-anon",
    Band.FILE: "$mem-file",
}
TEXTURES = {Band.IN_USE: "#", Band.KEPT: "=", Band.OUTSIDE: ".", Band.ANON: "#", Band.FILE: "="}


def bands(point: Point) -> tuple[tuple[Band, int], ...]:
    """Return the parts of one sample in bytes, the lowest first.

    They add up to its RSS: as /proc is approximate, each is limited to what the others leave of it.
    """
    rss = max(0, point.rss_bytes)
    shared = min(max(0, point.shared_bytes), rss)
    if point.in_use_bytes is None or point.kept_bytes is None:
        return (Band.ANON, rss - shared), (Band.FILE, shared)
    # A heap is anonymous memory: what the allocator counts beyond that was never touched.
    in_use = min(max(0, point.in_use_bytes), rss - shared)
    kept = min(max(0, point.kept_bytes), rss - shared - in_use)
    return (Band.IN_USE, in_use), (Band.KEPT, kept), (Band.OUTSIDE, rss - in_use - kept)
