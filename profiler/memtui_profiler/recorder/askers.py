"""Who asks the process of the current run, and what is still leaving those of earlier ones."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

from memtui_profiler.errors import UserError
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.session.recording import Recording

# Here and not above: what asks a process is loaded when the first one is asked, not before a target starts.
if TYPE_CHECKING:
    from memtui_profiler.asking.asker import Asker
    from memtui_profiler.asking.scheduler import AskScheduler


class Askers:
    """``current`` is None as long as nothing was to be asked of the process."""

    def __init__(self, request: LaunchRequest, recording: Recording, selector: selectors.BaseSelector) -> None:
        self.current: AskScheduler | None = None
        self._request = request
        self._recording = recording
        self._selector = selector
        self._leaving: list[Asker] = []

    def of(self, run: ActiveRun) -> AskScheduler:
        """Return who asks the process of ``run``, made now if it is the first time."""
        if self.current is None:
            from memtui_profiler.asking.scheduler import AskScheduler

            self.current = AskScheduler(
                run.number,
                run.process.pid,
                run.folder,
                self._recording,
                self._selector,
                off=self._request.no_guest,
                force=self._request.force_guest,
                wanted=self._request.ask,
            )
        return self.current

    def detach(self) -> None:
        """Leave the process that was asked, without waiting for that; another one is asked anew."""
        if self.current is not None:
            self._leaving.append(self.current.detach())
            self.current = None

    def new_left_behind(self) -> list[UserError]:
        """Why threads of ours stay in processes that have been left since the last call."""
        left = [asker for asker in self._leaving if asker.detached]
        self._leaving = [asker for asker in self._leaving if asker not in left]
        return [asker.left_behind for asker in left if asker.left_behind is not None]

    @property
    def detached(self) -> bool:
        """Whether nothing of ours is in the processes that were left."""
        return all(asker.detached for asker in self._leaving)

    def join(self) -> None:
        """Wait, for some seconds at most, until nothing of ours is in the processes that were left."""
        for asker in self._leaving:
            asker.join()
