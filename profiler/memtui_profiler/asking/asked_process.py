"""A running process as questions see it: its image, memory, allocator and guest thread, each looked up when first needed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TypeVar

from memtui_parsers.clean_text import clean
from memtui_profiler.allocators import find_allocators, why_none
from memtui_profiler.allocators.base import Allocator
from memtui_profiler.allocators.signs import BuiltIn, built_into
from memtui_profiler.errors import UserError
from memtui_profiler.guest.arrival import Arrival, arrive
from memtui_profiler.guest.errors import process_ended
from memtui_profiler.guest.guest import GuestThread
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.permission import refused_by_kernel
from memtui_profiler.process.image import ProcessImage

T = TypeVar("T")


def _library_name(path: str) -> str:
    """``polars.so`` of polars.abi3.so and libarrow.so of libarrow.so.1700."""
    return clean(os.fsencode(os.path.basename(path).partition(".")[0]), 30) + ".so"


class AskedProcess:
    """The process ``pid`` while it runs one program; forget() begins anew after an exec. Used by the asker's thread alone.

    ``on_arrival`` is called with each guest that was made. ``without_figures``: allocators that can only release.
    """

    def __init__(self, pid: int, *, force: bool, on_arrival: Callable[[Arrival], None]) -> None:
        self.pid = pid
        self._force = force
        self._on_arrival = on_arrival
        self._image: ProcessImage | None = None
        self._memory: ProcessMemory | None = None
        self._guest: GuestThread | None = None
        self._allocators: list[Allocator] = []
        self._built_in: list[BuiltIn] = []
        self.without_figures: list[Allocator] = []
        self._undo: list[Callable[[GuestThread], None]] = []
        self._forgotten: list[Callable[[], None]] = []

    @property
    def image(self) -> ProcessImage:
        """The mapped files of the process. Raises UserError when they may not be read."""
        if self._image is None:
            # The memory first: it tells of an exec that comes after it was opened.
            with contextlib.suppress(UserError):
                _ = self.memory
            self._image = self._opened(ProcessImage)
        return self._image

    @property
    def memory(self) -> ProcessMemory:
        """The memory of the process. Raises UserError when it may not be opened."""
        if self._memory is None:
            self._memory = self._opened(ProcessMemory)
        return self._memory

    def _opened(self, kind: Callable[[int], T]) -> T:
        try:
            return kind(self.pid)
        except PermissionError as error:
            raise refused_by_kernel(self.pid) from error
        except OSError as error:
            raise process_ended() from error

    @property
    def allocator(self) -> Allocator:
        """The allocator of the process. Raises UserError when it has none that can be asked."""
        if not self._allocators:
            self._built_in = built_into(self.image)
            program = self.image.modules[0].path if self.image.modules else ""
            # A static program that is stripped does not show whose its malloc is.
            own = [each.kind for each in self._built_in if not each.hidden or self.image.is_static]
            libraries = {each.kind.name for each in self._built_in if each.hidden and each.path != program}
            unasked = {
                each.kind.name for each in self._built_in if each.path == program and not each.kind.asked_in_program
            }
            found = [each for each in find_allocators(self.image, own) if each.name not in unasked]
            # One that a library has for itself says less of the process than the one that malloc is.
            self._allocators = sorted(found, key=lambda allocator: allocator.name in libraries)
            if not found:
                lacking = why_none(self.image, [each.kind for each in self._built_in])
                raise UserError("cannot ask for the allocator's figures", lacking.reason, lacking.todo)
        return self._allocators[0]

    def pass_over_allocator(self) -> bool:
        """Turn to the next allocator, as this one has no figures; False: there is no other."""
        if len(self._allocators) < 2:
            return False
        self.without_figures.append(self._allocators.pop(0))
        return True

    @property
    def beside(self) -> str:
        """The allocators that the figures say nothing of, ``jemalloc in polars.so``, ``V8``; '' where there is none."""
        program = self.image.modules[0].path if self.image.modules else ""
        names = [
            each.kind.name if each.path == program or each.kind.is_runtime
            else f"{each.kind.name} in {_library_name(each.path)}"
            for each in self._built_in
            if each.hidden and each.kind.name != self.allocator.name and not each.kind.of_libc
        ]  # fmt: skip
        return ", ".join(dict.fromkeys(names))

    @property
    def guest(self) -> GuestThread:
        """The guest, made now if there is none. Raises UserError with the reason why there can be none."""
        if self._guest is None:
            try:
                arrival = arrive(self.pid, self.image, self.memory, force=self._force)
            except UserError:
                self._image = None  # threads and stacks that come later are not in it
                raise
            self._guest = arrival.guest
            self._on_arrival(arrival)
        return self._guest

    def on_leave(self, undo: Callable[[GuestThread], None]) -> None:
        """Have ``undo`` called once before memtui leaves the process; the last that was registered goes first."""
        self._undo.append(undo)

    def on_forget(self, clean: Callable[[], None]) -> None:
        """Have ``clean`` called once all that was looked up is dropped: it takes no guest, as the process may have ended."""
        self._forgotten.append(clean)

    @property
    def is_gone(self) -> bool:
        """Whether the process runs another program than the one that was looked at, or has ended."""
        return self._memory is not None and self._memory.is_gone

    def forget(self) -> None:
        """Drop all that was looked up: after an exec nothing of it holds any more."""
        self._guest = self._image = None
        self._allocators, self._built_in, self.without_figures = [], [], []
        self._undo.clear()
        while self._forgotten:
            self._forgotten.pop()()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def leave(self) -> UserError | None:
        """Undo what was changed and end the guest, so that nothing of ours stays in the process; return why something does."""
        guest = self._guest
        try:
            if guest is not None:
                if not guest.busy:
                    self.undo_changes()
                guest.leave()  # a busy one ends when its call returns
        except UserError as error:
            return error
        finally:
            self.forget()
        return None

    def undo_changes(self) -> None:
        """Undo what was changed in the process, while it still answers."""
        while self._undo and self._guest is not None:
            with contextlib.suppress(UserError):
                self._undo.pop()(self._guest)
