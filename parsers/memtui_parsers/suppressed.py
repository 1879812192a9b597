"""A report without what suppression files take out of it: leaks and errors of every checker, by either syntax.

A record's stack has lost the allocator's frames, so callers that only these could match are passed over at a rule's beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from memtui_parsers.suppressions import Part, Pattern, Rule, matcher
from memtui_parsers.values import CheckerError, Frame, LeakKind, LeakRecord, LeakReport

_ALLOCATORS = (
    "malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign", "valloc",
    "_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t",
    "operator new(unsigned long)", "operator new[](unsigned long)",
)  # fmt: skip
_ALLOCATOR_OBJECTS = re.compile(r"vgpreload_memcheck|libtcmalloc|libjemalloc|liblsan|libasan")
# What match-leak-kinds calls a kind; a draconian check does not tell lost from reachable.
_LEAK_KINDS: dict[LeakKind, frozenset[str]] = {
    LeakKind.INDIRECTLY_LOST: frozenset({"indirect"}),
    LeakKind.INDIRECT: frozenset({"indirect"}),
    LeakKind.POSSIBLY_LOST: frozenset({"possible"}),
    LeakKind.STILL_REACHABLE: frozenset({"reachable"}),
    LeakKind.IN_USE: frozenset({"reachable"}),
    LeakKind.GROWTH: frozenset({"reachable"}),
    LeakKind.NOT_FREED: frozenset({"definite", "reachable"}),
}
_DEFINITE = frozenset({"definite"})
_SIZED = re.compile(r"of size (\d{1,5})\b")
_ERROR_KINDS = {
    "InvalidRead": "Addr",
    "InvalidWrite": "Addr",
    "UninitValue": "Value",
    "UninitCondition": "Cond",
    "SyscallParam": "Param",
    "InvalidFree": "Free",
    "MismatchedFree": "Free",
    "InvalidJump": "Jump",
    "Overlap": "Overlap",
}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Suppressed:
    """What was taken out of ``report``: so many records of so many bytes and objects, and so many errors."""

    report: LeakReport
    records: int
    size_bytes: int
    objects: int
    errors: int


def suppress(report: LeakReport, rules: Sequence[Rule]) -> Suppressed:
    """The report without what the rules match; a note says how much that is, and the totals are what is left."""
    if not rules:
        return Suppressed(report, 0, 0, 0, 0)
    leaks = [record for record, hit in zip(report.leaks, _suppressed(report.leaks, rules), strict=True) if not hit]
    errors = tuple(error for error in report.errors if not _error_suppressed(error, rules))
    records = len(report.leaks) - len(leaks)
    size_bytes = sum(leak.size_bytes for leak in report.leaks) - sum(leak.size_bytes for leak in leaks)
    objects = sum(leak.objects for leak in report.leaks) - sum(leak.objects for leak in leaks)
    gone = len(report.errors) - len(errors)
    if not records and not gone:
        return Suppressed(report, 0, 0, 0, 0)
    left = replace(
        report,
        leaks=tuple(leaks),
        errors=errors,
        total_bytes=max(0, report.total_bytes - size_bytes),
        total_objects=max(0, report.total_objects - objects),
        notes=(*report.notes, suppressed_note(records, size_bytes, gone)),
    )
    return Suppressed(left, records, size_bytes, objects, gone)


def suppressed_note(records: int, size_bytes: int, errors: int) -> str:
    parts = []
    if records:
        parts.append(f"{records} record{'' if records == 1 else 's'} of {size_bytes} bytes")
    if errors:
        parts.append(f"{errors} error{'' if errors == 1 else 's'}")
    return f"suppressed: {' and '.join(parts)}"


def _suppressed(records: Sequence[LeakRecord], rules: Sequence[Rule]) -> list[bool]:
    """Each pattern is matched with each distinct frame once; a record that no rule can begin on costs one look."""
    frames: dict[int, Frame] = {}
    for record in records:
        frames.update((id(frame), frame) for frame in record.stack)
    hits = _Hits(frames)
    prepared = [(rule, _without_allocators(rule.patterns)) for rule in rules if rule.kind == "Leak"]
    # Rules by the frames that their first caller matches: few records have any of them.
    starting: dict[int, list[int]] = {}
    always: list[int] = []
    for number, (_, patterns) in enumerate(prepared):
        first = next((pattern for pattern in patterns if pattern.part is not Part.GAP), None)
        if first is None:
            always.append(number)
            continue
        for identity in hits.of(first):
            starting.setdefault(identity, []).append(number)
    interesting = starting.keys()

    def is_suppressed(record: LeakRecord) -> bool:
        stack = record.stack
        candidates: Iterable[int] = always
        if not interesting.isdisjoint(map(id, stack)):
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
    wanted = (rule for rule in rules if rule.kind in names)
    return any(_stack_matches(rule.patterns, error.stack, hits) for rule in wanted)


class _Hits:
    """The ids of the frames that a pattern matches, found once for each pattern."""

    def __init__(self, frames: dict[int, Frame]) -> None:
        self._frames = frames
        self._known: dict[Pattern, frozenset[int]] = {}

    def of(self, pattern: Pattern) -> frozenset[int]:
        known = self._known.get(pattern)
        if known is None:
            matches = matcher(pattern)
            texts: dict[str, bool] = {}
            known = self._known[pattern] = frozenset(
                identity
                for identity, frame in self._frames.items()
                if any(_asked(matches, texts, text) for text in _texts(pattern.part, frame))
            )
        return known


def _asked(matches: Callable[[str], bool], known: dict[str, bool], text: str) -> bool:
    answer = known.get(text)
    if answer is None:
        answer = known[text] = matches(text)
    return answer


def _texts(part: Part, frame: Frame) -> tuple[str, ...]:
    functions = tuple(name for name in (frame.linkage_name, frame.function) if name)
    module = frame.module.path if frame.module is not None else ""
    if part is Part.FUNCTION:
        # A demangled name without its arguments counts too: not every checker has the linkage name.
        return (*functions, frame.function.partition("(")[0]) if frame.function else functions
    if part is Part.OBJECT:
        return (module,) if module else ()
    if part is Part.SOURCE:
        where = frame.file or ""
        base = where.rpartition("/")[2]
        return (where, base, f"{base}:{frame.line}", f"{where}:{frame.line}") if where else ()
    return tuple(text for text in (*functions, frame.file or "", module) if text)


def _without_allocators(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """The callers less those at the beginning that are the allocator's, which records do not have."""
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
    """Whether the callers match the stack from its leaf on; it may go on behind them. Inlined frames count as calls."""
    if len(patterns) == 1 and patterns[0].part is Part.ANY:
        found = hits.of(patterns[0])
        return any(id(frame) in found for frame in stack)
    # The frames that may come next, as positions: a gap lets all behind the first come.
    positions = {0}
    for pattern in patterns:
        if not positions:
            return False
        if pattern.part is Part.GAP:
            positions = set(range(min(positions), len(stack) + 1))
            continue
        found = hits.of(pattern)
        positions = {at + 1 for at in positions if at < len(stack) and id(stack[at]) in found}
    return bool(positions)
