"""The figures under the header: RSS and what it is made of. Fixed widths, so that nothing beside a figure ever moves."""

from __future__ import annotations

from textual.content import Content

from memtui.charset import Glyphs
from memtui.figures import brief, prose, rate, tight
from memtui.state import SessionState
from memtui.widgets.line import Part

# Units in words need so much room.
WIDE = 112
# A change slower than this, in bytes a second, is the unrest of any process: no arrow.
STILL_BYTES_PER_S = 50 << 10


def _trend(bytes_per_s: float | None, glyphs: Glyphs) -> tuple[str, str]:
    """Arrow and figure of the change of RSS, and its colour; as wide as ``▲ +999.9M/s`` always."""
    if bytes_per_s is None:
        return " " * 9, "$faint"
    if abs(bytes_per_s) < STILL_BYTES_PER_S:
        return f"{glyphs.level} {'steady':<7}", "$faint"
    arrow, colour = (glyphs.up, "$warn") if bytes_per_s > 0 else (glyphs.down, "$good")
    return f"{arrow} {rate(bytes_per_s).lstrip('+-'):<7}", colour


def figures_line(state: SessionState, glyphs: Glyphs, width: int) -> Content:
    sample, detail = state.sample, state.detail
    wide = width >= WIDE
    gap = "   " if wide else "  "

    def size(value: int | None) -> str:
        if value is None:
            return "-".rjust(8 if wide else 5)
        return brief(value).rjust(8) if wide else tight(value).rjust(5)

    def pair(name: str, value: int | None) -> list[Part]:
        return [(f"{name} ", "$muted"), (size(value), "bold $strong")]

    if sample is None:
        return Content.assemble(" ", ("no sample yet", "$muted"))
    shared = min(sample.shared_bytes, sample.rss_bytes)
    peak = max((run.peak_rss_bytes for run in state.runs), default=0)
    parts: list[Part] = [" ", *pair("RSS", sample.rss_bytes)]
    # What is over does not change any more: no room is kept for how fast.
    parts += [" ", _trend(state.growth_bytes_per_s, glyphs), gap[1:]] if state.running else [gap]
    parts += [*pair("peak", peak), gap]
    parts += [(glyphs.band, "$mem-anon"), " ", *pair("anonymous" if wide else "anon", sample.rss_bytes - shared), gap]
    parts += [(glyphs.band_other, "$mem-file"), " ", *pair("file", shared)]
    if detail is not None and detail.swap_bytes:
        parts += [gap, *pair("swap", detail.swap_bytes)]
    if state.limit is not None and state.limit.limit_bytes and detail is not None:
        parts += [gap, *_share(state, wide=wide)]
    line = Content.assemble(*parts)
    # Memory that was there is worth reading after the end; threads that are gone are not.
    threads = detail.threads if wide and state.running and detail is not None else None
    if threads is not None and line.cell_length + 15 <= width:
        words = " thread" if threads == 1 else " threads"
        line = line + Content.assemble(gap, (f"{threads:>3}", "bold $strong"), (words, "$muted"))
    return line


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
