"""What the keys ask of the target: a relaunch, its end, the release rate, and what a running process can be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memtui.control.commander import Commander
from memtui.control.live_commands import BEFORE_FIRST_CHECK, LiveCommands, is_price
from memtui.control.no_rate import rate_lack
from memtui.control.pending import PendingControls, next_half
from memtui.display.keymap import KEYS_BY_ID
from memtui.session.growth_watch import growth_watched
from memtui.session.state import Activity, SessionState, activity
from memtui.session.status_line import StatusLine, Tone, attached, ended, no_recorder, price, refusal
from memtui.session.ways import with_key
from memtui.viewer.prompts import Prompts, Viewer
from memtui.viewer.views import RECORDER_GONE, following

LEFT, LET_GO, ENDED = "left", "let go", "ended"


class Target:
    """The target as the user controls it: what is pending for its next launch, and the commands sent to the recorder.

    Where a command is not possible, a line says why. ``on_exit`` 'stop' or 'detach' answers the question of quitting. ``clock``
    gives Unix time.
    """

    def __init__(
        self,
        viewer: Viewer,
        commander: Commander,
        prompts: Prompts,
        clock: Callable[[], float],
        on_exit: str | None = None,
    ) -> None:
        self._viewer = viewer
        self._commander = commander
        self._prompts = prompts
        self._clock = clock
        self._live = LiveCommands(commander)
        self._on_exit = on_exit
        self.pending: PendingControls = following(None, viewer.state.run)
        # The user has quit, and waits for the target to end.
        self.quitting = False

    # Following the session

    @property
    def activity(self) -> Activity | None:
        """The end or the start of the target that is under way, None when there is none."""
        return activity(self._viewer.state, relaunching=self._commander.waits_for("relaunch"))

    @property
    def stopping(self) -> bool:
        under_way = self.activity
        return under_way is not None and under_way.stopping

    @property
    def lines(self) -> tuple[StatusLine, ...]:
        """The lines about what is under way, and about a recorder that is gone."""
        waiting, run = self._viewer.glyphs.waiting, self._viewer.state.run
        lines: list[StatusLine] = []
        if (under_way := self.activity) is not None:
            hint = ("t", "again: kill") if under_way.stopping else ("", "")
            lines.append(StatusLine(waiting, "WAIT", under_way.sentence, Tone.WARN, *hint))
        lines += self._live.waiting(self._clock(), waiting)
        if (watching := growth_watched(self._viewer.state, waiting)) is not None:
            lines.append(watching)
        if self._commander.lost and run is not None and run.watched:
            lines.append(RECORDER_GONE)
        return tuple(lines)

    def take_answers(self, now_s: float) -> StatusLine | None:
        """Take what the recorder has answered. Return the line of its last error, None without one."""
        line = None
        for outcome in self._commander.poll():
            self._live.answered(outcome.verb, now_s, outcome.error)
            if outcome.error is not None and is_price(outcome.verb, outcome.error):
                line = price(outcome.error, KEYS_BY_ID[outcome.verb])
            elif outcome.error is not None:
                todo = with_key(outcome.error.todo, outcome.error.action, self._viewer.state)
                line = refusal(outcome.error, todo)
        return line

    def follow(self, before: SessionState, now_s: float) -> StatusLine | None:
        """Follow the session, which was in the state ``before``. Return the outcome of a command of the user, None without one."""
        state = self._viewer.state
        if state.run is not None and (before.run is None or before.run.number != state.run.number):
            self.pending = following(self.pending if before.run is not None else None, state.run)
        self.pending = self.pending.reading(state.rate_read)
        return self._live.news(state, now_s)

    # The controls for the next launch

    def pick_check(self) -> None:
        if self._may_launch("launch it with another check"):
            self._prompts.pick_check(self.pending, self._take_check)

    def _take_check(self, mode: str, relaunch: bool) -> None:
        self.set_pending(self.pending.with_mode(mode))
        if relaunch:
            self.relaunch()

    def rate_down(self) -> None:
        self.set_rate(next_half(self.pending.shown_rate, -1))

    def rate_up(self) -> None:
        self.set_rate(next_half(self.pending.shown_rate, 1))

    def type_rate(self) -> None:
        if self._may_rate():
            take = self.set_pending
            self._prompts.type_rate(self.pending.shown_rate, lambda rate: take(self.pending.with_rate(rate)))

    def set_rate(self, rate: float) -> bool:
        """Make this release rate pending. Return False where there is no rate to change."""
        if not self._may_rate():
            return False
        self.set_pending(self.pending.with_rate(rate))
        return True

    def set_pending(self, pending: PendingControls) -> None:
        self.pending = pending
        self._viewer.say(None)

    def revert(self) -> bool:
        """Drop what is pending. Return False when nothing is."""
        changed, self.pending = self.pending.changed, self.pending.reverted()
        return changed

    # Its start and its end

    def relaunch(self) -> None:
        if not self._may_launch("relaunch the target"):
            return
        if self._commander.waits_for("relaunch") or self.stopping:
            self._prompts.offer_kill()
            return
        self._viewer.send("relaunch", mode=self.pending.shown_mode, release_rate=self.pending.wanted_rate)
        self._viewer.say(None)

    def stop_or_kill(self) -> None:
        """Stop the target; while it is ending, ask whether to kill it."""
        if not self._may_launch("stop the target") or not self._has_process():
            return
        if self.stopping:
            self._prompts.offer_kill()
        else:
            self.stop()

    def stop(self) -> None:
        self._viewer.send("stop")
        self._viewer.say(None)

    def quit(self) -> None:
        """Leave a target that has ended; ask what becomes of one that runs."""
        if self._prompts.choosing:
            return
        if not self._viewer.state.running:
            self._viewer.leave(ENDED)
        elif self.stopping and self.quitting:
            self._prompts.offer_kill()
        elif self._on_exit == "stop" and not self._viewer.state.identity.attached:
            self._quit("stop")
        elif self._on_exit == "detach":
            self._viewer.leave(LEFT)
        else:
            self._prompts.ask_quit(self._quit)

    def _quit(self, answer: str) -> None:
        """Do with the target what the user has answered: 'stop', 'leave' or 'stay'."""
        if answer == "stop":
            self.quitting = True
            if not self.stopping:
                self.stop()
        elif answer == "leave" and self._viewer.state.identity.attached:
            self._viewer.send("detach")
            self._viewer.leave(LET_GO)
        elif answer == "leave":
            self._viewer.leave(LEFT)

    # What is asked of the process while it runs

    def set_rate_now(self) -> None:
        if self._may_rate():
            self._ask_process("set its rate", "rate", release_rate=self.pending.shown_rate)

    def release(self) -> None:
        self._ask_process("release its memory", "release")

    def check_now(self) -> None:
        state = self._viewer.state
        if self._commander.connected and state.running and self._live.must_tell_first(state):
            self._viewer.say(BEFORE_FIRST_CHECK)
        else:
            self._ask_process("check it", "check")

    def snapshot(self) -> None:
        self._ask_process("take a snapshot of it", "snapshot")

    def ask(self) -> None:
        self._ask_process("ask the process", "ask")

    def look_at_regions(self) -> None:
        """Have the recorder look at what is mapped; without one, what was seen last is all there is."""
        if self._commander.connected and self._viewer.state.running:
            self._viewer.send("regions")

    def _ask_process(self, what: str, verb: str, **args: Any) -> None:
        if self._may(what) and self._has_process():
            self._live.send(verb, self._viewer.state, self._clock(), **args)
            self._viewer.say(None)

    # What is possible

    def _may(self, what: str) -> bool:
        """Return whether there is a recorder; say so if there is none that could do ``what``."""
        if not self._commander.connected:
            self._viewer.say(no_recorder(what))
        return self._commander.connected

    def _may_rate(self) -> bool:
        """Return whether there is a rate to change; say why if not, since nothing would ever apply a new one."""
        if not self._may("change the rate"):
            return False
        if (lack := rate_lack(self._viewer.state, self.pending)) is not None:
            self._viewer.say(lack.answer())
        return lack is None

    def _may_launch(self, what: str) -> bool:
        if not self._may(what):
            return False
        if self._viewer.state.identity.attached:
            self._viewer.say(attached(what))
        return not self._viewer.state.identity.attached

    def _has_process(self) -> bool:
        if not self._viewer.state.running:
            self._viewer.say(ended(again=not self._viewer.state.identity.attached))
        return self._viewer.state.running
