"""RSS divided into parts at one moment, and how each part has changed since another. Pure: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from memtui.session.state import RunView, SessionState, event_detail, mark_letter
from memtui_parsers.allocators.stats import PrintedStatistics
from memtui_profiler.allocators import allocator_of
from memtui_profiler.allocators.kind import PartNames
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import AllocatorSample
from memtui_profiler.session.series import WIDTHS_S, column_of

MINUTE_S = 60.0
# The names of the parts of an unknown allocator.
ANY = PartNames()


class Role(Enum):
    """The kind of a part of RSS.

    With the figures of an allocator: used by the application, free and returnable, free on pages that are partly used,
    the allocator's own, or outside the heap. Without: one of the kernel's three kinds of page.
    """

    IN_USE = "in use"
    FREE = "free"
    CACHED = "cached"
    METADATA = "metadata"
    OUTSIDE = "outside"
    ANON = "anonymous"
    FILE = "files"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of RSS. ``change_bytes``: the change since the breakdown's baseline; None where there is no baseline."""

    role: Role
    name: str
    size_bytes: int
    change_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Parts that add up to RSS. ``since`` names the baseline: 'in 1 min', 'since x'.

    ``elsewhere_bytes``: counted by the allocator but not in RSS: pages never touched, or returned without its knowledge.
    ``released_bytes``: address space whose pages the allocator has returned to the kernel. ``whole``: what the parts add up to.
    """

    rss_bytes: int
    parts: tuple[Part, ...]
    since: str
    elsewhere_bytes: int
    released_bytes: int
    whole: str = "RSS"


def part_names(allocator: str) -> PartNames:
    """Return the names for an allocator, by what its words begin with: 'tcmalloc 2.10 preloaded'. ANY for an unknown one."""
    kind = allocator_of(allocator)
    return ANY if kind is None else kind.part_names


def breakdown(state: SessionState) -> Breakdown | None:
    """Return the newest figures of the allocator as parts of RSS at that moment; None while there are none."""
    run, newest = state.run, state.heap.newest
    if run is None or newest is None:
        return None
    names = part_names(state.heap.allocator)
    since, baseline = _baseline(state, run, newest)
    parts, elsewhere = resident_parts(newest, *resident_at(state, newest), names)
    if baseline is not None:
        before, _ = resident_parts(baseline, *resident_at(state, baseline), names)
        old_sizes = {part.name: part.size_bytes for part in before}
        parts = tuple(replace(part, change_bytes=part.size_bytes - old_sizes.get(part.name, 0)) for part in parts)
    whole = "RSS"
    if (printed := state.printed) is not None:
        parts, whole = _printed_parts(printed, parts)
    return Breakdown(
        rss_bytes=sum(part.size_bytes for part in parts),
        parts=parts,
        since=since,
        elsewhere_bytes=elsewhere,
        released_bytes=newest.released_bytes,
        whole=whole,
    )


def _printed_parts(printed: PrintedStatistics, parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], str]:
    """Return the parts that statistics from a file tell of, under names that say no more than these, and what they add up to."""
    if not printed.rss_bytes:
        parts = tuple(part for part in parts if part.role is not Role.OUTSIDE)
    elif not printed.free_known:
        parts = tuple(replace(p, name="free, or outside") if p.role is Role.OUTSIDE else p for p in parts)
    if not printed.in_use_known:
        parts = tuple(replace(p, name="in use or free") if p.role is Role.IN_USE else p for p in parts)
    return parts, "RSS" if printed.rss_bytes else "IN ALL"


def kernel_breakdown(state: SessionState) -> Breakdown | None:
    """Return RSS in the kernel's kinds of page, for when the allocator has given no figures; None before the first full sample."""
    sample = state.detail
    if sample is None or sample.anon_bytes is None:
        return None
    parts = (
        Part(Role.ANON, "anonymous", max(0, sample.anon_bytes)),
        Part(Role.FILE, "files", max(0, sample.file_bytes or 0)),
        Part(Role.SHARED, "shared memory", max(0, sample.shmem_bytes or 0)),
    )
    return Breakdown(sum(part.size_bytes for part in parts), parts, "", 0, 0)


def resident_parts(
    sample: AllocatorSample, rss_bytes: int, shared_bytes: int, names: PartNames
) -> tuple[tuple[Part, ...], int]:
    """Return the parts of RSS in a fixed order, and how many bytes the allocator counts beyond RSS.

    An allocator also counts pages that are not resident. They are subtracted from the free parts first, where such pages
    usually are. Files and shared memory, ``shared_bytes``, are outside the heap.
    """
    counted = (
        (Role.IN_USE, "in use", "", sample.in_use_bytes),
        (Role.FREE, names.free, ANY.free, sample.free_bytes),
        (Role.CACHED, names.central, ANY.central, sample.central_bytes),
        (Role.CACHED, names.transfer, ANY.transfer, sample.transfer_bytes),
        (Role.CACHED, names.thread, ANY.thread, sample.thread_bytes),
        (Role.METADATA, names.metadata, ANY.metadata, sample.metadata_bytes),
    )
    rss = max(0, rss_bytes)
    room, beyond = rss - min(max(0, shared_bytes), rss), 0
    heap = room
    resident: dict[str, int] = {}
    for _, name, other_name, size in sorted(counted, key=lambda each: each[0] is Role.FREE):
        fits = min(max(0, size), room)
        resident[name or other_name] = fits
        room, beyond = room - fits, beyond + max(0, size) - fits
    parts = [
        Part(role, name or other_name, resident[name or other_name])
        for role, name, other_name, size in counted
        if name or size > 0
    ]
    return (*parts, Part(Role.OUTSIDE, "outside the heap", rss - heap + room)), beyond


def resident_at(state: SessionState, sample: AllocatorSample) -> tuple[int, int]:
    """Return RSS near the moment of an allocator sample, and how much of it is file and shared memory, in bytes.

    Of statistics from a file that do not say it, all memory of the allocator.
    """
    if (printed := state.printed) is not None:
        return printed.rss_bytes or printed.heap_bytes, 0
    for level in (0, 1, 2):
        point = state.series.at(level, column_of(sample.at_s, WIDTHS_S[level]))
        if point is not None:
            return point.rss_bytes, point.shared_bytes
    return (state.sample.rss_bytes, state.sample.shared_bytes) if state.sample is not None else (0, 0)


def _baseline(state: SessionState, run: RunView, newest: AllocatorSample) -> tuple[str, AllocatorSample | None]:
    """The newest mark of the run or a minute ago, whichever is later, in words, and the last sample before it."""
    since_s, since = newest.at_s - MINUTE_S, "in 1 min"
    for event in reversed(state.events):
        letter = mark_letter(event) if event.kind != EventKind.RELAUNCH.value else ""
        if not letter or event.run != run.number:
            continue
        seconds = event_detail(event).get("seconds")
        begun_s = event.at_s - (seconds if isinstance(seconds, int | float) else 0.0)
        if begun_s < newest.at_s:
            if begun_s > since_s:
                since_s, since = begun_s, f"since {letter}"
            break
    before = [sample for sample in state.heap.samples if sample.at_s <= since_s]
    if before:
        return since, before[-1]
    oldest = state.heap.samples[0]
    if oldest is newest:
        return "", None
    return f"in {newest.at_s - oldest.at_s:.0f} s", oldest
