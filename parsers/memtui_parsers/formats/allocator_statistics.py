"""Statistics that a program has printed, as they are pasted into reports of bugs: whichever allocator's they are.

Each writer is known by its own words. What a log has put before each line is taken away; of several answers in one file
the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from memtui_parsers.allocators.jemalloc import METRIC, parse_jemalloc_json, parse_jemalloc_metrics, parse_jemalloc_text
from memtui_parsers.allocators.malloc_info import parse_malloc_info, partial_bytes
from memtui_parsers.allocators.malloc_stats import parse_malloc_stats
from memtui_parsers.allocators.mimalloc import parse_mimalloc_stats
from memtui_parsers.allocators.redis_memory import parse_redis_memory
from memtui_parsers.allocators.stats import AllocatorStats, PrintedStatistics
from memtui_parsers.allocators.tcmalloc import parse_tcmalloc_stats
from memtui_parsers.clean_text import clean_lines
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.line_prefix import PrefixRemover
from memtui_parsers.report.json_stream import read_up_to

# jemalloc's JSON has some 60 KiB for each arena.
MAX_BYTES = 32 << 20
# Of a line of text; the formats that may be in one line are told by its beginning, too.
MAX_LINE_CHARS = 2000

Parser = Callable[[list[str]], PrintedStatistics]


class Writer(NamedTuple):
    """``sign``: words that no other text has. ``anchor``: where its lines begin, behind what a log puts before them.

    ``in_one_line``: all of it may stand in one line.
    """

    sign: re.Pattern[str]
    anchor: re.Pattern[str]
    parse: Parser
    in_one_line: bool = False


def parse_printed(stream: BinaryIO) -> PrintedStatistics:
    """Parse the last answer of the first writer whose words are there. Raises ParseError where none are, or no figures."""
    raw = [part for line in clean_lines(read_up_to(stream, MAX_BYTES), MAX_BYTES) for part in _unquoted(line)]
    short = [line[:MAX_LINE_CHARS] for line in raw]
    found = [writer for writer in WRITERS if any(map(writer.sign.search, short))]
    if not found:
        raise ParseError("these are no statistics of an allocator that memtui knows")
    parsed: PrintedStatistics | None = None
    trouble: ParseError | None = None
    for writer in found:
        remover = PrefixRemover(writer.anchor)
        try:
            answer = writer.parse([remover.without(line) for line in (raw if writer.in_one_line else short)])
        except ParseError as error:
            trouble = trouble or error
            continue
        # Redis says how large its process is, and its allocator how that is divided.
        parsed = answer if parsed is None else replace(parsed, rss_bytes=parsed.rss_bytes or answer.rss_bytes)
    if parsed is None:
        raise trouble or ParseError("no figures")
    return parsed


def _unquoted(line: str) -> list[str]:
    """Return the lines of a text that is quoted in one: MongoDB's serverStatus has tcmalloc's so, redis-cli may have jemalloc's."""
    if "\\nMALLOC:" in line or "jemalloc statistics ___\\" in line:
        return line.replace("\\r", "").split("\\n")
    return [line]


def _tcmalloc(lines: list[str]) -> PrintedStatistics:
    parsed = parse_tcmalloc_stats("\n".join((*lines, "")).encode())
    allocator, writer = (
        ("Google's own tcmalloc", "Google's tcmalloc") if parsed.per_cpu else ("tcmalloc", "gperftools' tcmalloc")
    )
    return PrintedStatistics(allocator, f"{writer}, MallocExtension::GetStats", parsed.stats, parsed.detail)


def _malloc_info(lines: list[str]) -> PrintedStatistics:
    text = "\n".join(lines)
    text = text[text.rfind("<malloc version=") :]
    end = text.find("</malloc>")
    info = parse_malloc_info(text[: end + len("</malloc>") if end >= 0 else None].encode())
    edges = max(info.fast_bytes, min(info.free_bytes, partial_bytes(info)))
    return PrintedStatistics(
        "glibc malloc",
        "glibc's malloc_info",
        AllocatorStats(
            in_use_bytes=max(0, info.system_bytes - info.free_bytes) + info.mapped_bytes,
            free_bytes=max(0, info.free_bytes - edges),
            central_bytes=edges,
        ),
        info.detail,
        notes=(
            "what malloc_trim(0) has given back already is counted as free all the same: compare with the process's RSS",
            *(() if info.whole else ("the text is cut: arenas are missing",)),
        ),
    )


WRITERS = (
    Writer(
        re.compile(r"MALLOC:[ +=]{1,20}\d{1,20} .{0,60}in use by application"),
        re.compile(r"MALLOC:|class +\d+ \[ *\d+ bytes \] :|(?: *\d+ pages|>=? *\d+ +large) \* +\d+ spans ~"),
        _tcmalloc,
    ),
    Writer(
        re.compile(r"_ Begin jemalloc statistics _|^\W*Allocated: \d+, active: \d+"),
        re.compile(
            r"___ Begin jemalloc statistics ___|Allocated: \d+, active: |Merged arenas stats:|arenas\[\d+\]:|bins: +size"
        ),
        parse_jemalloc_text,
    ),
    Writer(METRIC, METRIC, parse_jemalloc_metrics),
    Writer(re.compile(r'"jemalloc" ?: ?\{'), re.compile(r'\{ ?"jemalloc" ?:'), parse_jemalloc_json, in_one_line=True),
    Writer(
        re.compile(r"<malloc version="),
        re.compile(r"</?(?:malloc|heap|sizes|unsorted|total|system|aspace)\b"),
        _malloc_info,
        in_one_line=True,
    ),
    Writer(
        re.compile(r"system bytes +=|in use bytes +="),
        re.compile(r"Arena \d+:|system bytes +=|in use bytes +=|Total \(incl\. mmap\):|max mmap (?:regions|bytes) +="),
        parse_malloc_stats,
    ),
    Writer(
        re.compile(r"heap stats:|^\W*(?:reserved|committed): .*[KMGT]iB"),
        re.compile(r"heap stats:|process: user:"),
        parse_mimalloc_stats,
    ),
    Writer(
        re.compile(r"\bused_memory:\d|\btotal\.allocated\b"),
        re.compile(
            r'used_memory(?:_rss)?:|allocator_\w+:|mem_allocator:|# Memory|(?: ?\d{1,3}\) ")?[a-z]+\.allocated"?$'
        ),
        parse_redis_memory,
    ),
)
