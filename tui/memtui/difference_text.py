"""What has come and gone between two reports as plain text, for `memtui open A B` where there is no screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from memtui.figures import prose
from memtui.leaks.changes import change_words
from memtui.leaks.look import Look, look
from memtui.leaks.model import build_table
from memtui.leaks.summary import table_notes
from memtui.report_text import SourceOf, no_source, stack_text, summary
from memtui_parsers.clean_text import clean
from memtui_parsers.report_diff import Change, LeakDelta
from memtui_parsers.values import LeakReport

_NAME = 80


def difference_lines(
    old: LeakReport,
    new: LeakReport,
    names: tuple[str, str],
    source: SourceOf = no_source,
    *,
    ascii: bool = False,
) -> Iterator[str]:
    """The difference as lines without ends: in all, before, now, notes, then each stack that is not as it was.

    What has grown most comes first, what is gone last. ``names``: what the two are called.
    """
    words = look(ascii)
    table = build_table(new, against=old)
    assert table.difference is not None
    found, deltas = table.difference, table.difference.deltas
    older, newer = (clean(name, _NAME) for name in names)
    yield words.text(f"{change_words(found.delta_bytes, found.delta_objects, words)} from {older} to {newer}")
    yield words.text(f"before: {summary(old, words)}")
    yield words.text(f"now: {summary(new, words)}")
    counts = Counter(delta.change for delta in deltas)
    yield "stacks: " + ", ".join(f"{words.count(counts[change])} {change.value}" for change in Change)
    for note in table_notes(table):
        yield words.text(f"note: {clean(note)}")
    changed = (index for index, delta in enumerate(deltas) if delta.change is not Change.SAME)
    for place, index in enumerate(sorted(changed, key=lambda index: _rank(deltas[index])), start=1):
        yield ""
        yield words.text(f"{place}. {_headline(deltas[index], table.names[index].function, words)}")
        for line in stack_text(table, index, source, words):
            yield words.text(line)


def _rank(delta: LeakDelta) -> tuple[bool, int]:
    gone = delta.change is Change.GONE
    return gone, delta.delta_bytes if gone else -delta.delta_bytes


def _headline(delta: LeakDelta, function: str, words: Look) -> str:
    """``+907.2 KiB in 306 objects, now 1.3 MiB in 412 (unreachable, grown): Frame::decode<Hello>``"""
    record = delta.record
    now = ""
    if delta.change in (Change.GROWN, Change.SHRUNK):
        now = f", now {prose(record.size_bytes)} in {words.count(record.objects)}"
    changed = change_words(delta.delta_bytes, delta.delta_objects, words)
    return f"{changed}{now} ({record.kind.value}, {delta.change.value}): {function}"
