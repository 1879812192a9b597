"""The questions to the user: each opens a dialog and hands on the answer. A dialog's module is imported when it is first opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from memtui.control.pending import PendingControls
from memtui.display.glyphs import Glyphs
from memtui.session.shown_reports import ReportSelection
from memtui.session.state import SessionState, lost_by_killing
from memtui.session.status_line import StatusLine, Tone, refusal
from memtui_parsers.clean_text import clean
from memtui_parsers.values import LeakRecord

if TYPE_CHECKING:
    from textual.screen import Screen

    from memtui.viewer.dialogs.dialog import Choice
    from memtui.viewer.dialogs.report_picker import PickedReport, ReportPicker

SUPPRESSIONS_FILE = "memtui.supp"

Answer = TypeVar("Answer")


class Viewer(Protocol):
    """The application, as far as prompts and commands need it."""

    glyphs: Glyphs
    state: SessionState

    def ask(self, dialog: Screen[Answer], answered: Callable[[Answer], None] | None = None) -> None:
        """Open a dialog; ``answered`` is told the answer, if there is one."""

    def say(self, line: StatusLine | None) -> None:
        """Show this line until the next command or esc; None: no line. Show what else has changed with it."""

    def send(self, verb: str, **args: Any) -> None:
        """Send the recorder a command."""

    def leave(self, outcome: str) -> None:
        """End the viewer; ``outcome`` is its result."""


class Prompts:
    """The dialogs of ``viewer``; esc closes one without an answer."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._choice: Choice | None = None

    @property
    def choosing(self) -> bool:
        """Whether a question with a few answers is open."""
        return self._choice is not None and self._choice.is_current

    def pick_check(self, pending: PendingControls, chosen: Callable[[str, bool], None]) -> None:
        """Ask for the mode of the next launch. ``chosen`` is told it, and whether to relaunch now."""
        from memtui.viewer.dialogs.check_picker import CheckPicker

        dialog = CheckPicker(self._viewer.state, pending, glyphs=self._viewer.glyphs)
        self._viewer.ask(dialog, lambda mode: chosen(str(mode), isinstance(mode, CheckPicker.Relaunch)))

    def pick_report(self, reports: ReportSelection, chosen: Callable[[], None]) -> ReportPicker:
        """Ask which reports to show or to compare. Return the dialog, which follows the session while it is open."""
        from memtui.viewer.dialogs.report_picker import ReportPicker

        viewer = self._viewer

        def take(choice: PickedReport) -> None:
            if choice.alone and choice.report is not None:
                reports.show(viewer.state, choice.report)
            else:
                reports.compare(viewer.state, choice.report, choice.shown)
            chosen()

        dialog = ReportPicker(viewer.state, reports.shown(viewer.state), glyphs=viewer.glyphs)
        viewer.ask(dialog, take)
        return dialog

    def type_rate(self, rate: float, typed: Callable[[float], None]) -> None:
        """Ask for a release rate; ``rate`` is the one shown now."""
        from memtui.viewer.dialogs.rate_input import RateInput

        self._viewer.ask(RateInput(rate, glyphs=self._viewer.glyphs), typed)

    def suppress(
        self, record: LeakRecord, checker: str, reports: ReportSelection, suppressed: Callable[[], None]
    ) -> None:
        """Ask for a file, append the suppression of a leak to it, and have the reports read without the leak."""
        from memtui.viewer.dialogs.suppress_input import SuppressInput

        viewer = self._viewer

        def named(path: str) -> None:
            from memtui_profiler.checkers.suppression_files import add_suppression
            from memtui_profiler.errors import UserError

            path = os.path.abspath(os.path.expanduser(path))
            try:
                added = add_suppression(path, record, checker)
            except UserError as error:
                viewer.say(refusal(error))
                return
            reports.suppress(path)
            suppressed()
            sentence = f"written to {clean(path)}: {clean(' '.join(added.split()), 200)}"
            viewer.say(StatusLine("✓", "SUPPRESSED", sentence, Tone.GOOD, "esc", "close"))

        default = reports.suppressions[-1] if reports.suppressions else os.path.abspath(SUPPRESSIONS_FILE)
        viewer.ask(SuppressInput(record, checker, default, glyphs=viewer.glyphs), named)

    def show_help(self) -> None:
        from memtui.viewer.dialogs.help import Help

        self._viewer.ask(Help(self._viewer.glyphs))

    def show_why(self, verdicts: tuple[StatusLine, ...]) -> None:
        """Show the evidence behind these lines."""
        from memtui.viewer.dialogs.dialog import Reading
        from memtui.viewer.widgets.verdicts import why_content

        glyphs = self._viewer.glyphs
        self._viewer.ask(Reading("Why", why_content(verdicts, glyphs), glyphs=glyphs))

    def offer_kill(self) -> None:
        """Ask whether to go on waiting for a target that is ending, or to kill it."""
        viewer = self._viewer

        def answered(answer: str) -> None:
            if answer == "kill":
                viewer.send("kill")

        answers = (("wait", "w", "wait for it to end"), ("kill", "k", "kill it now (SIGKILL)"))
        self._choose("Still ending", lost_by_killing(viewer.state), answers, answered)

    def ask_quit(self, answered: Callable[[str], None]) -> None:
        """Ask what becomes of the target that runs: the answer is 'stop', 'leave' or 'stay'."""
        state, run = self._viewer.state, self._viewer.state.run
        if run is None:
            return
        check = f" Its {run.row.mode} check reports when it exits." if run.row.mode != "off" else ""
        question = f"The target runs: pid {run.pid}.{check}"
        answers: tuple[tuple[str, str, str], ...] = (
            ("stop", "s", "stop it, then quit"),
            ("leave", "l", "leave it running; `memtui resume` comes back"),
            ("stay", "y", "stay"),
        )
        if state.identity.attached:
            question = f"pid {run.pid} runs on, as it did before memtui came."
            answers = (("leave", "l", "leave it running; memtui lets go of it"), ("stay", "y", "stay"))
        self._choose("Quit", question, answers, answered)

    def _choose(
        self, title: str, question: str, answers: tuple[tuple[str, str, str], ...], answered: Callable[[str], None]
    ) -> None:
        from memtui.viewer.dialogs.dialog import Choice

        self._choice = Choice(title, question, answers, glyphs=self._viewer.glyphs)
        self._viewer.ask(self._choice, answered)
