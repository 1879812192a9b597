"""Threads that memtui starts for itself while it records: a target may have used up what the system allows."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable


def start_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that does ``work`` and ends with the process. Raises OSError (EAGAIN) where the system makes no more."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # what Python makes of every error of pthread_create(3)
        raise OSError(errno.EAGAIN, "no thread can be made") from error
    return thread
