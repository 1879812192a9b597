"""What a check has not seen of the process's memory, told in a note; one that has seen next to nothing has no result.

At exit a small share proves nothing: memory that was freed before may stay with the allocator, and is anonymous, too. Only
what the allocator itself said while the process ran, free memory included, tells that another one held the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

from memtui_parsers.values import LeakKind, ReportStatus
from memtui_profiler.checkers import checker_named
from memtui_profiler.collect.parsed import note_rows
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.session.rows import Leak, ReportEnd, ReportNote, Row
from memtui_profiler.words import size_words

# Below this libraries and stacks may well be most of a process.
_LEAST_ANONYMOUS_BYTES = 16 << 20
_LEAST_SHARE = 0.1
_NOT_SEEN = "another allocator of the program's holds, or the program has mapped itself"


def with_what_was_seen(request: CollectRequest, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of a report, with a note where the check has, or may have, seen less than a tenth.

    A live check that has seen so little, or one that is known to see nothing, has not found nothing: it has no result.
    Blocks that are still reachable are no finding: also a check that sees none of the program's own has some.
    """
    if not request.unseen and request.anonymous_bytes is None:
        yield from (row._replace(seen_bytes=None) if isinstance(row, ReportEnd) else row for row in rows)
        return
    held_little = _held_little(request)
    no_result = request.unseen or (held_little if request.live else "")
    # valgrind calls the storage of running threads possibly lost.
    nothing = {LeakKind.STILL_REACHABLE.value, *([LeakKind.POSSIBLY_LOST.value] if request.unseen else [])}
    notes: list[str] = []
    lost = False
    for row in rows:
        lost = lost or (isinstance(row, Leak) and row.kind not in nothing)
        if isinstance(row, ReportNote):
            notes.append(row.text)  # one of them may say that there are no leaks
            continue
        if isinstance(row, ReportEnd):
            note = no_result or held_little or _may_have_seen_little(request, row, lost=lost)
            if no_result and not lost:
                row, notes = row._replace(status=ReportStatus.NOT_RUN.value), []
            yield from note_rows(request.report, [note, *notes] if note else notes)
            row, notes = row if note else row._replace(seen_bytes=None), []
        yield row
    yield from note_rows(request.report, notes)


def _little_of(held_bytes: int, anonymous_bytes: int) -> bool:
    return anonymous_bytes >= _LEAST_ANONYMOUS_BYTES and held_bytes < _LEAST_SHARE * anonymous_bytes


def _held_little(request: CollectRequest) -> str:
    """What the malloc that is checked said of itself, where that is less than a tenth; '' else, or where it said nothing."""
    held, anonymous = request.held_bytes, request.anonymous_bytes
    if held is None or anonymous is None or not _little_of(held, anonymous):
        return ""
    holds = "holds" if request.live else "held, while the process ran,"
    return (
        f"the malloc that is checked {holds} {size_words(held)} of {size_words(anonymous)} of anonymous memory: no leak is"
        f" seen in the rest, which {_NOT_SEEN}"
    )


def _may_have_seen_little(request: CollectRequest, end: ReportEnd, *, lost: bool) -> str:
    """What is known where the malloc that is checked did not say what it held; '' where there is nothing to tell."""
    anonymous, seen = request.anonymous_bytes, end.seen_bytes
    if request.held_bytes is not None or anonymous is None or end.status != ReportStatus.COMPLETE.value:
        return ""
    if seen is not None:
        if not _little_of(seen, anonymous):
            return ""
        return (
            f"the check saw {size_words(seen)}, and the process had up to {size_words(anonymous)} of anonymous memory: the"
            f" rest was freed before, or it is memory in which no leak is seen: what {_NOT_SEEN}"
        )
    if lost or anonymous < _LEAST_ANONYMOUS_BYTES or _says_what_it_saw(request):
        return ""
    return (
        f"the check does not say how much of up to {size_words(anonymous)} of anonymous memory it saw; no leak is seen in"
        f" what {_NOT_SEEN}"
    )


def _says_what_it_saw(request: CollectRequest) -> bool:
    checker = checker_named(request.checker)
    return checker is None or bool(checker.checked_malloc) or checker.takes_snapshots
