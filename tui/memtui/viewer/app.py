"""The viewer: follows a session, shows it, and sends the user's commands to the recorder. It measures nothing itself."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.worker import Worker, WorkerState

from memtui.control.commander import Commander, Control
from memtui.display.glyphs import glyphs_for
from memtui.display.keymap import KEYS
from memtui.session.follower import Loaded, SessionFollower, load_samples_apart
from memtui.session.shown_reports import ReportSelection
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine, refusal
from memtui.terminal.hangup import terminal_is_gone, vanish, watch_signals
from memtui.viewer import theme
from memtui.viewer.main_screen import MainScreen, Showing
from memtui.viewer.prompts import Answer, Prompts
from memtui.viewer.target import ENDED, LEFT, Target
from memtui.viewer.views import GraphFeed
from memtui.viewer.widgets.key_clicked import KeyClicked
from memtui.viewer.widgets.rate_slider import RateSlider
from memtui.viewer.widgets.tab_bar import TabBar
from memtui_profiler.errors import UserError

if TYPE_CHECKING:
    from textual.screen import Screen

    from memtui.viewer.dialogs.report_picker import ReportPicker
    from memtui.viewer.leaks.editor import Notice, SuppressAsked

T = TypeVar("T")

POLL_S = 0.25

# How a command went is an event too: its line makes room for the diagnosis after this.
OUTCOME_S = 20.0

# A full collection over a report's trees holds the screen for a tenth of a second, and finds little. So those are three times as
# rare as usual; a hundred times as rare, each heap snapshot that was shown left a third of a MiB of garbage behind.
GARBAGE = (700, 10, 30)

# The frame is written by a thread: work that follows at once would hold it back.
FIRST_FRAME_S = 0.03


class MemtuiApp(App[str]):
    """Shows the session in ``session_folder``, live or finished.

    The result of run() is ``left`` (the target runs on without us), ``let go`` (likewise, and it is recorded no more) or
    ``ended``. ``against``: the id of a report to compare the newest with. ``suppressions`` are files beside those that the
    session was begun with, ``source_map`` pairs of (folder at the build, folder here). ``on_exit`` 'stop' or 'detach' answers
    the question of quitting. ``connect`` makes the line to the recorder; ``clock`` gives Unix time. Raises UserError when the
    folder holds no session.
    """

    TITLE = "memtui"
    CSS_PATH = Path(__file__).with_name("style.tcss")
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = ""
    ESCAPE_TO_MINIMIZE = False
    # With ids by which a user can remap them.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            k.keys, k.action, k.words, show=False, key_display=k.shown, priority=k.priority, tooltip=k.help, id=k.id
        )
        for k in KEYS
        if k.action
    ]

    def __init__(
        self,
        session_folder: Path,
        *,
        ascii: bool = False,
        light: bool = False,
        on_exit: str | None = None,
        against: int | None = None,
        suppressions: tuple[str, ...] = (),
        source_map: tuple[tuple[str, str], ...] = (),
        skips: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
        connect: Callable[[Path], Control] | None = None,
        on_watching: Callable[[], None] | None = None,
    ) -> None:
        self.glyphs = glyphs_for(ascii=ascii)
        # Before Textual reads the style sheet, whose variables are the theme's.
        # With NO_COLOR Textual would turn colours into greys; told that the terminal's own are wanted, it sends none at all.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.theme = (theme.LIGHT if light else theme.DARK).name
        self._clock = clock
        self._follower = SessionFollower(session_folder)
        self._commander = Commander(_connect(session_folder) if connect is None else connect(session_folder))
        self._feed = GraphFeed(ascii=ascii)
        self.state: SessionState = self._follower.poll(clock(), live=self._commander.connected, judge=False)
        self.reports = ReportSelection(against, (*self._follower.suppressions(), *suppressions))
        self._source_map = source_map
        self._skips = skips
        self._on_watching = on_watching
        self._prompts = Prompts(self)
        self.target = Target(self, self._commander, self._prompts, clock, on_exit)
        self._picker: ReportPicker | None = None
        self._notice: StatusLine | None = None
        self._notice_until_s = math.inf
        # Nothing that is made before the first frame is garbage, and looking for some took a tenth of the start.
        gc.disable()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the variables that the style sheet needs before a theme of ours is chosen."""
        return dict(theme.DARK.variables)

    def get_default_screen(self) -> MainScreen:
        size = Size(*os.get_terminal_size(2)) if os.isatty(2) and not self.is_headless else self.size
        return MainScreen(
            self._follower.recorded_lines, size, glyphs=self.glyphs, source_map=self._source_map, skips=self._skips
        )

    @property
    def main(self) -> MainScreen:
        """The screen under any dialog."""
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def on_mount(self) -> None:
        self._show_state()
        self.set_interval(POLL_S, self._tick)
        self.call_after_refresh(self.set_timer, FIRST_FRAME_S, self._first_frame_is_up)
        if not self.is_headless:
            # The terminal or whoever started us is gone: the target and its recording go on.
            watch_signals(self._commander.leave, partial(self.leave, LEFT))
        if self._on_watching is not None:
            self._on_watching()

    async def _first_frame_is_up(self) -> None:
        """Do what the first frame need not wait for."""
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        gc.enable()
        if not self._follower.ready:
            work = partial(load_samples_apart, self.state.folder)
            self.run_worker(partial(_result_or_error, work), group="samples", thread=True)
        # A key may have come first: then its tab and its focus stay.
        first = (
            "heap" if self.state.identity.statistics and self.main.panes.active == "leaks" else self.main.panes.active
        )
        await self.main.panes.show_tab(first)
        self._tick()
        if self.focused is not None:
            return
        chosen = self.main.panes.active != "leaks"  # by a key that came before there was a pane to focus
        if chosen or (not self.state.live and self.state.report is not None):
            self.main.panes.focus_pane()
        else:
            self.main.graph.focus()

    # Following the session

    def _tick(self) -> None:
        if not self.is_headless and terminal_is_gone():
            vanish(self._commander.leave)
        now_s, before = self._clock(), self.state
        refused = self.target.take_answers(now_s)
        try:
            self.state = self._follower.poll(self._clock(), live=self._commander.connected)
        except UserError as error:  # the session is damaged: what was read of it stays
            refused = refusal(error)
        if (news := self.target.follow(before, now_s)) is not None:
            self._notice, self._notice_until_s = news, now_s + OUTCOME_S
        elif refused is not None or now_s >= self._notice_until_s:
            self._notice, self._notice_until_s = refused, math.inf
        self._show_reports()
        if self.target.quitting and self.state.finished and self._report_is_read:
            self.exit(ENDED)

    @property
    def _report_is_read(self) -> bool:
        """Whether the newest report, if there is one, has been read whole: its content is the last thing to be told."""
        return self.state.report is None or self.reports.has_read(self.state.report.id)

    def _show_reports(self) -> None:
        """Have the reports read that the user looks at, and show what there is of them."""
        work = self.reports.next_read(self.state, time.monotonic())
        if work is not None:
            self.run_worker(partial(_result_or_error, work), group="report", thread=True)
        self._show_state()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.SUCCESS:
            return
        if isinstance(event.worker.result, UserError):
            self.say(refusal(event.worker.result))
        elif event.worker.group == "samples" and isinstance(event.worker.result, Loaded):
            self._follower.start_from(event.worker.result)
        elif event.worker.group == "report" and isinstance(event.worker.result, tuple):
            number, report = event.worker.result
            self.reports.take((number, report))
            if self.state.report is not None and number == self.state.report.id:
                self._follower.take_report(number, report)
            self._tick()

    # Showing it

    @property
    def verdicts(self) -> tuple[StatusLine, ...]:
        """The lines above the panes, the most urgent first."""
        notice = () if self._notice is None else (self._notice,)
        return (*notice, *self.target.lines, *self.state.diagnoses)

    def _show_state(self) -> None:
        if not self.screen_stack:
            return
        under_way, reports = self.target.activity, self.reports.shown(self.state)
        self.main.show(
            Showing(
                state=self.state,
                graph=self._feed.state(self.state),
                reports=reports,
                pending=self.target.pending,
                verdicts=self.verdicts,
                busy="" if under_way is None else "stopping" if under_way.stopping else "starting",
                notice=self._notice is not None,
            )
        )
        if self._picker is not None and self.screen is self._picker:
            self._picker.follow(self.state, reports)

    # For prompts and commands: see Viewer

    def ask(self, dialog: Screen[Answer], answered: Callable[[Answer], None] | None = None) -> None:
        def closed(answer: Answer | None) -> None:
            if answer is not None and answered is not None:
                answered(answer)

        self.push_screen(dialog, closed)

    def say(self, line: StatusLine | None) -> None:
        self._notice, self._notice_until_s = line, math.inf
        self._show_state()

    def send(self, verb: str, **args: Any) -> None:
        self._commander.send(verb, **args)

    # The mouse, and what the widgets tell

    async def on_key_clicked(self, event: KeyClicked) -> None:
        """Do what the key does."""
        shown = "+" if event.key == "-+" else event.key
        key = next((key for key in KEYS if key.shown == shown and key.action), None)
        if key is not None:
            await self.run_action(key.action)

    async def on_tab_bar_activated(self, event: TabBar.Activated) -> None:
        await self.action_show_tab(event.tab)

    def on_notice(self, event: Notice) -> None:
        self.say(event.line)

    def on_suppress_asked(self, event: SuppressAsked) -> None:
        self._prompts.suppress(event.record, event.checker, self.reports, self._show_reports)

    def on_heap_pane_asked(self) -> None:
        self.target.ask()

    def on_heap_pane_look_wanted(self) -> None:
        self.target.look_at_regions()

    def on_rate_slider_changed(self, event: RateSlider.Changed) -> None:
        if not self.target.set_rate(event.value):
            self.main.show_again()

    # Keys: the actions of the table in keymap.py

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if len(self.screen_stack) > 1:
            return action in {"quit", "focus_next", "focus_previous"}
        if action == "graph" and parameters and str(parameters[0]).startswith(("crosshair", "pan")):
            return self.main.graph.has_focus
        if action in {"leaks", "compare"}:
            return self.main.panes.active == "leaks"
        return True

    def action_target(self, name: str) -> None:
        getattr(self.target, name)()

    async def action_leaks(self, name: str) -> None:
        await self.main.panes.leak_action(name)

    async def action_graph(self, name: str) -> None:
        await self.run_action(name, self.main.graph)

    async def action_show_tab(self, tab: str) -> None:
        await self.main.panes.show_tab(tab)
        if self.main.zoomed_on_graph:
            self.main.toggle_zoom()
        self._show_state()
        self.main.panes.focus_pane()

    async def action_regions(self) -> None:
        """Show what is mapped; where that is shown, the allocator's figures again."""
        was_heap = self.main.panes.active == "heap"
        await self.action_show_tab("heap")
        self.main.panes.toggle_regions(only_on=not was_heap)
        self._show_state()

    def action_compare(self) -> None:
        self._picker = self._prompts.pick_report(self.reports, self._show_reports)

    def action_maximise(self) -> None:
        self.main.toggle_zoom()

    def action_help(self) -> None:
        self._prompts.show_help()

    def action_why(self) -> None:
        self._prompts.show_why(self.verdicts)

    async def action_back(self) -> None:
        """Close what is open, one thing at a time: a notice, a step into the leaks, a comparison, the zoom, what is pending."""
        if self._notice is not None:
            self._notice = None
        elif self.main.panes.back():
            # It has shown what it did, and all of the rest is as it was.
            return
        elif self.main.panes.active == "leaks" and self.reports.leave_comparison():
            pass
        elif self.main.zoomed:
            self.main.toggle_zoom()
        elif not self.target.revert():
            self.main.graph.action_crosshair_off()
        self._show_state()

    # The end

    async def action_quit(self) -> None:
        self.target.quit()

    def leave(self, outcome: str) -> None:
        self._commander.leave()
        self._follower.close()
        self.exit(outcome)


def _result_or_error(work: Callable[[], T]) -> T | UserError:
    """What a thread's work gives: an exception there would end the viewer."""
    try:
        return work()
    except UserError as error:
        return error


def _connect(folder: Path) -> Control:
    from memtui_profiler.recorder.control import ControlClient

    return ControlClient(folder)
