"""What a report of growth can be trusted for, in sentences."""

from __future__ import annotations

from enum import Enum

from memtui_parsers.procfs.maps import MappingIndex
from memtui_profiler.growth.fault_records import STACK_BYTES
from memtui_profiler.growth.growth import joined
from memtui_profiler.growth.watch import Watched
from memtui_profiler.words import percent_words, size_words, span_words

# Fewer samples may be of anybody.
FEWEST_SAMPLES = 10
LEAST_SEEN = 0.5
# What allocators and stacks take and give back all the time.
NOISE_BYTES = 256 << 10
NOISE_OF_RSS = 0.001

FIRST_TO_TOUCH = "a stack here is who touched new memory first, which is not always who keeps it"
HALF = 0.5
NONE_HAS_HALF = (
    "no stack has half of it: where several allocate in the same sizes, it is shared out among them, whoever keeps it"
)
CUT_SHARE = 0.1
# Runtimes whose collectors move what lives: who is first on a page is the collector. What a program's own libraries allocate
# beside them does not run through these files.
_MOVING = {"libjvm.so": "Java", "libcoreclr.so": ".NET"}
_MOVED_SHARE = 0.5
# Its collector is in the file of the program, through which all of it runs.
_V8 = b"/node"


class Outcome(Enum):
    """What a report says."""

    STACKS = "stacks"
    NOTHING_GREW = "nothing grew"
    CANNOT_TELL = "cannot tell"


def outcome_of(watched: Watched) -> Outcome:
    """Which it is: being wrong is worse than being silent."""
    growth = watched.growth
    if growth.kept_bytes - growth.given_back_bytes <= noise_bytes(watched):
        return Outcome.NOTHING_GREW
    if growth.samples < FEWEST_SAMPLES or growth.seen_bytes < LEAST_SEEN * growth.kept_bytes or moved_by(watched):
        return Outcome.CANNOT_TELL
    return Outcome.STACKS


def moved_by(watched: Watched) -> str:
    """The runtime through whose files most of the growth runs, and whose collector moves memory; '' where there is none."""
    index = MappingIndex(watched.mappings)
    for file, name in _MOVING.items():
        if not any(mapping.path.endswith(f"/{file}") for mapping in watched.mappings):
            continue
        through = 0.0
        for row in watched.growth.rows:
            found = (index.find(address - 1) for address in row.stack)
            if any(mapping is not None and mapping.path.endswith(f"/{file}") for mapping in found):
                through += row.bytes
        if through > _MOVED_SHARE * sum(row.bytes for row in watched.growth.rows):
            return name
    return ""


def noise_bytes(watched: Watched) -> float:
    """Growth up to which nothing is said of it."""
    return max(NOISE_BYTES, NOISE_OF_RSS * watched.rss_before)


def notes_of(watched: Watched) -> list[str]:
    """Sentences for the report, without full stops; the most important first."""
    growth, sampled = watched.growth, watched.sampled
    outcome = outcome_of(watched)
    span = span_words(watched.seconds)
    kept = growth.kept_bytes
    notes = []
    if outcome is Outcome.NOTHING_GREW and growth.given_back_bytes > noise_bytes(watched):
        came, gone = size_words(kept), size_words(growth.given_back_bytes)
        notes.append(f"nothing grew in all in {span}: {came} came, and {gone} went that was there before")
    elif outcome is Outcome.NOTHING_GREW:
        notes.append(f"nothing grew in {span} that stands out: {size_words(max(0, kept - growth.given_back_bytes))}")
    elif outcome is Outcome.CANNOT_TELL and growth.samples < FEWEST_SAMPLES:
        notes.append(f"cannot tell what grew: only {growth.samples} samples of the new memory in {span}; watch longer")
    elif outcome is Outcome.CANNOT_TELL and (runtime := moved_by(watched)):
        notes.append(f"cannot tell what grew: {runtime}'s collector moves memory; ask the runtime")
    elif outcome is Outcome.CANNOT_TELL:
        share = percent_words(growth.seen_bytes / kept)
        notes.append(f"cannot tell what grew: {share} of {size_words(kept)} was seen to be touched")
    else:
        notes.append(FIRST_TO_TOUCH)
        if joined(growth.rows, watched.mappings)[0].bytes < HALF * kept:
            notes.append(NONE_HAS_HALF)
        inferred = kept - growth.seen_bytes - growth.nobodys_bytes
        if inferred > 0.05 * kept:
            notes.append(f"{size_words(inferred)} was not seen, and counts for those who touched the same mappings")
    if growth.nobodys_bytes > max(0.05 * kept, noise_bytes(watched)):
        notes.append(f"{size_words(growth.nobodys_bytes)} of the growth is in no stack: nobody was seen to touch it")
    if growth.passing_bytes > noise_bytes(watched):
        notes.append(
            f"{size_words(growth.passing_bytes)} come and go, and are in no stack: whoever has them gives them back"
        )
    if watched.has_ended:
        notes.append(f"the process ended after {span}; this is what was there when it was last looked at")
    if sampled.lost or sampled.throttled:
        notes.append(f"samples lost: {sampled.lost}; the rest count for them")
    if sampled.stackless:
        notes.append(f"{sampled.stackless} samples have no stack, and are in no row")
    if sampled.cut > CUT_SHARE * sampled.samples:
        notes.append(
            f"{sampled.cut} of {sampled.samples} stacks are cut: callers are deeper than {size_words(STACK_BYTES)}, or unknown"
        )
    if sampled.unwatched_threads:
        notes.append(
            f"{sampled.unwatched_threads} threads were not watched: there are too many for the processors here"
        )
    if not sampled.system_calls:
        notes.append("memory that system calls fill, as read() does, is not seen without root or perf_event_paranoid 1")
    if any(line.endswith(_V8) for line in watched.maps):
        notes.append("V8's collector moves memory, so some stacks of its heap are the collector's")
    return notes
