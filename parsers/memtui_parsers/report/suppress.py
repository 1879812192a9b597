"""Applies suppressions to a report: leaks and errors of every checker, with rules of either syntax.

The stacks of records have no frames of the allocator, so callers at a rule's beginning that only those match are
skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from memtui_parsers.report.suppressions import Part, Pattern, Rule, matcher
from memtui_parsers.values import CheckerError, Frame, LeakKind, LeakRecord, LeakReport

_ALLOCATORS = (
    "malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign", "valloc",
    "_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t",
    "operator new(unsigned long)", "operator new[](unsigned long)",
)  # fmt: skip
_ALLOCATOR_OBJECTS = re.compile(r"vgpreload_memcheck|libtcmalloc|libjemalloc|liblsan|libasan")
# The kinds of match-leak-kinds for each kind of record; a draconian check does not tell lost from reachable.
_LEAK_KINDS: dict[LeakKind, frozenset[str]] = {
    LeakKind.INDIRECTLY_LOST: frozenset({"indirect"}),
    LeakKind.INDIRECT: frozenset({"indirect"}),
    LeakKind.POSSIBLY_LOST: frozenset({"possible"}),
    LeakKind.STILL_REACHABLE: frozenset({"reachable"}),
    LeakKind.IN_USE: frozenset({"reachable"}),
    LeakKind.GROWTH: frozenset({"reachable"}),
    LeakKind.ALLOCATED: frozenset({"reachable"}),
    LeakKind.NOT_FREED: frozenset({"definite", "reachable"}),
}
_DEFINITE = frozenset({"definite"})
_SIZED = re.compile(r"of size (\d{1,5})\b")
# The kinds of suppressions by memcheck's kinds of errors; the size of an access follows some of them, as in Addr4.
_ERROR_KINDS = {
    "InvalidRead": "Addr", "InvalidWrite": "Addr", "UninitValue": "Value", "UninitCondition": "Cond",
    "SyscallParam": "Param", "InvalidFree": "Free", "MismatchedFree": "Free", "InvalidJump": "Jump", "Overlap": "Overlap",
}  # fmt: skip


def suppress(report: LeakReport, rules: Sequence[Rule]) -> LeakReport:
    """Return the report and its totals without what the rules match; a note says how much that is."""
    if not rules:
        return report
    leaks = [record for record, hit in zip(report.leaks, _suppressed(report.leaks, rules), strict=True) if not hit]
    errors = tuple(error for error in report.errors if not _error_suppressed(error, rules))
    records = len(report.leaks) - len(leaks)
    size_bytes = sum(leak.size_bytes for leak in report.leaks) - sum(leak.size_bytes for leak in leaks)
    objects = sum(leak.objects for leak in report.leaks) - sum(leak.objects for leak in leaks)
    suppressed_errors = len(report.errors) - len(errors)
    if not records and not suppressed_errors:
        return report
    return replace(
        report,
        leaks=tuple(leaks),
        errors=errors,
        total_bytes=max(0, report.total_bytes - size_bytes),
        total_objects=max(0, report.total_objects - objects),
        notes=(*report.notes, _note(records, size_bytes, suppressed_errors)),
    )


def _note(records: int, size_bytes: int, errors: int) -> str:
    parts = []
    if records:
        parts.append(f"{records} record{'' if records == 1 else 's'} of {size_bytes} bytes")
    if errors:
        parts.append(f"{errors} error{'' if errors == 1 else 's'}")
    return f"suppressed: {' and '.join(parts)}"


def _suppressed(records: Sequence[LeakRecord], rules: Sequence[Rule]) -> list[bool]:
    """Return for each record whether a leak rule matches it.

    Each pattern is matched with each distinct frame once, and most records have no frame that a rule can begin with.
    """
    frames: dict[int, Frame] = {}
    for record in records:
        frames.update((id(frame), frame) for frame in record.stack)
    hits = _Hits(frames)
    prepared = [(rule, _without_allocators(rule.patterns)) for rule in rules if rule.kind == "Leak"]
    # The rules by the frames that their first caller matches, and the rules that begin with no caller.
    starting: dict[int, list[int]] = {}
    always: list[int] = []
    for number, (_, patterns) in enumerate(prepared):
        first = next((pattern for pattern in patterns if pattern.part is not Part.GAP), None)
        if first is None:
            always.append(number)
            continue
        for identity in hits.of(first):
            starting.setdefault(identity, []).append(number)

    def is_suppressed(record: LeakRecord) -> bool:
        stack = record.stack
        candidates: Iterable[int] = always
        if not starting.keys().isdisjoint(map(id, stack)):
            candidates = {*always, *(n for frame in stack for n in starting.get(id(frame), ()))}
        kinds = _LEAK_KINDS.get(record.kind, _DEFINITE)
        for number in candidates:
            rule, patterns = prepared[number]
            if rule.leak_kinds is not None and rule.leak_kinds.isdisjoint(kinds):
                continue
            if _stack_matches(patterns, stack, hits):
                return True
        return False

    return [is_suppressed(record) for record in records]


def _error_suppressed(error: CheckerError, rules: Sequence[Rule]) -> bool:
    kind = _ERROR_KINDS.get(error.kind)
    if kind is None:
        return False
    size = _SIZED.search(error.what)
    names = {kind, f"{kind}{size[1]}"} if size else {kind}
    hits = _Hits({id(frame): frame for frame in error.stack})
    return any(rule.kind in names and _stack_matches(rule.patterns, error.stack, hits) for rule in rules)


class _Hits:
    """The frames that each pattern matches, by id(); each pattern is matched once."""

    def __init__(self, frames: dict[int, Frame]) -> None:
        self._frames = frames
        self._hits: dict[Pattern, frozenset[int]] = {}

    def of(self, pattern: Pattern) -> frozenset[int]:
        hits = self._hits.get(pattern)
        if hits is None:
            matches = cache(matcher(pattern))
            hits = self._hits[pattern] = frozenset(
                identity for identity, frame in self._frames.items() if any(map(matches, _texts(pattern.part, frame)))
            )
        return hits


def _texts(part: Part, frame: Frame) -> tuple[str, ...]:
    functions = tuple(name for name in (frame.linkage_name, frame.function) if name)
    module = frame.module.path if frame.module is not None else ""
    if part is Part.FUNCTION:
        # A demangled name without its arguments counts too: not every checker has the linkage name.
        return (*functions, frame.function.partition("(")[0]) if frame.function else functions
    if part is Part.OBJECT:
        return (module,) if module else ()
    if part is Part.SOURCE:
        path = frame.file or ""
        base = path.rpartition("/")[2]
        return (path, base, f"{base}:{frame.line}", f"{path}:{frame.line}") if path else ()
    return tuple(text for text in (*functions, frame.file or "", module) if text)


def _without_allocators(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """The patterns without those at the beginning that match the allocator's frames, which records do not have."""
    at = 0
    while at < len(patterns) and _is_allocator(patterns[at]):
        at += 1
    return patterns[at:] or (Pattern(Part.GAP),)


def _is_allocator(pattern: Pattern) -> bool:
    if pattern.part is Part.OBJECT:
        return _ALLOCATOR_OBJECTS.search(pattern.text) is not None
    if pattern.part is not Part.FUNCTION:
        return False
    matches = matcher(pattern)
    return pattern.text != "*" and any(matches(name) for name in _ALLOCATORS)


def _stack_matches(patterns: Sequence[Pattern], stack: Sequence[Frame], hits: _Hits) -> bool:
    """Whether the patterns match the stack from its leaf on, with any callers beyond. Inlined frames are calls."""
    if len(patterns) == 1 and patterns[0].part is Part.ANY:
        matched = hits.of(patterns[0])
        return any(id(frame) in matched for frame in stack)
    # The positions of the frames that may come next; after a gap these are all from the first one on.
    positions = {0}
    for pattern in patterns:
        if not positions:
            return False
        if pattern.part is Part.GAP:
            positions = set(range(min(positions), len(stack) + 1))
            continue
        matched = hits.of(pattern)
        positions = {at + 1 for at in positions if at < len(stack) and id(stack[at]) in matched}
    return bool(positions)
