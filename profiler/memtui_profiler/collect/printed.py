"""An allocator's statistics that were printed to a file, as a session: one answer of one run, and no samples."""

from __future__ import annotations

import json
from collections.abc import Sequence

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats, PrintedStatistics
from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators.detail_json import from_json, to_json
from memtui_profiler.errors import UserError
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import AllocatorDetailRow, AllocatorSample, Run, RunEnd, RunSettled
from memtui_profiler.session.stored_json import json_list, json_object
from memtui_profiler.session.writer import SessionWriter

# The key of meta that only such a session has.
META = "statistics"
MAX_NOTES = 20
_MOST_BYTES = (1 << 63) - 1


def write_printed(writer: SessionWriter, printed: PrintedStatistics, argv: Sequence[str], cwd: str) -> None:
    """Write the rows of the statistics. Raises what SessionWriter does."""
    stats, allocator = printed.stats, clean(printed.allocator, 80)
    writer.meta(
        META,
        json.dumps(
            {
                "writer": clean(printed.writer, 200),
                "rss_bytes": printed.rss_bytes,
                "in_use_known": printed.in_use_known,
                "free_known": printed.free_known,
                "free_is_whole": printed.free_is_whole,
                "notes": [clean(note, 500) for note in printed.notes[:MAX_NOTES]],
            }
        ),
    )
    run = writer.add(
        Run(
            at_s=0.0,
            pid=0,
            executable="",
            argv=json.dumps(list(argv)),
            cwd=cwd,
            mode=CHECK_OFF,
            release_rate=None,
            allocator=allocator,
            environment="{}",
            environment_names="[]",
        )
    )
    writer.add(
        AllocatorSample(
            at_s=0.0,
            run=run,
            allocator=allocator,
            in_use_bytes=fit(stats.in_use_bytes),
            free_bytes=fit(stats.free_bytes),
            central_bytes=fit(stats.central_bytes),
            transfer_bytes=fit(stats.transfer_bytes),
            thread_bytes=fit(stats.thread_bytes),
            metadata_bytes=fit(stats.metadata_bytes),
            released_bytes=fit(stats.released_bytes),
            release_rate=None,
            cost_s=0.0,
        )
    )
    if printed.detail != AllocatorDetail():
        writer.add(AllocatorDetailRow(at_s=0.0, run=run, detail=to_json(printed.detail)))
    writer.add(RunEnd(at_s=0.0, run=run, exit_code=None, signal=None, oom_killed=0))
    writer.add(RunSettled(at_s=0.0, run=run))


def fit(size_bytes: int) -> int:
    """The nearest size that a session can hold."""
    return max(0, min(size_bytes, _MOST_BYTES))


def load_printed(reader: SessionReader) -> tuple[PrintedStatistics, str]:
    """Return the statistics of a session, and the name of their file. Raises UserError where they are damaged."""
    meta = reader.meta()
    sample = next(iter(reader.rows(AllocatorSample)), None)
    row = next(iter(reader.rows(AllocatorDetailRow)), None)
    try:
        detail = None if row is None else from_json(row.detail)
    except ParseError:
        detail = None
    printed = printed_from(meta.get(META, ""), sample, detail)
    if printed is None:
        raise UserError("cannot read the statistics", "this session is damaged", "open the file that it was made of")
    argv = json_list(meta.get("argv", "[]"))
    return printed, clean(str(argv[0])) if argv else ""


def printed_from(meta: str, sample: AllocatorSample | None, detail: AllocatorDetail | None) -> PrintedStatistics | None:
    """Return the statistics of a session by its row of meta; None where that is damaged, or the figures are not there yet."""
    facts = json_object(meta)
    if not facts or sample is None:
        return None
    rss, notes = facts.get("rss_bytes"), facts.get("notes")
    return PrintedStatistics(
        allocator=sample.allocator,
        writer=clean(str(facts.get("writer", "")), 200),
        stats=AllocatorStats(
            in_use_bytes=sample.in_use_bytes,
            free_bytes=sample.free_bytes,
            central_bytes=sample.central_bytes,
            transfer_bytes=sample.transfer_bytes,
            thread_bytes=sample.thread_bytes,
            metadata_bytes=sample.metadata_bytes,
            released_bytes=sample.released_bytes,
        ),
        detail=detail or AllocatorDetail(),
        rss_bytes=fit(rss) if type(rss) is int else None,
        in_use_known=facts.get("in_use_known") is not False,
        free_known=facts.get("free_known") is not False,
        free_is_whole=facts.get("free_is_whole") is not False,
        notes=tuple(clean(str(note), 500) for note in (notes if isinstance(notes, list) else [])[:MAX_NOTES]),
    )
