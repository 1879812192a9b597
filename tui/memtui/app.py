"""The viewer: follows a session, shows it, and sends what the user wants to the recorder. It measures nothing itself."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.geometry import Size
from textual.worker import Worker, WorkerState

from memtui import theme
from memtui.charset import glyphs_for
from memtui.commander import Commander, Control
from memtui.controller import Loaded, SessionFollower, load_samples_apart
from memtui.dialogs import Dialogs
from memtui.hangup import terminal_is_gone, vanish, watch_signals
from memtui.keymap import KEYS, bindings
from memtui.leak_errands import LeakErrands
from memtui.live_commands import BEFORE_FIRST_CHECK, LiveCommands
from memtui.main_screen import MainScreen, Showing
from memtui.pending import PendingControls, next_half
from memtui.rate_lack import rate_lack
from memtui.report_desk import ReportDesk
from memtui.session_views import RECORDER_GONE, GraphFeed, following
from memtui.state import Activity, SessionState, activity
from memtui.status_line import StatusLine, Tone, attached, ended, no_recorder, refusal
from memtui.widgets.controls import Controls
from memtui.widgets.footer import KeyFooter
from memtui.widgets.rate_slider import RateSlider
from memtui.widgets.tab_bar import TabBar
from memtui.widgets.verdicts import Verdicts

if TYPE_CHECKING:
    from memtui.leaks.requests import CopyAsked, EditAsked, Refused, SuppressAsked

POLL_S = 0.25

# How a command went is an event too: its line makes room for the diagnosis after this.
OUTCOME_S = 20.0

LEFT, LET_GO, ENDED = "left", "let go", "ended"


# A full collection over a report's trees holds the screen for a tenth of a second, and finds little. So those are three times as
# rare as usual; a hundred times as rare, each heap snapshot that was shown left a third of a MiB of garbage behind.
GARBAGE = (700, 10, 30)

# The frame is written by a thread: work that follows at once would hold it back.
FIRST_FRAME_S = 0.03


class MemtuiApp(App[str]):
    """Shows the session in ``session_folder``, live or finished.

    The result of run() is ``left`` (the target runs on without us), ``let go`` (likewise, and it is recorded no more) or
    ``ended``. ``against``: the id of a report to compare the newest with. ``suppressions`` are files beside those that the
    session was begun with, ``source_map`` pairs of (folder at the build, folder here). ``connect`` makes the line to the
    recorder; ``clock`` gives Unix time. Raises UserError when the folder holds no session.
    """

    TITLE = "memtui"
    CSS_PATH = Path(__file__).with_name("style.tcss")
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = ""
    ESCAPE_TO_MINIMIZE = False
    BINDINGS: ClassVar[list[BindingType]] = bindings()

    def __init__(
        self,
        session_folder: Path,
        *,
        ascii: bool = False,
        light: bool = False,
        start_paused: bool = False,
        on_exit: str | None = None,
        against: int | None = None,
        suppressions: tuple[str, ...] = (),
        source_map: tuple[tuple[str, str], ...] = (),
        clock: Callable[[], float] = time.time,
        connect: Callable[[Path], Control] | None = None,
    ) -> None:
        self.glyphs = glyphs_for(ascii=ascii)
        # Before Textual reads the style sheet, whose variables are the theme's.
        # With NO_COLOR Textual would turn colours into greys; told that the terminal's own are wanted, it sends none at all.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.theme = (theme.LIGHT if light else theme.DARK).name
        self.folder = session_folder
        self._clock = clock
        self._follower = SessionFollower(session_folder)
        self._commander = Commander(_connect(session_folder) if connect is None else connect(session_folder))
        self._feed = GraphFeed(ascii=ascii)
        self.state: SessionState = self._follower.poll(clock(), live=self._commander.connected, judge=False)
        self.pending: PendingControls = following(None, self.state.run)
        self._live = LiveCommands(self._commander)
        self._notice: StatusLine | None = None
        self._notice_until_s = math.inf
        self._quitting = False
        self._start_paused = start_paused
        self._on_exit = on_exit
        self.reports = ReportDesk(against, (*self._follower.suppressions(), *suppressions))
        self._source_map = source_map
        self.dialogs = Dialogs(self)
        self.errands = LeakErrands(self)
        # Nothing that is made before the first frame is garbage, and looking for some took a tenth of the start.
        gc.disable()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """What the style sheet needs before a theme of ours is chosen."""
        return dict(theme.DARK.variables)

    def get_default_screen(self) -> MainScreen:
        size = Size(*os.get_terminal_size(2)) if os.isatty(2) and not self.is_headless else self.size
        return MainScreen(self._follower.recorded_lines, size, glyphs=self.glyphs, source_map=self._source_map)

    @property
    def main(self) -> MainScreen:
        """The screen under any dialog."""
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def on_mount(self) -> None:
        self._show_state()
        if self._start_paused:
            self.main.graph.action_toggle_pause()
        self.set_interval(POLL_S, self._tick)
        self.call_after_refresh(self.set_timer, FIRST_FRAME_S, self._first_frame_is_up)
        if not self.is_headless:
            watch_signals(self._commander.leave, self.detach)

    async def _first_frame_is_up(self) -> None:
        """What the first frame need not wait for."""
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        gc.enable()
        if not self._follower.ready:
            self.run_worker(partial(load_samples_apart, self.folder), group="samples", thread=True)
        # A key may have come first: then its tab and its focus stay.
        await self.main.panes.show_tab(self.main.panes.active)
        self._tick()
        if self.focused is not None:
            return
        chosen = self.main.panes.active != "leaks"  # by a key that came before there was a pane to focus
        if chosen or (not self.state.live and self.state.report is not None):
            self.main.panes.focus_pane()
        else:
            self.main.graph.focus()

    # What is on the screen

    @property
    def verdicts(self) -> tuple[StatusLine, ...]:
        """The lines above the panes, what is most urgent first."""
        lines: list[StatusLine] = []
        if self._notice is not None:
            lines.append(self._notice)
        if (under_way := self._activity()) is not None:
            hint = ("t", "again: kill") if under_way.stopping else ("", "")
            lines.append(StatusLine(self.glyphs.waiting, "WAIT", under_way.sentence, Tone.WARN, *hint))
        lines += self._live.waiting(self._clock(), self.glyphs.waiting)
        if self._commander.lost and self.state.run is not None and self.state.run.watched:
            lines.append(RECORDER_GONE)
        return (*lines, *self.state.diagnoses)

    def _put(self, notice: StatusLine | None, *, until_s: float = math.inf) -> None:
        self._notice, self._notice_until_s = notice, until_s

    def _activity(self) -> Activity | None:
        return activity(self.state, relaunching=self._commander.waits_for("relaunch"))

    def _tick(self) -> None:
        if not self.is_headless and terminal_is_gone():
            vanish(self._commander.leave)
        now_s = self._clock()
        for outcome in self._commander.poll():
            self._live.answered(outcome.verb, now_s, ok=outcome.error is None)
            if outcome.error is not None:
                self._put(refusal(outcome.error))
        before = self.state.run
        self.state = self._follower.poll(self._clock(), live=self._commander.connected)
        run = self.state.run
        if run is not None and (before is None or before.number != run.number):
            self.pending = following(self.pending if before is not None else None, run)
        self.pending = self.pending.reading(self.state.rate_read)
        if (told := self._live.news(self.state, now_s)) is not None:
            self._put(told, until_s=now_s + OUTCOME_S)
        elif now_s >= self._notice_until_s:
            self._put(None)
        self._ask_for_report()
        self._show_state()
        if self._quitting and self.state.finished and self._report_is_read:
            self.exit(ENDED)

    @property
    def _report_is_read(self) -> bool:
        """Whether the newest report, if there is one, has been read whole: what it says is the last thing to be told."""
        return self.state.report is None or self.reports.has_read(self.state.report.id)

    def _show_state(self) -> None:
        if self.screen_stack:
            under_way = self._activity()
            self.main.show(
                Showing(
                    state=self.state,
                    graph=self._feed.state(self.state),
                    reports=self.reports.shown(self.state),
                    pending=self.pending,
                    verdicts=self.verdicts,
                    busy="" if under_way is None else "stopping" if under_way.stopping else "starting",
                )
            )
            self.dialogs.follow()

    def _ask_for_report(self) -> None:
        work = self.reports.next_read(self.state, time.monotonic())
        if work is not None:
            self.run_worker(work, group="report", thread=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.SUCCESS:
            return
        if event.worker.group == "samples" and isinstance(event.worker.result, Loaded):
            self._follower.start_from(event.worker.result)
        elif event.worker.group == "report" and isinstance(event.worker.result, tuple):
            number, report = event.worker.result
            self.reports.take((number, report))
            if self.state.report is not None and number == self.state.report.id:
                self._follower.take_report(number, report)
            self._tick()

    # Keys

    async def press(self, shown: str) -> None:
        """Do what a key does that is named on the screen, for a click on it."""
        shown = "+" if shown == "-+" else shown
        key = next((key for key in KEYS if key.shown == shown and key.action), None)
        if key is not None:
            await self.run_action(key.action)

    async def on_verdicts_pressed(self, event: Verdicts.Pressed) -> None:
        await self.press(event.key)

    async def on_controls_pressed(self, event: Controls.Pressed) -> None:
        await self.press(event.key)

    async def on_key_footer_pressed(self, event: KeyFooter.Pressed) -> None:
        await self.press(event.key)

    async def on_tab_bar_activated(self, event: TabBar.Activated) -> None:
        await self.action_show_tab(event.tab)

    def on_edit_asked(self, event: EditAsked) -> None:
        self.errands.edit(event.file, event.line)

    def on_copy_asked(self, event: CopyAsked) -> None:
        self.errands.copy(event.text, event.what)

    def on_suppress_asked(self, event: SuppressAsked) -> None:
        self.errands.suppress(event.record, event.checker)

    def on_refused(self, event: Refused) -> None:
        self.errands.refuse(event.why)

    def on_heap_pane_asked(self) -> None:
        self.action_ask()

    def on_rate_slider_changed(self, event: RateSlider.Changed) -> None:
        if self._may_rate():
            self.set_pending(self.pending.with_rate(event.value))
        else:
            self.main.show_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if len(self.screen_stack) > 1:
            return action in {"quit", "focus_next", "focus_previous"}
        if action == "graph" and parameters and str(parameters[0]).startswith(("crosshair", "pan")):
            return self.main.graph.has_focus
        if action in {"leaks", "compare"}:
            return self.main.panes.active == "leaks"
        return True

    async def action_show_tab(self, tab: str) -> None:
        await self.main.panes.show_tab(tab)
        if self.main.zoomed_on_graph:
            self.main.toggle_zoom()
        self._show_state()
        self.main.panes.focus_pane()

    async def action_leaks(self, name: str) -> None:
        await self.main.panes.leak_action(name)

    def action_compare(self) -> None:
        self.dialogs.pick_report()

    def other_reports(self) -> None:
        """The user looks at another report now, or compares it with another."""
        self._ask_for_report()
        self._show_state()

    async def action_graph(self, name: str) -> None:
        await self.run_action(name, self.main.graph)

    def action_maximise(self) -> None:
        self.main.toggle_zoom()

    async def action_back(self) -> None:
        """Close what is open, one thing a time: a refusal, a step into the leaks, the zoom, what is pending."""
        if self._notice is not None:
            self._put(None)
        elif self.main.panes.back():
            # It has shown what it did, and all of the rest is as it was.
            return
        elif self.main.panes.active == "leaks" and self.reports.leave_comparison():
            pass
        elif self.main.zoomed:
            self.main.toggle_zoom()
        elif self.pending.changed:
            self.pending = self.pending.reverted()
        else:
            self.main.graph.action_crosshair_off()
        self._show_state()

    def action_rate_step(self, direction: int) -> None:
        if self._may_rate():
            self.set_pending(self.pending.with_rate(next_half(self.pending.shown_rate, direction)))

    def set_pending(self, pending: PendingControls) -> None:
        self.pending = pending
        self._put(None)
        self._show_state()

    def action_check_picker(self) -> None:
        if self._may_launch("launch it with another check"):
            self.dialogs.pick_check()

    def action_rate_input(self) -> None:
        if self._may_rate():
            self.dialogs.type_rate()

    def action_help(self) -> None:
        self.dialogs.show_help()

    def action_why(self) -> None:
        self.dialogs.show_why()

    def action_relaunch(self) -> None:
        if not self._may_launch("relaunch the target"):
            return
        if self._commander.waits_for("relaunch") or self._stopping:
            self.dialogs.offer_kill()
            return
        self._put(None)
        self._commander.send("relaunch", mode=self.pending.shown_mode, release_rate=self.pending.wanted_rate)
        self._show_state()

    @property
    def _stopping(self) -> bool:
        under_way = self._activity()
        return under_way is not None and under_way.stopping

    def action_stop_target(self) -> None:
        if not self._may_launch("stop the target") or not self._has_process():
            return
        if self._stopping:
            self.dialogs.offer_kill()
        else:
            self.stop()

    def stop(self) -> None:
        self._put(None)
        self._commander.send("stop")
        self._show_state()

    def kill(self) -> None:
        self._commander.send("kill")

    def say(self, line: StatusLine) -> None:
        """A line that stays until the next command or esc."""
        self._put(line)
        self._show_state()

    def _may(self, what: str) -> bool:
        if self._commander.connected:
            return True
        self.say(no_recorder(what))
        return False

    def _may_rate(self) -> bool:
        """Answers where there is no rate to change, rather than to keep one that nothing would ever apply."""
        if not self._may("change the rate"):
            return False
        if (lack := rate_lack(self.state, self.pending)) is not None:
            self.say(lack.answer())
        return lack is None

    def _may_launch(self, what: str) -> bool:
        if not self._may(what):
            return False
        if self.state.identity.attached:
            self.say(attached(what))
        return not self.state.identity.attached

    def _has_process(self) -> bool:
        if not self.state.running:
            self.say(ended(again=not self.state.identity.attached))
        return self.state.running

    # What is asked of the process while it runs

    def _ask_process(self, what: str, verb: str, **args: Any) -> None:
        if self._may(what) and self._has_process():
            self._put(None)
            self._live.send(verb, self.state, self._clock(), **args)
            self._show_state()

    def action_set_live(self) -> None:
        if self._may_rate():
            self._ask_process("set its rate", "rate", release_rate=self.pending.shown_rate)

    def action_release(self) -> None:
        self._ask_process("release its memory", "release")

    def action_check_now(self) -> None:
        if self._commander.connected and self.state.running and self._live.must_tell_first(self.state):
            self.say(BEFORE_FIRST_CHECK)
        else:
            self._ask_process("check it", "check")

    def action_snapshot(self) -> None:
        self._ask_process("take a snapshot of it", "snapshot")

    def action_ask(self) -> None:
        self._ask_process("ask the process", "ask")

    # The end

    async def action_quit(self) -> None:
        if self.dialogs.asking:
            return
        if not self.state.running:
            self.leave(ENDED)
        elif self._stopping and self._quitting:
            self.dialogs.offer_kill()
        elif self._on_exit == "stop" and not self.state.identity.attached:
            self.stop_and_quit()
        elif self._on_exit == "detach":
            self.leave(LEFT)
        else:
            self.dialogs.ask_quit()

    def stop_and_quit(self) -> None:
        self._quitting = True
        if not self._stopping:
            self.stop()

    def leave(self, outcome: str) -> None:
        self._commander.leave()
        self._follower.close()
        self.exit(outcome)

    def let_go(self) -> None:
        """Leave a process that memtui attached to as it was found."""
        self._commander.send("detach")
        self.leave(LET_GO)

    def detach(self) -> None:
        """The terminal or whoever started us is gone: the target and its recording go on."""
        self.leave(LEFT)


def _connect(folder: Path) -> Control:
    from memtui_profiler.control import ControlClient

    return ControlClient(folder)
