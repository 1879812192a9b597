"""Which functions of one report only pass allocations on: those that its figures show to, and those that the user names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from posixpath import basename

from memtui_parsers.report.function_names import NAME_LIMIT, collapse, qualified
from memtui_parsers.values import Frame

# A wrapper has nearly all bytes, many callers of which none is the one that matters, and a few lines that allocate.
SHARE = 0.9
CALLERS = 6
LARGEST_CALLER = 0.6
LINES = 3
_ROUNDS = 3


def is_named_by(frame: Frame, pattern: str) -> bool:
    """Return whether a pattern, in which ``*`` is any text, is the frame's function, source file, or library.

    The function with or without its arguments; the file with or without its folders.
    """
    name = frame.function or frame.linkage_name
    if name and any(_like(form, pattern) for form in _forms(name[:NAME_LIMIT])):
        return True
    if frame.file and _like(f"/{frame.file[-NAME_LIMIT:]}", f"*/{pattern}"):
        return True
    return frame.module is not None and pattern in (frame.module.path, basename(frame.module.path))


@lru_cache(maxsize=4096)
def _forms(name: str) -> tuple[str, ...]:
    forms = (name, *(qualified(collapse(name, keep_templates=keep)).replace("<…>", "") for keep in (True, False)))
    return tuple(dict.fromkeys(forms))


def _like(text: str, pattern: str) -> bool:
    """Match from the left without going back: the time is that of one search for each part."""
    first, *parts = pattern.split("*")
    if not parts:
        return text == pattern
    if not text.startswith(first):
        return False
    at = len(first)
    for part in parts[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(parts[-1]) and len(text) - len(parts[-1]) >= at


def wrappers(
    stacks: Sequence[tuple[Frame, ...]],
    sizes: Sequence[int],
    named: Sequence[int | None],
    is_program: Callable[[Frame], bool],
) -> Iterator[str]:
    """Yield the functions that nearly all bytes of a report pass through from many callers, each as it is found.

    ``sizes``: the bytes of each stack; ``named``: the index of the frame that names it. The program's own frames are those of
    ``is_program``, which the caller may have answer otherwise after a name was yielded: a wrapper may be called by another.
    """
    total_bytes = sum(sizes)
    half = next((count for count, size in enumerate(accumulate(sizes), 1) if 2 * size >= total_bytes), 0)
    at = list(named)
    for _ in range(_ROUNDS):
        # What has nearly all bytes has most of any half of them, and in most reports a few records have half.
        for count in (half, len(stacks)):
            by_function, frames = _named_by(stacks[:count], sizes, at)
            if not by_function:
                return
            function, size_bytes = by_function.most_common(1)[0]
            if not total_bytes or size_bytes < sum(sizes[:count]) - total_bytes + SHARE * total_bytes:
                return
        through = {identity: frame for identity, frame in frames.items() if _name(frame) == function}
        lines = {(frame.file, frame.address if frame.line is None else frame.line) for frame in through.values()}
        if len(lines) > LINES:
            return
        callers: Counter[str] = Counter()
        after = list(at)
        for number, (stack, index, size) in enumerate(zip(stacks, at, sizes, strict=True)):
            if index is None or id(stack[index]) not in through:
                continue
            for above in range(index + 1, len(stack)):
                caller = stack[above]
                if is_program(caller) and _name(caller) != function:
                    callers[_name(caller)] += size
                    after[number] = above
                    break
        if len(callers) < CALLERS or max(callers.values()) > LARGEST_CALLER * size_bytes:
            return
        yield function
        at = after


def _named_by(
    stacks: Sequence[tuple[Frame, ...]], sizes: Sequence[int], named: Sequence[int | None]
) -> tuple[Counter[str], dict[int, Frame]]:
    """Return the bytes of each function that ``stacks`` are named by, and the frames that they are, by id()."""
    # The stacks of a report share their frames: each name is looked up once.
    named_by = [None if index is None else stack[index] for stack, index in zip(stacks, named, strict=False)]
    by_frame: dict[int, int] = {}
    for identity, size in zip(map(id, named_by), sizes, strict=False):
        by_frame[identity] = by_frame.get(identity, 0) + size
    frames = {id(frame): frame for frame in named_by if frame is not None}
    by_function: Counter[str] = Counter()
    for identity, frame in frames.items():
        by_function[_name(frame)] += by_frame[identity]
    by_function.pop("", None)
    return by_function, frames


def _name(frame: Frame) -> str:
    return frame.function or frame.linkage_name or ""
