"""The difference of two reports as plain text, for `memtui open A B` where there is no screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from memtui.display.glyphs import Glyphs, glyphs_for
from memtui.reports.changes import change_words, counting_samples, noun_of
from memtui.reports.table import build_table, table_notes
from memtui.text.report import SourceOf, no_source, stack_text, summary
from memtui_parsers.clean_text import clean
from memtui_parsers.report.difference import Change, LeakDelta
from memtui_parsers.values import LeakReport
from memtui_profiler.words import size_words

_NAME = 80


def difference_lines(
    old: LeakReport,
    new: LeakReport,
    names: tuple[str, str],
    source: SourceOf = no_source,
    *,
    ascii: bool = False,
    skips: Sequence[str] = (),
) -> Iterator[str]:
    """Return the difference as lines without ends: in all, before, now, notes, then each stack that has changed.

    What has grown most comes first, what is gone last. ``names``: the names of the two reports; ``skips``: as in report_lines().
    """
    glyphs = glyphs_for(ascii=ascii)
    was, old, new = (old, new), counting_samples(old), counting_samples(new)
    table = build_table(new, against=old, skips=skips)
    assert table.difference is not None
    difference, deltas = table.difference, table.difference.deltas
    older, newer = (clean(name, _NAME) for name in names)
    yield glyphs.plain(
        f"{change_words(difference.delta_bytes, difference.delta_objects, glyphs, noun_of(new))} from {older} to {newer}"
    )
    yield glyphs.plain(f"before: {summary(was[0], glyphs)}")
    yield glyphs.plain(f"now: {summary(was[1], glyphs)}")
    counts = Counter(delta.change for delta in deltas)
    yield "stacks: " + ", ".join(f"{glyphs.count(counts[change])} {change.value}" for change in Change)
    for note in table_notes(table):
        yield glyphs.plain(f"note: {clean(note)}")
    changed = (index for index, delta in enumerate(deltas) if delta.change is not Change.SAME)
    for place, index in enumerate(sorted(changed, key=lambda index: _rank(deltas[index])), start=1):
        yield ""
        yield glyphs.plain(f"{place}. {_headline(deltas[index], table.names[index].function, glyphs, noun_of(new))}")
        for line in stack_text(table, index, source, glyphs):
            yield glyphs.plain(line)


def _rank(delta: LeakDelta) -> tuple[bool, int]:
    gone = delta.change is Change.GONE
    return gone, delta.delta_bytes if gone else -delta.delta_bytes


def _headline(delta: LeakDelta, function: str, glyphs: Glyphs, noun: str) -> str:
    """``+907.2 KiB in 306 objects, now 1.3 MiB in 412 (unreachable, grown): Frame::decode<Hello>``"""
    record = delta.record
    now = ""
    if delta.change in (Change.GROWN, Change.SHRUNK):
        now = f", now {size_words(record.size_bytes)} in {glyphs.count(record.objects)}"
    changed = change_words(delta.delta_bytes, delta.delta_objects, glyphs, noun)
    return f"{changed}{now} ({record.kind.value}, {delta.change.value}): {function}"
