"""Opens the dialogs and brings their answers home; a dialog's module is imported when it is first opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.state import lost_by_killing

if TYPE_CHECKING:
    from memtui.app import MemtuiApp
    from memtui.screens.report_picker import ReportPicker


class Dialogs:
    def __init__(self, app: MemtuiApp) -> None:
        self._app = app
        self._picker: ReportPicker | None = None

    @property
    def asking(self) -> bool:
        """Whether a question about stopping is open already."""
        from memtui.screens.dialog import Choice

        return isinstance(self._app.screen, Choice)

    def pick_check(self) -> None:
        from memtui.screens.check_picker import CheckPicker

        app = self._app

        def chosen(mode: str | None) -> None:
            if mode is not None:
                app.set_pending(app.pending.with_mode(str(mode)))
                if isinstance(mode, CheckPicker.Relaunch):
                    app.action_relaunch()

        app.push_screen(CheckPicker(app.state, app.pending, glyphs=app.glyphs), chosen)

    def pick_report(self) -> None:
        from memtui.screens.report_picker import PickedReport, ReportPicker

        app = self._app

        def picked(choice: PickedReport | None) -> None:
            self._picker = None
            if choice is None:
                return
            if choice.alone and choice.report is not None:
                app.reports.show(app.state, choice.report)
            else:
                app.reports.compare(app.state, choice.report, choice.shown)
            app.other_reports()

        self._picker = ReportPicker(app.state, app.reports.shown(app.state), glyphs=app.glyphs)
        app.push_screen(self._picker, picked)

    def follow(self) -> None:
        """The session has gone on under a dialog that lists what is in it."""
        if self._picker is not None:
            self._picker.follow(self._app.state, self._app.reports.shown(self._app.state))

    def type_rate(self) -> None:
        from memtui.screens.rate_input import RateInput

        app = self._app

        def typed(rate: float | None) -> None:
            if rate is not None:
                app.set_pending(app.pending.with_rate(rate))

        app.push_screen(RateInput(app.pending.shown_rate, glyphs=app.glyphs), typed)

    def show_help(self) -> None:
        from memtui.screens.help import Help

        self._app.push_screen(Help(self._app.glyphs))

    def show_why(self) -> None:
        from memtui.screens.why import why_screen

        self._app.push_screen(why_screen(self._app.verdicts, self._app.glyphs))

    def offer_kill(self) -> None:
        from memtui.screens.dialog import Choice

        app = self._app

        def answered(answer: str | None) -> None:
            if answer == "kill":
                app.kill()

        answers = (("wait", "w", "wait for it to end"), ("kill", "k", "kill it now (SIGKILL)"))
        app.push_screen(Choice("Still ending", lost_by_killing(app.state), answers, glyphs=app.glyphs), answered)

    def ask_quit(self) -> None:
        from memtui.app import LEFT
        from memtui.screens.dialog import Choice

        app = self._app
        attached = app.state.identity.attached
        run = app.state.run
        if run is None:
            return

        def answered(answer: str | None) -> None:
            if answer == "stop":
                app.stop_and_quit()
            elif answer == "leave" and attached:
                app.let_go()
            elif answer == "leave":
                app.leave(LEFT)

        check = f" Its {run.row.mode} check reports when it exits." if run.row.mode != "off" else ""
        question = f"The target runs: pid {run.pid}.{check}"
        answers: tuple[tuple[str, str, str], ...] = (
            ("stop", "s", "stop it, then quit"),
            ("leave", "l", "leave it running; `memtui resume` comes back"),
            ("stay", "y", "stay"),
        )
        if attached:
            question = f"pid {run.pid} runs on, as it did before memtui came."
            answers = (("leave", "l", "leave it running; memtui lets go of it"), ("stay", "y", "stay"))
        app.push_screen(Choice("Quit", question, answers, glyphs=app.glyphs), answered)
