"""A comparison in words: what has come and gone in all, and what of one leak. Pure text."""

from __future__ import annotations

from memtui.figures import prose
from memtui.leaks.look import Look
from memtui_parsers.report_diff import Change, LeakDelta


def signed(size_bytes: int) -> str:
    """A size with its sign, ``+1.3 MiB``; at most ten columns."""
    return f"{'-' if size_bytes < 0 else '+'}{prose(abs(size_bytes))}"


def change_words(delta_bytes: int, delta_objects: int, look: Look) -> str:
    """``+1.3 MiB in 412 objects``; objects that went the other way are said with their sign."""
    if delta_bytes == delta_objects == 0:
        return "no change"
    noun = "object" if abs(delta_objects) == 1 else "objects"
    if delta_objects == 0:
        return f"{signed(delta_bytes)} in as many objects"
    if (delta_bytes < 0) == (delta_objects < 0) and delta_bytes:
        return f"{signed(delta_bytes)} in {look.count(abs(delta_objects))} {noun}"
    sign = "-" if delta_objects < 0 else "+"
    return (
        f"{signed(delta_bytes) if delta_bytes else 'as many bytes'} and {sign}{look.count(abs(delta_objects))} {noun}"
    )


def was_words(delta: LeakDelta, at: str, look: Look) -> str:
    """What a leak was before: ``was 1.2 MiB in 400 objects at 10:00:05``; ``at`` says when or where that was."""
    if delta.change is Change.NEW:
        return f"new: not there {at}"
    noun = "object" if delta.before_objects == 1 else "objects"
    was = f"was {prose(delta.before_bytes)} in {look.count(delta.before_objects)} {noun} {at}"
    if delta.change is Change.GONE:
        return f"gone: {was}"
    return f"as it was {at}" if delta.change is Change.SAME else was
