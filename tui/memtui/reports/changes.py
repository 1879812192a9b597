"""A leak's figures as text: how many, from how many samples, and what has changed since an older report. Pure text.

Reports on growth rest on samples of pages, so lists count samples where those of leaks count objects.
"""

from __future__ import annotations

from dataclasses import replace

from memtui.display.glyphs import Glyphs
from memtui_parsers.report.difference import Change, LeakDelta
from memtui_parsers.values import GrowthFacts, GrowthOutcome, LeakRecord, LeakReport
from memtui_profiler.words import rate_words, size_words, span_words


def counted(number: int, noun: str, glyphs: Glyphs) -> str:
    """Return a number with its noun, ``10 547 objects``."""
    return f"{glyphs.count(number)} {noun}{'' if number == 1 else 's'}"


def sample_words(record: LeakRecord, glyphs: Glyphs) -> str:
    """Return on how many samples a record's figures rest, ``from about 412 samples``; '' where they were not estimated."""
    if record.samples is None:
        return ""
    if record.few_samples:
        return f"from only {counted(record.samples, 'sample', glyphs)}: a rough estimate"
    return f"from about {counted(record.samples, 'sample', glyphs)}"


def signed(size_bytes: int) -> str:
    """Return a size with its sign, ``+1.3 MiB``; at most ten columns."""
    return f"{'-' if size_bytes < 0 else '+'}{size_words(abs(size_bytes))}"


def change_words(delta_bytes: int, delta_objects: int, glyphs: Glyphs, noun: str = "object") -> str:
    """Return ``+1.3 MiB in 412 objects``; a number of objects that changed the other way has a sign of its own."""
    if delta_bytes == delta_objects == 0:
        return "no change"
    if delta_objects == 0:
        return f"{signed(delta_bytes)} in as many {noun}s"
    objects = counted(abs(delta_objects), noun, glyphs)
    if (delta_bytes < 0) == (delta_objects < 0) and delta_bytes:
        return f"{signed(delta_bytes)} in {objects}"
    sign = "-" if delta_objects < 0 else "+"
    return f"{signed(delta_bytes) if delta_bytes else 'as many bytes'} and {sign}{objects}"


def was_words(delta: LeakDelta, at: str, glyphs: Glyphs, noun: str = "object") -> str:
    """Return what a leak was before: ``was 1.2 MiB in 400 objects at 10:00:05``. ``at`` says when or where that was."""
    if delta.change is Change.NEW:
        return f"new: not there {at}"
    was = f"was {size_words(delta.before_bytes)} in {counted(delta.before_objects, noun, glyphs)} {at}"
    if delta.change is Change.GONE:
        return f"gone: {was}"
    return f"as it was {at}" if delta.change is Change.SAME else was


def noun_of(report: LeakReport) -> str:
    """What is counted beside bytes: an object, or of growth a sample."""
    return "object" if report.growth is None else "sample"


def counting_samples(report: LeakReport) -> LeakReport:
    """A report on growth with its samples as what is counted; any other as it is."""
    if report.growth is None:
        return report
    leaks = tuple(replace(leak, objects=leak.samples or 0, samples=None) for leak in report.leaks)
    return replace(report, leaks=leaks, total_objects=sum(leak.objects for leak in leaks))


def growth_words(growth: GrowthFacts) -> str:
    """``10.0 MiB grown in 10 s (1.0 MiB/s)``; or that nothing stands out, or that it cannot be told whose it is."""
    size, span = size_words(growth.grown_bytes), span_words(growth.seconds)
    if growth.outcome is GrowthOutcome.NOTHING_GREW:
        return f"nothing has grown that stands out in {span} ({size})"
    rate = f" ({rate_words(growth.bytes_per_s)})" if growth.seconds > 0 else ""
    words = f"{size} grown in {span}{rate}"
    return f"cannot tell what grew: {words}" if growth.outcome is GrowthOutcome.CANNOT_TELL else words


def rss_words(growth: GrowthFacts) -> str:
    """``RSS 40.9 -> 50.9 MiB, 1.2 MiB given back``."""
    before, now = size_words(growth.rss_before_bytes), size_words(growth.rss_now_bytes)
    if before.partition(" ")[2] == now.partition(" ")[2]:
        before = before.partition(" ")[0]
    back = f", {size_words(growth.given_back_bytes)} given back" if growth.given_back_bytes else ""
    return f"RSS {before} -> {now}{back}"
