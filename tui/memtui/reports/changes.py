"""A leak's figures as text: how many, from how many samples, and what has changed since an older report. Pure text."""

from __future__ import annotations

from memtui.display.glyphs import Glyphs
from memtui_parsers.report.difference import Change, LeakDelta
from memtui_parsers.values import LeakRecord
from memtui_profiler.words import size_words


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


def change_words(delta_bytes: int, delta_objects: int, glyphs: Glyphs) -> str:
    """Return ``+1.3 MiB in 412 objects``; a number of objects that changed the other way has a sign of its own."""
    if delta_bytes == delta_objects == 0:
        return "no change"
    if delta_objects == 0:
        return f"{signed(delta_bytes)} in as many objects"
    objects = counted(abs(delta_objects), "object", glyphs)
    if (delta_bytes < 0) == (delta_objects < 0) and delta_bytes:
        return f"{signed(delta_bytes)} in {objects}"
    sign = "-" if delta_objects < 0 else "+"
    return f"{signed(delta_bytes) if delta_bytes else 'as many bytes'} and {sign}{objects}"


def was_words(delta: LeakDelta, at: str, glyphs: Glyphs) -> str:
    """Return what a leak was before: ``was 1.2 MiB in 400 objects at 10:00:05``. ``at`` says when or where that was."""
    if delta.change is Change.NEW:
        return f"new: not there {at}"
    was = f"was {size_words(delta.before_bytes)} in {counted(delta.before_objects, 'object', glyphs)} {at}"
    if delta.change is Change.GONE:
        return f"gone: {was}"
    return f"as it was {at}" if delta.change is Change.SAME else was
