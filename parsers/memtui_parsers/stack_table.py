"""Adds leaks up by stack and kind, within bounds: what every parser of a report puts its stacks into.

Frames and stacks are numbers until the end, each frame is kept once, and every text is made safe to print. What is beyond the
bounds is counted without its frames, so that totals stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import eq

from memtui_parsers.clean_text import clean
from memtui_parsers.demangle import is_mangled
from memtui_parsers.leak_id import is_allocator_module, leak_ids
from memtui_parsers.values import Frame, LeakKind, LeakRecord, Module

# Bounds against hostile files, far above what real ones hold: they keep a parser below some 500 MiB.
MAX_DEPTH = 512
MAX_STACKS = 500_000
MAX_STEPS = 20_000_000
MAX_FRAMES = 200_000
MAX_TEXT_CHARS = 32_000_000
MAX_NAME_CHARS = 4096

BEYOND = -1  # stands for a frame that there was no room for


class StackTable:
    """``frames`` by their numbers; ``allocator[n]``: frame n stands between the program and the block."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.allocator: list[bool] = []
        self.too_deep = 0
        self._modules: dict[tuple[str, str], Module] = {}
        self._inlined: dict[int, int] = {}
        self._texts: dict[str, str] = {}
        self._chars = 0
        self._leaks: dict[tuple[LeakKind, tuple[int, ...]], tuple[int, int]] = {}
        self._steps = 0
        self._beyond = 0

    def frame(
        self,
        address: int,
        *,
        module: str = "",
        build_id: str = "",
        offset: int | None = None,
        function: str = "",
        linkage_name: str = "",
        file: str = "",
        line: int | None = None,
        inlined: bool = False,
        allocator: bool = False,
    ) -> int:
        """The number of a new frame, BEYOND when there is no room. '' is what the report does not say.

        A ``function`` that is mangled is a linkage name. Who calls this keeps what it made in mind: equal ones are not sought.
        """
        if len(self.frames) >= MAX_FRAMES or self._chars > MAX_TEXT_CHARS:
            return BEYOND
        if not linkage_name and is_mangled(function):
            function, linkage_name = "", function
        found = self._module(module, build_id) if module else None
        self.frames.append(
            Frame(
                address=address,
                module=found,
                offset=offset,
                function=self.text(function) or None,
                linkage_name=self.text(linkage_name) or None,
                file=self.text(file) or None,
                line=line,
                inlined=inlined,
            )
        )
        self.allocator.append(allocator or (found is not None and is_allocator_module(found.path)))
        return len(self.frames) - 1

    def text(self, raw: str) -> str:
        """``raw`` safe to print, the same object for the same text."""
        text = self._texts.get(raw)
        if text is None:
            text = clean(raw, MAX_NAME_CHARS)
            if self._chars <= MAX_TEXT_CHARS:
                self._chars += len(raw) + len(text)
                self._texts[raw] = text
        return text

    def as_inlined(self, number: int) -> int:
        """The same frame as an inlined call."""
        found = self._inlined.get(number)
        if found is None:
            if len(self.frames) >= MAX_FRAMES or number == BEYOND:
                return BEYOND
            found = self._inlined[number] = len(self.frames)
            self.frames.append(replace(self.frames[number], inlined=True))
            self.allocator.append(self.allocator[number])
        return found

    def add(self, kind: LeakKind, steps: Sequence[int], size_bytes: int, objects: int) -> None:
        """``steps`` leaf first; the allocator's own frames go from the leaf's end."""
        if BEYOND in steps:
            self._beyond += 1
            steps = ()
        start = 0
        while start < len(steps) and self.allocator[steps[start]]:
            start += 1
        if len(steps) - start > MAX_DEPTH:
            self.too_deep += 1
        key = (kind, tuple(steps[start : start + MAX_DEPTH]))
        before = self._leaks.get(key)
        if before is None:
            self._steps += len(key[1])
            if key[1] and (len(self._leaks) >= MAX_STACKS or self._steps > MAX_STEPS):
                self._beyond += 1
                key = (kind, ())
            before = self._leaks.get(key, (0, 0))
        self._leaks[key] = (before[0] + size_bytes, before[1] + objects)

    def clear_leaks(self) -> None:
        """Another check begins: the frames stay, the sums go."""
        self._leaks.clear()
        self._steps = self._beyond = 0

    def stack(self, steps: Sequence[int]) -> tuple[Frame, ...]:
        """The frames of ``steps``, at most MAX_DEPTH; those that there was no room for are left out."""
        return tuple([self.frames[n] for n in steps[:MAX_DEPTH] if n != BEYOND])

    def totals(self) -> tuple[int, int]:
        """(bytes, objects) of all that was added."""
        return sum(size for size, _ in self._leaks.values()), sum(count for _, count in self._leaks.values())

    def records(self) -> tuple[LeakRecord, ...]:
        """Largest first, equal ones in the order they came."""
        found = sorted(self._leaks.items(), key=lambda item: item[1], reverse=True)
        stacks = [self.stack(steps) for (_, steps), _ in found]
        return tuple(
            LeakRecord(leak_id, size_bytes, objects, kind, stack)
            for leak_id, ((kind, _), (size_bytes, objects)), stack in zip(leak_ids(stacks), found, stacks, strict=True)
        )

    def notes(self) -> list[str]:
        notes = []
        if self._beyond:
            notes.append(f"{self._beyond} records beyond what memtui holds are counted without their frames")
        if self.too_deep:
            notes.append(f"{self.too_deep} stacks deeper than {MAX_DEPTH} frames are cut there")
        return notes

    def _module(self, path: str, build_id: str) -> Module:
        key = (path, build_id)
        found = self._modules.get(key)
        if found is None:
            found = self._modules[key] = Module(self.text(path), self.text(build_id))
        return found


def physical_steps(steps: Sequence[int], addresses: Sequence[int], table: StackTable) -> Sequence[int]:
    """``steps`` with the inlined calls marked, in a report that gives each call the address of the code it is part of.

    Of calls at one address the last is the physical one. A series that repeats itself there is recursion, not inlining.
    """
    if not any(map(eq, addresses, addresses[1:])):
        return steps
    marked: list[int] = []
    start = 0
    while start < len(steps):
        end = start + 1
        while end < len(steps) and addresses[end] == addresses[start]:
            end += 1
        run = steps[start:end]
        period = _period(run)
        marked += [n if (at + 1) % period == 0 else table.as_inlined(n) for at, n in enumerate(run)]
        start = end
    return marked


def _period(run: Sequence[int]) -> int:
    """The length of the shortest series that ``run`` is made of."""
    # By the borders of the run, as Knuth, Morris and Pratt find them: linear, also for thousands of equal steps.
    border = [0] * len(run)
    length = 0
    for at in range(1, len(run)):
        while length and run[at] != run[length]:
            length = border[length - 1]
        length += run[at] == run[length]
        border[at] = length
    period = len(run) - border[-1]
    return period if len(run) % period == 0 else len(run)
