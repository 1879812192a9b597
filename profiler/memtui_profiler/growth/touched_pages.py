"""The pages whose faults were sampled and that are still there: who touched each last, and when it is looked for again."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# Beyond, every other one is dropped, of those to come too, and the rest count twice.
MOST_PAGES = 40_000

Stack = tuple[int, ...]
# Says of sorted addresses whether there is a page.
AskPresent = Callable[[Sequence[int]], list[bool]]


@dataclass(slots=True)
class TouchedPage:
    """``weight``: how many such pages it stands for. ``size_bytes``: of the page. ``due_s``: when it is looked for next."""

    stack: Stack
    weight: float
    size_bytes: int
    due_s: int
    looks: int = 0

    @property
    def bytes(self) -> float:
        return self.weight * self.size_bytes


class TouchedPages:
    """Pages by address. One is looked for 1, 2, 4, 8 s and so on after it was touched; once gone, it does not count any more."""

    def __init__(self, *, most: int = MOST_PAGES) -> None:
        self._most = most
        self._pages: dict[int, TouchedPage] = {}
        self._due: dict[int, list[int]] = defaultdict(list)
        self._stacks: dict[Stack, Stack] = {}
        self._next_look_s = 0
        self._scale = 1
        # By chance, and not every so many: programs are regular, and one of their callers could be left out each time.
        self._chance = random.Random(1)

    def __len__(self) -> int:
        return len(self._pages)

    def items(self) -> Iterator[tuple[int, TouchedPage]]:
        """(address, page) of all that were there when last looked for."""
        return iter(self._pages.items())

    def touch(self, address: int, stack: Stack, weight: float, size_bytes: int, now_s: float) -> None:
        """Count a page for ``stack``, also one that somebody else has touched before: it was given back in between."""
        if self._scale > 1 and self._chance.random() * self._scale >= 1:
            return
        page = address & -size_bytes
        stack = self._stacks.setdefault(stack, stack)  # programs fault in few places
        due_s = int(now_s) + 1
        self._pages[page] = TouchedPage(stack, weight * self._scale, size_bytes, due_s)
        self._due[due_s].append(page)
        if len(self._pages) > self._most:
            self._halve()
        if len(self._stacks) > 2 * self._most:
            self._stacks = {touched.stack: touched.stack for touched in self._pages.values()}

    def look(self, now_s: float, present: AskPresent) -> None:
        """Look for the pages that are due."""
        while self._next_look_s <= int(now_s):
            second = self._next_look_s
            self._next_look_s += 1
            # An entry is left behind by a page that went, came back and is due at another time.
            due = {page for page in self._due.pop(second, ()) if self._is_due(page, second)}
            pages = sorted(due)
            for page, is_there in zip(pages, present(pages), strict=True):
                if not is_there:
                    del self._pages[page]
                    continue
                touched = self._pages[page]
                touched.due_s = second + (1 << touched.looks)
                touched.looks += 1
                self._due[touched.due_s].append(page)

    def _is_due(self, page: int, second: int) -> bool:
        touched = self._pages.get(page)
        return touched is not None and touched.due_s == second

    def _halve(self) -> None:
        self._scale *= 2
        for page in list(self._pages)[::2]:
            del self._pages[page]
        self._due.clear()
        for page, touched in self._pages.items():
            touched.weight *= 2
            self._due[touched.due_s].append(page)
