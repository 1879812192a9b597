"""The viewer's end when it is not the user who ends it: SIGTERM, SIGHUP, or a terminal that is simply gone.

Textual's writer thread dies with its terminal, and whoever then writes waits for it for ever: 30 writes later the event loop
stands still, so a hangup may not be left to the loop. Python runs signal handlers even while a lock is waited for.
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

# A goodbye that the terminal has not taken by then is given up.
PATIENCE_S = 3.0


def terminal_is_gone(descriptor: int = 2) -> bool:
    """Whether the other side of the terminal has been closed: what is written to it now fails."""
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(state & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, state in poller.poll(0))


def vanish(let_go: Callable[[], None]) -> NoReturn:
    """End at once, past everything that would write to the terminal; ``let_go`` comes first."""
    try:
        let_go()
    finally:
        os._exit(0)


def watch_signals(let_go: Callable[[], None], say_goodbye: Callable[[], None]) -> None:
    """SIGHUP: vanish(let_go). SIGTERM: ``say_goodbye`` in the running loop, and vanish when that gets stuck.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def hangup(_: int, __: FrameType | None) -> None:
        vanish(let_go)

    def terminate(_: int, __: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        loop.call_soon_threadsafe(say_goodbye)

    signal.signal(signal.SIGHUP, hangup)
    signal.signal(signal.SIGALRM, hangup)
    signal.signal(signal.SIGTERM, terminate)
