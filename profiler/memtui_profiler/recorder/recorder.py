"""The recorder: owns the target, samples it, writes the session, obeys the viewer. Here is its loop.

Everything that could take long is elsewhere: rows are written by a thread (session/background.py), dumps are read by a
process (collect/job.py). One turn of the loop takes well under a tenth of a second, whatever the target does.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

from memtui_profiler.recorder.control import Client, Command, ControlServer
from memtui_profiler.recorder.report_queue import ReportQueue
from memtui_profiler.recorder.run_supervisor import RunSupervisor
from memtui_profiler.recorder.schedule import Schedule
from memtui_profiler.recorder.start import was_handed_over
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session.recording import Recording

# For a full disk, once nothing is left to record: until then what waits in memory may still be written.
PATIENCE_S = 60.0
LINGER_S = 5.0  # a viewer that launched the target has this long to come and look


class Recorder:
    """Records one session from its first launch until the target has ended and nobody watches."""

    def __init__(self, folder: Path, request: LaunchRequest) -> None:
        self.recording = Recording(folder)
        self.selector = selectors.DefaultSelector()
        self.control = ControlServer(folder, self.selector)
        self._schedule = Schedule(request.sample_hz)
        self._reports = ReportQueue(self.recording, self.selector)
        self.runs = RunSupervisor(request, self.recording, self._reports, self._schedule, self.selector)
        self._told_to_end = False
        self._has_no_owner = False

    def end_with_starter(self, channel: socket.socket) -> None:
        """End what was started when ``channel`` is closed before the target was handed over."""

        def hear() -> None:
            self.selector.unregister(channel)
            if not was_handed_over(channel):
                self._has_no_owner = True
                self.runs.give_up()
            channel.close()

        self.selector.register(channel, selectors.EVENT_READ, hear)

    def loop(self, obey: Callable[[Command], None]) -> None:
        """Run until there is nothing left to record and nobody to record it for; ``obey`` carries out what viewers command."""
        self.control.serve(obey, self._client_gone)
        recording, runs, schedule = self.recording, self.runs, self._schedule
        while not self._finished():
            wait_s = schedule.wait_s(recording.now_s(), sampling=runs.run is not None)
            for key, _ in self.selector.select(wait_s):
                if self.selector.get_map().get(key.fd) is key:  # what came before it in this turn may have closed it
                    key.data()
            now_s = recording.now_s()
            if runs.run is not None and schedule.begin_sample(now_s):
                runs.sample(now_s)
            if schedule.begin_look(now_s, settling=runs.settling):
                self._look(now_s)

    def _look(self, now_s: float) -> None:
        self.control.tick()
        self._reports.expire()
        self.runs.look(now_s)
        if (failure := self.recording.new_failure()) is not None:
            self.control.alert(failure)

    def _client_gone(self, client: Client) -> None:
        if not self.control.watchers:
            self.recording.watch(watched=False)
        self._schedule.idle_since_s = self.recording.now_s()

    def _finished(self) -> bool:
        if self._told_to_end:
            return True
        if self.runs.busy:
            return False
        if self._has_no_owner:
            return True
        if self.control.clients:
            return False
        linger_s = 0.0 if self.control.was_watched else LINGER_S
        if self.recording.failing:
            linger_s = PATIENCE_S
        return self.recording.now_s() - self._schedule.idle_since_s >= linger_s

    def end(self) -> None:
        """Stop recording at the next turn; the target, should it live, lives on."""
        self._told_to_end = True

    def close(self) -> None:
        """Close everything; whatever fails on the way, what was recorded is written."""
        with contextlib.ExitStack() as last:
            last.callback(self.recording.close)
            last.callback(self.control.close)
            last.callback(self._reports.close)
            last.callback(self.runs.close)
