"""RSS in parts at one moment, and what has become of each since another. Pure: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from memtui.heap.terms import ANY, Terms, terms_of
from memtui.state import RunView, SessionState, event_detail, mark_letter
from memtui_profiler.events import EventKind
from memtui_profiler.series import WIDTHS_S, column_of
from memtui_profiler.session.rows import AllocatorSample

MINUTE_S = 60.0


class Role(Enum):
    """What a part of RSS is to its reader: the application's, free to return, free but stuck, the allocator's, not the heap's;

    or, where no allocator speaks, the kernel's three kinds of page.
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
    """``size_bytes`` are resident. ``change_bytes``: since the breakdown's baseline; None where there is none."""

    role: Role
    name: str
    size_bytes: int
    change_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Parts that add up to RSS. ``since`` names the baseline: 'in 1 min', 'since x'.

    ``elsewhere_bytes``: what the allocator counts but no RSS has, as pages never touched or given back without its knowing.
    ``released_bytes``: address space whose pages the kernel has back.
    """

    at_s: float
    rss_bytes: int
    parts: tuple[Part, ...]
    since: str
    elsewhere_bytes: int
    released_bytes: int


def breakdown(state: SessionState) -> Breakdown | None:
    """What the allocator said last, in the process's RSS of that moment; None while it has said nothing."""
    run, newest = state.run, state.heap.newest
    if run is None or newest is None:
        return None
    terms = terms_of(state.heap.allocator)
    since, baseline = _baseline(state, run, newest)
    parts, elsewhere = resident_parts(newest, *resident_at(state, newest), terms)
    if baseline is not None:
        before, _ = resident_parts(baseline, *resident_at(state, baseline), terms)
        was = {part.name: part.size_bytes for part in before}
        parts = tuple(Part(p.role, p.name, p.size_bytes, p.size_bytes - was.get(p.name, 0)) for p in parts)
    return Breakdown(
        at_s=newest.at_s,
        rss_bytes=sum(part.size_bytes for part in parts),
        parts=parts,
        since=since,
        elsewhere_bytes=elsewhere,
        released_bytes=newest.released_bytes,
    )


def kernel_breakdown(state: SessionState) -> Breakdown | None:
    """RSS as the kernel parts it, for want of the allocator's word; None before the first whole sample."""
    sample = state.detail
    if sample is None or sample.anon_bytes is None:
        return None
    parts = (
        Part(Role.ANON, "anonymous", max(0, sample.anon_bytes)),
        Part(Role.FILE, "files", max(0, sample.file_bytes or 0)),
        Part(Role.SHARED, "shared memory", max(0, sample.shmem_bytes or 0)),
    )
    return Breakdown(sample.at_s, sum(part.size_bytes for part in parts), parts, "", 0, 0)


def resident_parts(
    sample: AllocatorSample, rss_bytes: int, shared_bytes: int, terms: Terms
) -> tuple[tuple[Part, ...], int]:
    """The parts of RSS, largest claim first, and how much the allocator counts beyond it.

    An allocator counts pages that are not there; those are taken off what is free first, as that is where they lie. Files and
    shared memory, ``shared_bytes``, are no part of any heap.
    """
    told = (
        (Role.IN_USE, "in use", "", sample.in_use_bytes),
        (Role.FREE, terms.free, ANY.free, sample.free_bytes),
        (Role.CACHED, terms.central, ANY.central, sample.central_bytes),
        (Role.CACHED, terms.transfer, ANY.transfer, sample.transfer_bytes),
        (Role.CACHED, terms.thread, ANY.thread, sample.thread_bytes),
        (Role.METADATA, terms.metadata, ANY.metadata, sample.metadata_bytes),
    )
    rss = max(0, rss_bytes)
    room, beyond = rss - min(max(0, shared_bytes), rss), 0
    heap = room
    resident: dict[str, int] = {}
    for _, name, other_name, size in sorted(told, key=lambda each: each[0] is Role.FREE):
        fits = min(max(0, size), room)
        resident[name or other_name] = fits
        room, beyond = room - fits, beyond + max(0, size) - fits
    parts = [
        Part(role, name or other_name, resident[name or other_name])
        for role, name, other_name, size in told
        if name or size > 0
    ]
    return (*parts, Part(Role.OUTSIDE, "outside the heap", rss - heap + room)), beyond


def resident_at(state: SessionState, sample: AllocatorSample) -> tuple[int, int]:
    """RSS of about the moment the allocator was asked, and how much of it is file and shared memory."""
    for level in (0, 1, 2):
        point = state.series.at(level, column_of(sample.at_s, WIDTHS_S[level]))
        if point is not None:
            return point.rss_bytes, point.shared_bytes
    return (state.sample.rss_bytes, state.sample.shared_bytes) if state.sample is not None else (0, 0)


def _baseline(state: SessionState, run: RunView, newest: AllocatorSample) -> tuple[str, AllocatorSample | None]:
    """The newest mark of the run or a minute ago, whichever is later; the sample that was the last before it."""
    since_s, words = newest.at_s - MINUTE_S, "in 1 min"
    for event in reversed(state.events):
        letter = mark_letter(event) if event.kind != EventKind.RELAUNCH.value else ""
        if not letter or event.run != run.number:
            continue
        seconds = event_detail(event).get("seconds")
        begun_s = event.at_s - (seconds if isinstance(seconds, int | float) else 0.0)
        if begun_s < newest.at_s:
            if begun_s > since_s:
                since_s, words = begun_s, f"since {letter}"
            break
    before = [sample for sample in state.heap.samples if sample.at_s <= since_s]
    if before:
        return words, before[-1]
    oldest = state.heap.samples[0]
    if oldest is newest:
        return "", None
    return f"in {newest.at_s - oldest.at_s:.0f} s", oldest
