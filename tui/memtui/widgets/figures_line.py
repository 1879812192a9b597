"""The figures under the header: RSS and what it is made of. Fixed widths, so that nothing beside a figure ever moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from textual.content import Content

from memtui.charset import Glyphs
from memtui.figures import brief, prose, rate, tight
from memtui.graph.plot import TEXTURES
from memtui.graph.state import Band, bands
from memtui.state import SessionState
from memtui.widgets.line import Part
from memtui_profiler.series import Point
from memtui_profiler.session.rows import Sample

# Units in words need so much room.
WIDE = 112
# The bands of the allocator's split: their names in words, and where there is little room.
_SPLIT = (
    (Band.IN_USE, "in use", "in use", "$mem-in-use"),
    (Band.KEPT, "kept", "kept", "$mem-kept"),
    (Band.OUTSIDE, "outside", "other", "$mem-outside"),
)
# A change slower than this, in bytes a second, is the unrest of any process: no arrow.
STILL_BYTES_PER_S = 50 << 10


def _trend(bytes_per_s: float | None, glyphs: Glyphs, *, close: bool) -> tuple[str, str]:
    """Arrow and figure of the change of RSS, and its colour; as wide as ``▲ 99.9M/s`` always, or as ``▲99.9M/s``."""
    gap = "" if close else " "
    if bytes_per_s is None:
        return f"{gap}{'':<8}", "$faint"
    if abs(bytes_per_s) < STILL_BYTES_PER_S:
        return f"{glyphs.level}{gap}{'steady':<7}", "$faint"
    arrow, colour = (glyphs.up, "$warn") if bytes_per_s > 0 else (glyphs.down, "$good")
    return f"{arrow}{gap}{rate(bytes_per_s).lstrip('+-'):<7}", colour


def figures_line(state: SessionState, glyphs: Glyphs, width: int, *, textured: bool = False) -> Content:
    """``textured``: the bands' marks are the graph's own characters, as there are no colours."""
    sample = state.sample
    if sample is None:
        return Content.assemble(" ", ("no sample yet", "$muted"))
    wide = width >= WIDE
    split = _split(sample)
    # Three bands take what room there is: then the gaps are narrow.
    gap = "   " if wide and not split else "  "

    def size(value: int | None) -> str:
        if value is None:
            return "-".rjust(8 if wide else 5)
        return brief(value).rjust(8) if wide else tight(value).rjust(5)

    def pair(name: str, value: int | None) -> list[Part]:
        return [(f"{name} ", "$muted"), (size(value), "bold $strong")]

    peak = max((run.peak_rss_bytes for run in state.runs), default=0)
    parts: list[Part] = [" ", *pair("RSS", sample.rss_bytes)]
    # What is over does not change any more: no room is kept for how fast.
    trend = _trend(state.growth_bytes_per_s, glyphs, close=split is not None and not wide)
    parts += [" ", trend, gap[1:]] if state.running else [gap]
    parts += [*pair("peak", peak), gap]
    if split is not None:
        names = zip(_SPLIT, split, strict=True)
        for number, ((band, name, short, colour), part_bytes) in enumerate(names):
            mark = TEXTURES[band] if textured else glyphs.band
            parts += [gap if number and wide else " " * (number > 0), (mark, colour), " " * wide]
            parts += pair(name if wide else short, part_bytes)
    else:
        shared = min(sample.shared_bytes, sample.rss_bytes)
        parts += [(glyphs.band, "$mem-anon"), " ", *pair("anonymous" if wide else "anon", sample.rss_bytes - shared)]
        parts += [gap, (glyphs.band_other, "$mem-file"), " ", *pair("file", shared)]
    line = Content.assemble(*parts)
    for more in _more(state, pair, wide):
        fitting = next((each for each in more if line.cell_length + len(gap) + each.cell_length <= width), None)
        # Beside three bands on 80 columns one gap is all there is between the last and the limit.
        if fitting is not None:
            line = Content.assemble(line, gap, fitting)
        elif line.cell_length + 1 + more[-1].cell_length <= width:
            line = Content.assemble(line, " ", more[-1])
    return line


def _more(state: SessionState, pair: Callable[[str, int | None], list[Part]], wide: bool) -> Iterator[list[Content]]:
    """What stands behind the bands if there is room, the most telling first; each in its forms, the longest first."""
    detail = state.detail
    if detail is None:
        return
    if detail.swap_bytes:
        yield [Content.assemble(*pair("swap", detail.swap_bytes))]
    if state.limit is not None and state.limit.limit_bytes:
        forms = ([True] if wide else []) + [False]
        yield [Content.assemble(*_share(state, wide=form)) for form in forms]
    # Memory that was there is worth reading after the end; threads that are gone are not.
    if wide and state.running and detail.threads is not None:
        words = " thread" if detail.threads == 1 else " threads"
        yield [Content.assemble((f"{detail.threads:>3}", "bold $strong"), (words, "$muted"))]


def _split(sample: Sample) -> tuple[int, ...] | None:
    """In use, kept, outside, as the graph draws them; None while the allocator has not said."""
    if sample.in_use_bytes is None or sample.kept_bytes is None:
        return None
    point = Point(0.0, 0, sample.rss_bytes, sample.shared_bytes, sample.in_use_bytes, sample.kept_bytes)
    return tuple(size for _, size in bands(point))


def _share(state: SessionState, *, wide: bool) -> list[Part]:
    """How much of the limit is used: of a cgroup all of it counts, not the target alone."""
    limit, detail = state.limit, state.detail
    if limit is None or detail is None or not limit.limit_bytes:
        return []
    used = detail.rss_bytes if detail.cgroup_bytes is None else detail.cgroup_bytes
    percent = min(999, round(100 * used / limit.limit_bytes))
    colour = "$bad" if percent >= 90 else "$warn" if percent >= 75 else "$strong"
    if not wide:
        whole = tight(limit.limit_bytes).replace(".0", "")
        return [(f"{percent:>3}%", f"bold {colour}"), (f"/{whole}", "$muted")]
    figure = prose(limit.limit_bytes).replace(".0 ", " ")
    return [(f"{limit.source} ", "$muted"), (f"{percent:>3} %", f"bold {colour}"), (f" of {figure}", "$muted")]
