"""The message of all widgets that name keys on the screen."""

from __future__ import annotations

from textual.message import Message


class KeyClicked(Message):
    """The user clicked what a widget shows for a key; ``key`` is named as the screen names it."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
