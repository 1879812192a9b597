"""A pane that shows a part of the session as rows."""

from __future__ import annotations

from memtui.session.state import SessionState
from memtui.viewer.widgets.virtual_list import VirtualList


class SessionPane(VirtualList):
    """A pane to which ``show()`` gives each new state of the session while it is in view."""

    def show(self, state: SessionState) -> None:
        raise NotImplementedError

    @property
    def caption(self) -> str:
        """What the tab bar says of the pane; '' for nothing."""
        return ""
