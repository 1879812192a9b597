"""Carries out what viewers command: each command is judged here, and what cannot be is refused in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.events import EventKind
from memtui_profiler.launch.start_again import with_a_way
from memtui_profiler.recorder import live_report
from memtui_profiler.recorder.control import Command, ControlServer
from memtui_profiler.recorder.run_supervisor import RunSupervisor
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.session.recording import Recording

# Here and not above: what asks a process is loaded when the first one is asked, not before a target starts.
if TYPE_CHECKING:
    from memtui_profiler.asking.scheduler import AskScheduler, CommandAnswer

MAX_RATE = 1e6
MAX_SECONDS = 1e9


class Commands:
    """``attached``: memtui did not start the target, so it neither stops nor relaunches it."""

    def __init__(self, runs: RunSupervisor, recording: Recording, control: ControlServer, *, attached: bool) -> None:
        self._runs = runs
        self._recording = recording
        self._control = control
        self._attached = attached
        self._verbs: dict[str, Callable[[Command], None]] = {
            "watch": self._watch,
            "relaunch": self._relaunch,
            "stop": self._stop,
            "kill": self._kill,
            "detach": self._detach,
            "ask": self._ask,
            "rate": self._rate,
            "release": self._release,
            "check": self._check,
            "snapshot": self._snapshot,
            "growth": self._growth,
            "regions": self._regions,
        }

    def obey(self, command: Command) -> None:
        """Do it or begin it; a refusal is an event as well as the answer."""
        try:
            if command.verb not in self._verbs:
                why, todo = "this recorder does not know it", "update both sides of memtui"
                raise UserError(f"no verb {command.verb[:40]}", why, todo)
            self._verbs[command.verb](command)
        except UserError as error:
            self._refuse(command, error)
        except OSError as error:
            todo = todo_of(error, "see to the session's disk")
            self._refuse(command, UserError(f"cannot {command.verb[:40]}", str(error), todo))

    def _refuse(self, command: Command, error: UserError) -> None:
        self._recording.error(EventKind.REFUSED, error, command.verb[:40])
        command.fail(error)

    def _watch(self, command: Command) -> None:
        self._control.watch(command.client)
        self._recording.watch(watched=True)
        run = self._runs.run
        command.succeed(pid=run.process.pid if run else None)

    def _relaunch(self, command: Command) -> None:
        self._refuse_attached("relaunch")
        mode, rate = command.args.get("mode"), command.args.get("release_rate")
        try:
            release_rate = None if rate is None else float(rate)
        except (TypeError, ValueError, OverflowError):
            mode = None
        if not isinstance(mode, str):
            raise UserError("cannot relaunch", "the command is malformed", "update both sides of memtui")
        # Planned before the old run is touched: what cannot start must not cost what runs.
        self._runs.relaunch(command, self._runs.launcher.plan(mode, release_rate))

    def _stop(self, command: Command) -> None:
        run = self._own_run("stop")
        stopped = UserError("relaunch dropped", "a stop was asked for meanwhile", "relaunch", action=Action.LAUNCH)
        self._runs.drop_relaunch(stopped)
        self._runs.begin_stop()
        command.succeed(pid=run.process.pid)

    def _kill(self, command: Command) -> None:
        run = self._own_run("kill")
        self._runs.kill()
        command.succeed(pid=run.process.pid)

    def _detach(self, command: Command) -> None:
        """One of several viewers only leaves: the others go on."""
        run = self._runs.run
        if run is not None and not run.attached:
            raise UserError("cannot let go of it", "memtui started this process", "leave it running, or stop it")
        others = self._control.watchers - command.client.watching
        if not others:
            self._runs.detach()
        command.succeed(let_go=not others)

    def _own_run(self, verb: str) -> ActiveRun:
        """The run that memtui launched. Raises UserError when there is none."""
        self._refuse_attached(verb)
        if self._runs.run is None:
            raise UserError(f"cannot {verb}", "the target has ended", "launch it again", action=Action.LAUNCH)
        return self._runs.run

    def _refuse_attached(self, verb: str) -> None:
        if self._attached:
            why = "memtui did not start this process"
            raise UserError(f"cannot {verb} it", why, "end it as whoever started it does")

    # What the running process is asked for: answered when it is done

    def _ask(self, command: Command) -> None:
        _, scheduler = self._asked_run("ask the process")
        scheduler.ask(self._answer(command))

    def _rate(self, command: Command) -> None:
        _, scheduler = self._asked_run("set the release rate")
        try:
            rate = float(command.args.get("release_rate", "nan"))
        except (TypeError, ValueError, OverflowError):
            rate = math.nan
        if not 0 <= rate <= MAX_RATE:
            raise UserError("cannot set the release rate", "it is no rate", "give a number from 0 to 10")
        scheduler.set_rate(rate, self._answer(command))

    def _release(self, command: Command) -> None:
        _, scheduler = self._asked_run("release memory")
        scheduler.release(self._answer(command))

    def _check(self, command: Command) -> None:
        run, scheduler = self._asked_run("check for leaks now")
        answer = self._answer(command)

        def done(checked: CommandAnswer) -> None:
            if run.attached and isinstance(checked, UserError) and checked.action is Action.CHOOSE_CHECK:
                checked = with_a_way(checked, run.process.pid)
            answer(checked)

        live_report.check(run, scheduler, done, lambda live: self._runs.take_live_check(run, live))

    def _snapshot(self, command: Command) -> None:
        """By the allocator's own profiler; where there is none, by watching page faults, which any process can be."""
        run, scheduler = self._asked_run("take a heap snapshot")
        growth, answer = self._runs.growth, self._answer(command)
        if growth.watches(run):
            growth.report(run, answer)
            return

        def taken(answered: CommandAnswer) -> None:
            if isinstance(answered, UserError) and live_report.may_watch_instead(run, scheduler, answered):
                told = partial(live_report.watched_instead, answered, answer)
                growth.start(run, told, anyway=command.args.get("anyway") is True)
            else:
                answer(answered)

        def take(dumps: list[Path]) -> None:
            for dump in dumps:
                self._runs.take_snapshot(run, dump, told=dump is dumps[-1])

        live_report.snapshot(run, scheduler, taken, take)

    def _growth(self, command: Command) -> None:
        """Takes no guest, so it works beside whatever the process is asked."""
        if (run := self._runs.run) is None:
            raise UserError("growth is not watched", "the process has ended", "start it again")
        growth, do, seconds = self._runs.growth, command.args.get("do"), command.args.get("seconds")
        if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds <= MAX_SECONDS):
            raise UserError("growth is not watched", f"{seconds!r:.40} is no time", "give a number of seconds")
        if do == "stop":
            growth.stop(run, self._answer(command))
        elif do == "report" or (do is None and growth.watches(run)):
            growth.report(run, self._answer(command))
        elif do in (None, "start"):
            growth.start(run, self._answer(command), seconds=seconds, anyway=command.args.get("anyway") is True)
        else:
            raise UserError("growth is not watched", f"{do!r:.40} is no command", "update both sides of memtui")

    def _regions(self, command: Command) -> None:
        """Takes no guest, and is answered at once: the rows of the look come when it has ended."""
        if (run := self._runs.run) is None:
            raise UserError("cannot look at its mappings", "the process has ended", "look at what was recorded of it")
        run.ask_for_regions()
        command.succeed(pid=run.process.pid)

    def _asked_run(self, what: str) -> tuple[ActiveRun, AskScheduler]:
        """The run, and who asks its process. Raises UserError when nothing can be asked."""
        run, scheduler = self._runs.run, self._runs.scheduler()
        if run is None or scheduler is None:
            if self._attached:
                why = "the process has ended, or memtui let go of it"
                raise UserError(f"cannot {what}", why, "attach anew: memtui attach PID")
            raise UserError(f"cannot {what}", "the target has ended", "launch it again", action=Action.LAUNCH)
        if self._runs.stopping:
            raise UserError(f"cannot {what}", "it is being stopped", "launch it again", action=Action.LAUNCH)
        return run, scheduler

    def _answer(self, command: Command) -> Callable[[CommandAnswer], None]:
        def answer(answer: CommandAnswer) -> None:
            if isinstance(answer, UserError):
                self._refuse(command, answer)
            else:
                command.succeed(**answer)

        return answer
