"""Ends the viewer on SIGTERM, on SIGHUP, and when its terminal is closed.

Textual's writer thread ends with its terminal, and 30 writes later the event loop waits for it for ever: a hangup cannot be
left to the loop. Python runs signal handlers even while a lock is waited for.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

# How long the terminal has to take the last output.
PATIENCE_S = 3.0


def terminal_is_gone(descriptor: int = 2) -> bool:
    """Whether the other side of the terminal has been closed, so that writing to it fails."""
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(state & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, state in poller.poll(0))


def vanish(leave: Callable[[], None]) -> NoReturn:
    """Call ``leave`` and end at once, without anything that would write to the terminal."""
    try:
        leave()
    finally:
        os._exit(0)


def watch_signals(leave: Callable[[], None], say_goodbye: Callable[[], None]) -> None:
    """SIGHUP: vanish(leave). SIGTERM: ``say_goodbye`` in the running loop, and vanish when that gets stuck.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def hangup(_: int, __: FrameType | None) -> None:
        vanish(leave)

    def terminate(_: int, __: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        loop.call_soon_threadsafe(say_goodbye)

    signal.signal(signal.SIGHUP, hangup)
    signal.signal(signal.SIGALRM, hangup)
    signal.signal(signal.SIGTERM, terminate)
