"""The pages whose faults were sampled and that are still there: who touched each last, and when it is looked for again.

A page that is gone once does not count any more. Many come and go within seconds, some of them at the same addresses each time: so
young pages are looked for often, at times that no program keeps to, and who was seen to give most of its pages back is not believed
for the pages that it has just touched.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# Beyond, every other one is dropped, of those to come too, and the rest count twice.
MOST_PAGES = 40_000
# A page that was there for so long stays, as far as anybody can tell.
SETTLED_S = 2.0
# Of a stack that gave back so many, and more than it kept, pages that have not settled are passing.
FEWEST_GIVEN_BACK = 5

_FIRST_GAP_S = 0.2
_GAP_OF_AGE = 0.4
_JITTER = (0.7, 1.3)

Stack = tuple[int, ...]
# Says of sorted addresses whether there is a page.
AskPresent = Callable[[Sequence[int]], list[bool]]


@dataclass(slots=True)
class TouchedPage:
    """``weight``: how many such pages it stands for. ``size_bytes``: of the page. ``due_s``: when it is looked for next.

    ``passing``: it has just been touched, by who gives most pages back.
    """

    stack: Stack
    weight: float
    size_bytes: int
    touched_s: float = 0.0
    due_s: float = 0.0
    settled: bool = False
    passing: bool = False

    @property
    def bytes(self) -> float:
        return self.weight * self.size_bytes


@dataclass(slots=True)
class _History:
    """Of the pages of one stack that were there when first looked for: how many settled, and how many were given back before."""

    stack: Stack
    settled: int = 0
    given_back: int = 0


class TouchedPages:
    """Pages by address. Each is looked for again when it is 0.2 s older, later at twice its age, more or less."""

    def __init__(self, *, most: int = MOST_PAGES) -> None:
        self._most = most
        self._pages: dict[int, TouchedPage] = {}
        self._due: list[tuple[float, int]] = []
        self._histories: dict[Stack, _History] = {}
        self._scale = 1
        self._chance = random.Random(1)

    def __len__(self) -> int:
        return len(self._pages)

    def items(self) -> Iterator[tuple[int, TouchedPage]]:
        """(address, page) of all that were there when last looked for."""
        for address, page in self._pages.items():
            history = self._histories[page.stack]
            gives_back = history.given_back >= FEWEST_GIVEN_BACK and history.given_back > history.settled
            page.passing = gives_back and not page.settled
            yield address, page

    def touch(self, address: int, stack: Stack, weight: float, size_bytes: int, now_s: float) -> None:
        """Count a page for ``stack``, also one that somebody else has touched before: it was given back in between."""
        # By chance, and not every so many: programs are regular, and one of their callers could be left out each time.
        if self._scale > 1 and self._chance.random() * self._scale >= 1:
            return
        page = address & -size_bytes
        before = self._pages.get(page)
        if before is not None:
            self._count_given_back(before)
        history = self._histories.setdefault(stack, _History(stack))
        # One tuple for all pages of a stack: programs fault in few places.
        self._pages[page] = TouchedPage(history.stack, weight * self._scale, size_bytes, now_s)
        self._look_again(page, now_s)
        if len(self._pages) > self._most:
            self._halve()
        if len(self._histories) > 2 * self._most:
            alive = {touched.stack for touched in self._pages.values()}
            self._histories = {stack: kept for stack, kept in self._histories.items() if stack in alive}

    def look(self, now_s: float, present: AskPresent) -> None:
        """Look for the pages that are due."""
        due = set()
        while self._due and self._due[0][0] <= now_s:
            due_s, page = heapq.heappop(self._due)
            touched = self._pages.get(page)
            # An entry is left behind by a page that was touched anew, and is due at another time.
            if touched is not None and touched.due_s == due_s:
                due.add(page)
        pages = sorted(due)
        for page, is_there in zip(pages, present(pages) if pages else (), strict=True):
            touched = self._pages[page]
            if not is_there:
                self._count_given_back(touched)
                del self._pages[page]
                continue
            if not touched.settled and now_s - touched.touched_s >= SETTLED_S:
                touched.settled = True
                self._histories[touched.stack].settled += 1
            self._look_again(page, now_s)

    def _count_given_back(self, page: TouchedPage) -> None:
        if not page.settled:
            self._histories[page.stack].given_back += 1

    def _look_again(self, page: int, now_s: float) -> None:
        touched = self._pages[page]
        age_s = now_s - touched.touched_s
        gap_s = age_s if touched.settled else max(_FIRST_GAP_S, _GAP_OF_AGE * age_s)
        gap_s *= self._chance.uniform(*_JITTER)
        touched.due_s = now_s + gap_s
        heapq.heappush(self._due, (touched.due_s, page))

    def _halve(self) -> None:
        self._scale *= 2
        for page in list(self._pages)[::2]:
            del self._pages[page]
        for touched in self._pages.values():
            touched.weight *= 2
        self._due = [(touched.due_s, page) for page, touched in self._pages.items()]
        heapq.heapify(self._due)
