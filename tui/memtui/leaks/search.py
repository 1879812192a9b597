"""What a search finds in the icicle: the functions to light up, and how much of the bytes goes through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memtui.figures import percent, prose
from memtui.leaks.filter import ON_FRAMES, PatternError, PatternMatcher, Term, frame_hits, parse_filter, passing
from memtui.leaks.model import LeakTable, never


class Found(NamedTuple):
    """``functions`` by number; the figures are of the records that pass the whole search."""

    text: str
    functions: frozenset[int] = frozenset()
    records: int = 0
    size_bytes: int = 0
    error: str = ""

    def words(self, total_bytes: int) -> str:
        """``3 functions, 41.2 MiB, 96.4 %``"""
        if self.error:
            return self.error
        count = len(self.functions)
        share = percent(self.size_bytes / total_bytes) if total_bytes > 0 else percent(0)
        return f"{count} function{'' if count == 1 else 's'}, {prose(self.size_bytes)}, {share}"


def search(
    table: LeakTable,
    records: Sequence[int],
    text: str,
    match_pattern: PatternMatcher,
    cancelled: Callable[[], bool] = never,
) -> Found:
    """``text`` in the filter's language, among ``records``. Raises Cancelled."""
    wanted = parse_filter(text)
    if not wanted.terms:
        return Found(text)
    try:
        there = set(records)
        found = [index for index in passing(table, wanted, match_pattern, cancelled) if index in there]
        hits: set[int] = set()
        for term in wanted.terms:
            if isinstance(term, Term) and term.field in ON_FRAMES and not term.exclude:
                hits |= frame_hits(table, term, match_pattern, cancelled)
    except PatternError as error:
        return Found(text, error=str(error))
    leaks, of = table.report.leaks, table.functions.of
    on_stacks = {id(frame) for index in found for frame in leaks[index].stack} if len(found) < len(there) else hits
    functions = frozenset(of[identity] for identity in hits & on_stacks)
    return Found(text, functions, len(found), sum(leaks[index].size_bytes for index in found))
