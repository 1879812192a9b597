"""What the pane asks of the application, which has the terminal, the clipboard and the dialogs."""

from __future__ import annotations

from textual.message import Message

from memtui_parsers.values import LeakRecord


class EditAsked(Message):
    """Open ``file`` at ``line`` in the user's editor."""

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line


class CopyAsked(Message):
    """Put ``text`` on the clipboard; ``what`` it is, in words."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what


class SuppressAsked(Message):
    """Leave this leak out from now on; ``checker`` found it."""

    def __init__(self, record: LeakRecord, checker: str) -> None:
        super().__init__()
        self.record = record
        self.checker = checker


class Refused(Message):
    """A key of the pane's that cannot do anything here: why, and what to do."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why
