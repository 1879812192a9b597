"""What viewers may ask of a recorder: each command is judged here, and what cannot be is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memtui_profiler.control import QUESTIONS, Command
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind

if TYPE_CHECKING:
    from memtui_profiler.recorder import Recorder


class RecorderCommands:
    """Obeys by the recorder's own methods; what is asked of the process itself is for run_questions.py."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._verbs: dict[str, Callable[[Command], None]] = {
            "watch": self._watch,
            "relaunch": self._relaunch,
            "stop": self._stop,
            "kill": self._kill,
            "leave": self._leave,
            "detach": self._detach,
        }

    def obey(self, command: Command) -> None:
        """Do it or begin it; a refusal is an event as well as the answer."""
        recorder = self._recorder
        try:
            if command.verb in QUESTIONS:
                from memtui_profiler.run_questions import RunQuestions

                RunQuestions(recorder).answer(command)
                return
            if command.verb not in self._verbs:
                raise UserError(
                    f"no verb {command.verb[:40]}", "this recorder does not know it", "update both sides of memtui"
                )
            self._verbs[command.verb](command)
        except UserError as error:
            recorder.event(EventKind.REFUSED, str(error), verb=command.verb[:40], **error.fields())
            command.fail(error)

    def _watch(self, command: Command) -> None:
        command.client.watching = True
        self._recorder.watched()
        run = self._recorder.run
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
        self._recorder.relaunch(command, self._recorder.plan(mode, release_rate))

    def _stop(self, command: Command) -> None:
        self._refuse_attached("stop")
        run = self._recorder.run
        if run is None:
            raise UserError("cannot stop", "the target has ended", "r launches it again")
        self._recorder.drop_relaunch(UserError("relaunch dropped", "a stop was asked for meanwhile", "r relaunches"))
        self._recorder.begin_stop()
        command.succeed(pid=run.process.pid)

    def _kill(self, command: Command) -> None:
        self._refuse_attached("kill")
        run = self._recorder.run
        if run is None:
            raise UserError("cannot kill", "the target has ended", "r launches it again")
        self._recorder.kill()
        command.succeed(pid=run.process.pid)

    def _leave(self, command: Command) -> None:
        command.client.leaving = True
        command.succeed()

    def _detach(self, command: Command) -> None:
        """One of several viewers only leaves: the others go on."""
        command.client.leaving = True
        run = self._recorder.run
        if run is not None and not run.attached:
            raise UserError("cannot let go of it", "memtui started this process", "leave it running, or stop it")
        others = self._recorder.control.watchers - command.client.watching
        if run is not None and not others:
            self._recorder.let_go(run)
        command.succeed(let_go=not others)

    def _refuse_attached(self, verb: str) -> None:
        if self._recorder.request.attach_pid is not None:
            raise UserError(
                f"cannot {verb} it", "memtui did not start this process", "end it as whoever started it does"
            )
