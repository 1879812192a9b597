"""The two things a recorder asks of the kernel for itself, prctl(2)."""

from __future__ import annotations

import ctypes
import os

PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
RECORDER_NAME = "memtui-rec"


def name_this_process(name: str) -> None:
    """Set comm as ``ps`` and ``top`` show it (15 bytes at most)."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()))


def become_subreaper() -> None:
    """Inherit the orphans among our descendants: a double-forked daemon stays a child that can be waited for."""
    _prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def _prctl(option: int, argument: ctypes.c_char_p | ctypes.c_ulong) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
