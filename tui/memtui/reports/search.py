"""The result of a search in the icicle: the functions to highlight, and how many bytes go through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memtui.display.figures import percent
from memtui.reports.filter import ON_FRAMES, PatternError, PatternMatcher, Term, frame_hits, parse_filter, passing
from memtui.reports.table import LeakTable, never
from memtui_profiler.words import size_words


class SearchResult(NamedTuple):
    """The ``functions`` found, by number; the figures are those of the records that pass the whole search."""

    text: str
    functions: frozenset[int] = frozenset()
    records: int = 0
    size_bytes: int = 0
    error: str = ""

    def summary(self, total_bytes: int) -> str:
        """Return ``3 functions, 41.2 MiB, 96.4 %``, or the error."""
        if self.error:
            return self.error
        count = len(self.functions)
        share = percent(self.size_bytes / total_bytes) if total_bytes > 0 else percent(0)
        return f"{count} function{'' if count == 1 else 's'}, {size_words(self.size_bytes)}, {share}"


def search(
    table: LeakTable,
    records: Sequence[int],
    text: str,
    match_pattern: PatternMatcher,
    cancelled: Callable[[], bool] = never,
) -> SearchResult:
    """Return what ``text``, in the filter's language, finds among ``records``. Raises Cancelled."""
    wanted = parse_filter(text)
    if not wanted:
        return SearchResult(text)
    try:
        searched = set(records)
        passed = [index for index in passing(table, wanted, match_pattern, cancelled) if index in searched]
        hits: set[int] = set()
        for term in wanted:
            if isinstance(term, Term) and term.field in ON_FRAMES and not term.exclude:
                hits |= frame_hits(table, term, match_pattern, cancelled)
    except PatternError as error:
        return SearchResult(text, error=str(error))
    leaks, of = table.report.leaks, table.functions.of
    on_stacks = hits
    if len(passed) < len(searched):
        on_stacks = {id(frame) for index in passed for frame in leaks[index].stack}
    functions = frozenset(of[identity] for identity in hits & on_stacks)
    return SearchResult(text, functions, len(passed), sum(leaks[index].size_bytes for index in passed))
