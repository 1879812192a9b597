"""Adds leaks up by stack and kind, in bounded memory: every parser of a report puts its stacks into a StackTable.

Frames are numbers until the end, each is kept once, and every text is made safe to print. Leaks beyond the bounds are
counted without their frames, so that the totals stay correct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import eq

from memtui_parsers.clean_text import clean
from memtui_parsers.elf.demangle import is_mangled
from memtui_parsers.report.leak_id import is_allocator_module, leak_ids
from memtui_parsers.values import Frame, LeakKind, LeakRecord, Module

# Bounds against hostile files, far above those of real ones: they keep a parser below some 500 MiB.
MAX_DEPTH = 512
MAX_STACKS = 500_000
MAX_STEPS = 20_000_000
MAX_FRAMES = 200_000
MAX_TEXT_CHARS = 32_000_000
MAX_NAME_CHARS = 4096

BEYOND = -1  # the number of every frame beyond MAX_FRAMES


@dataclass(slots=True)
class _Held:
    """What all tables of one file hold together, for the bounds."""

    chars: int = 0
    stacks: int = 0
    steps: int = 0


class StackTable:
    """``frames`` are by number; ``allocator[n]``: frame n is the allocator's, between the program and the block.

    ``beside``: a table of the same file, whose frames, texts and bounds this one shares; its leaks are its own.
    """

    def __init__(self, beside: StackTable | None = None) -> None:
        self.frames: list[Frame] = [] if beside is None else beside.frames
        self.allocator: list[bool] = [] if beside is None else beside.allocator
        self.too_deep = 0
        self._modules: dict[tuple[str, str], Module] = {} if beside is None else beside._modules
        self._inlined: dict[int, int] = {} if beside is None else beside._inlined
        self._texts: dict[str, str] = {} if beside is None else beside._texts
        self._held: _Held = _Held() if beside is None else beside._held
        self._leaks: dict[tuple[LeakKind, tuple[int, ...]], tuple[int, int]] = {}
        self._samples: dict[tuple[LeakKind, tuple[int, ...]], int] = {}
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
        """Add a frame and return its number, BEYOND when there is no room. '' and None are for what the report lacks.

        A mangled ``function`` is taken as the linkage name. Equal frames are not looked for: callers keep the numbers.
        """
        if len(self.frames) >= MAX_FRAMES or self._held.chars > MAX_TEXT_CHARS:
            return BEYOND
        if not linkage_name and is_mangled(function):
            function, linkage_name = "", function
        in_module = self._module(module, build_id) if module else None
        self.frames.append(
            Frame(
                address=address,
                module=in_module,
                offset=offset,
                function=self.text(function) or None,
                linkage_name=self.text(linkage_name) or None,
                file=self.text(file) or None,
                line=line,
                inlined=inlined,
            )
        )
        self.allocator.append(allocator or (in_module is not None and is_allocator_module(in_module.path)))
        return len(self.frames) - 1

    def text(self, raw: str) -> str:
        """Return ``raw`` safe to print, as the same object for the same text."""
        text = self._texts.get(raw)
        if text is None:
            text = clean(raw, MAX_NAME_CHARS)
            if self._held.chars <= MAX_TEXT_CHARS:
                self._held.chars += len(raw) + len(text)
                self._texts[raw] = text
        return text

    def as_inlined(self, number: int) -> int:
        """Return the number of the same frame as an inlined call."""
        inlined = self._inlined.get(number)
        if inlined is None:
            if len(self.frames) >= MAX_FRAMES or number == BEYOND:
                return BEYOND
            inlined = self._inlined[number] = len(self.frames)
            self.frames.append(replace(self.frames[number], inlined=True))
            self.allocator.append(self.allocator[number])
        return inlined

    def add(
        self, kind: LeakKind, steps: Sequence[int], size_bytes: int, objects: int, samples: int | None = None
    ) -> None:
        """Add a leak of the stack ``steps``, leaf first. The allocator's frames at its leaf end are dropped.

        ``samples``: as in LeakRecord.
        """
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
            held = self._held
            if key[1] and (held.stacks >= MAX_STACKS or held.steps + len(key[1]) > MAX_STEPS):
                self._beyond += 1
                key = (kind, ())
            before = self._leaks.get(key)
            if before is None:
                held.stacks += 1
                held.steps += len(key[1])
                self._steps += len(key[1])
                before = (0, 0)
        self._leaks[key] = (before[0] + size_bytes, before[1] + objects)
        if samples is not None:
            self._samples[key] = self._samples.get(key, 0) + samples

    def clear_leaks(self) -> None:
        """Forget the leaks, but not the frames, as another check begins."""
        self._held.stacks -= len(self._leaks)
        self._held.steps -= self._steps
        self._leaks.clear()
        self._samples.clear()
        self._steps = self._beyond = 0

    def stack(self, steps: Sequence[int]) -> tuple[Frame, ...]:
        """Return the frames of ``steps``, at most MAX_DEPTH, without those that there was no room for."""
        return tuple([self.frames[n] for n in steps[:MAX_DEPTH] if n != BEYOND])

    def totals(self) -> tuple[int, int]:
        """Return (bytes, objects) of all leaks."""
        return sum(size for size, _ in self._leaks.values()), sum(count for _, count in self._leaks.values())

    def records(self) -> tuple[LeakRecord, ...]:
        """Return the leaks, largest first, equal ones in the order they came."""
        largest = sorted(self._leaks.items(), key=lambda item: item[1], reverse=True)
        stacks = [self.stack(steps) for (_, steps), _ in largest]
        return tuple(
            LeakRecord(leak_id, size_bytes, objects, key[0], stack, self._samples.get(key))
            for leak_id, (key, (size_bytes, objects)), stack in zip(leak_ids(stacks), largest, stacks, strict=True)
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
        module = self._modules.get(key)
        if module is None:
            module = self._modules[key] = Module(self.text(path), self.text(build_id))
        return module


def physical_steps(steps: Sequence[int], addresses: Sequence[int], table: StackTable) -> Sequence[int]:
    """Mark the inlined calls in ``steps`` of a report that gives them the address of the code that they are part of.

    The last of several calls at one address is the physical one. A series that repeats there is recursion, not
    inlining.
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
    """The length of the shortest series that ``run`` repeats."""
    # The algorithm of Knuth, Morris and Pratt: linear time, also for thousands of equal steps.
    border = [0] * len(run)
    length = 0
    for at in range(1, len(run)):
        while length and run[at] != run[length]:
            length = border[length - 1]
        length += run[at] == run[length]
        border[at] = length
    period = len(run) - border[-1]
    return period if len(run) % period == 0 else len(run)
