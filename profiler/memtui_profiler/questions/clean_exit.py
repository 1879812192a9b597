"""A clean end for a server that has none of its own: the guest calls exit(0), so what runs at exit runs, a leak check too."""

from __future__ import annotations

from memtui_profiler.asker import Conversation


def call_exit(conversation: Conversation) -> None:
    """Begin it and do not wait: it never returns. Raises UserError when the process cannot be asked."""
    guest = conversation.guest
    conversation.say_last_words()
    guest.begin(guest.libc.exit, 0)
