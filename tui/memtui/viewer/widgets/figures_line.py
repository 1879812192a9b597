"""The figures below the header: RSS and its parts. A figure has a fixed width, so that nothing beside it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from textual.content import Content

from memtui.display.figures import brief, rate, tight
from memtui.display.glyphs import Glyphs
from memtui.session.state import SessionState
from memtui.viewer.widgets.bands import COLOURS, SHORT_NAMES, TEXTURES, Band, bands
from memtui.viewer.widgets.line import Part
from memtui_profiler.session.rows import Sample
from memtui_profiler.session.series import Point
from memtui_profiler.words import size_words

# From this width on units are written in full.
WIDE = 112
# RSS that changes less than this, which is usual in any process, is called steady.
STILL_BYTES_PER_S = 50 << 10


def _trend(bytes_per_s: float | None, glyphs: Glyphs, *, close: bool) -> tuple[str, str]:
    """How fast RSS changes, and the colour for it; always as wide as ``▲ 99.9M/s``, without the space where ``close``."""
    gap = "" if close else " "
    if bytes_per_s is None:
        return f"{gap}{'':<8}", "$faint"
    if abs(bytes_per_s) < STILL_BYTES_PER_S:
        return f"{glyphs.level}{gap}{'steady':<7}", "$faint"
    arrow, colour = (glyphs.up, "$warn") if bytes_per_s > 0 else (glyphs.down, "$good")
    return f"{arrow}{gap}{rate(bytes_per_s).lstrip('+-'):<7}", colour


def figures_line(state: SessionState, glyphs: Glyphs, width: int, *, textured: bool = False) -> Content:
    """Return the figures in ``width`` columns. ``textured``: bands are marked with their textures, as there are no colours."""
    sample = state.sample
    if sample is None:
        return Content.assemble(" ", ("no sample yet", "$muted"))
    wide = width >= WIDE
    split = _split(sample)
    # Beside three bands there is room for narrow gaps only.
    gap = "   " if wide and not split else "  "

    def size(value: int | None) -> str:
        if value is None:
            return "-".rjust(8 if wide else 5)
        return brief(value).rjust(8) if wide else tight(value).rjust(5)

    def pair(name: str, value: int | None) -> list[Part]:
        return [(f"{name} ", "$muted"), (size(value), "bold $strong")]

    peak = max((run.peak_rss_bytes for run in state.runs), default=0)
    parts: list[Part] = [" ", *pair("RSS", sample.rss_bytes)]
    # After the end there is no change, and no room for it.
    trend = _trend(state.growth_bytes_per_s, glyphs, close=split is not None and not wide)
    parts += [" ", trend, gap[1:]] if state.running else [gap]
    parts += [*pair("peak", peak), gap]
    if split is not None:
        for number, (band, size_bytes) in enumerate(split):
            mark = TEXTURES[band] if textured else glyphs.band
            name = "other" if band is Band.OUTSIDE and not wide else SHORT_NAMES[band]
            parts += [gap if number and wide else " " * (number > 0), (mark, COLOURS[band]), " " * wide]
            parts += pair(name, size_bytes)
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
    """Further figures if there is room, the most important first; each in its forms, the longest first."""
    detail = state.detail
    if detail is None:
        return
    if detail.swap_bytes:
        yield [Content.assemble(*pair("swap", detail.swap_bytes))]
    if state.limit is not None and state.limit.limit_bytes:
        forms = ([True] if wide else []) + [False]
        yield [Content.assemble(*_share(state, wide=form)) for form in forms]
    # After the end, the number of threads is of no interest.
    if wide and state.running and detail.threads is not None:
        words = " thread" if detail.threads == 1 else " threads"
        yield [Content.assemble((f"{detail.threads:>3}", "bold $strong"), (words, "$muted"))]


def _split(sample: Sample) -> tuple[tuple[Band, int], ...] | None:
    """The sizes of the allocator's bands, as in the graph; None while the allocator has given no figures."""
    if sample.in_use_bytes is None or sample.kept_bytes is None:
        return None
    point = Point(0.0, 0, sample.rss_bytes, sample.shared_bytes, sample.in_use_bytes, sample.kept_bytes)
    return bands(point)


def _share(state: SessionState, *, wide: bool) -> list[Part]:
    """How much of the limit is used; of a cgroup's limit by all of the cgroup, not by the target alone."""
    limit, detail = state.limit, state.detail
    if limit is None or detail is None or not limit.limit_bytes:
        return []
    used = detail.rss_bytes if detail.cgroup_bytes is None else detail.cgroup_bytes
    percent = min(999, round(100 * used / limit.limit_bytes))
    colour = "$bad" if percent >= 90 else "$warn" if percent >= 75 else "$strong"
    if not wide:
        whole = tight(limit.limit_bytes).replace(".0", "")
        return [(f"{percent:>3}%", f"bold {colour}"), (f"/{whole}", "$muted")]
    figure = size_words(limit.limit_bytes).replace(".0 ", " ")
    return [(f"{limit.source} ", "$muted"), (f"{percent:>3} %", f"bold {colour}"), (f" of {figure}", "$muted")]
