"""The recorder as a process: ``memtui recorder DIR``, started by start_recorder() before any screen."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import selectors
import shutil
import signal
import socket
from functools import partial
from pathlib import Path

from memtui_profiler.errors import EXIT_UNAVAILABLE, UserError
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.commands import Commands
from memtui_profiler.recorder.recorder import Recorder
from memtui_profiler.recorder.start import receive_request, send_error, send_reply, starter_is_gone
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session.folders import RECORDER_NAME

_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36  # linux/prctl.h

_NO_SUBREAPER = "a process that goes into the background is not followed: this system (emulated) has no subreaper"


def main(folder: Path) -> int:
    """Run the hidden command ``memtui recorder DIR``: request and reply go over the socket that is its stdout."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(RECORDER_NAME.encode()))
    adopts = _become_subreaper()
    channel = socket.socket(fileno=os.dup(1))
    # From here on nothing may reach a terminal or the handshake through a stray print.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with channel:
        request = receive_request(channel)
        if request is None:
            shutil.rmtree(folder, ignore_errors=True)
            return EXIT_UNAVAILABLE
        recorder = Recorder(folder, request)
        _watch_signals(recorder)
        try:
            plan = recorder.runs.launcher.plan(request.mode, request.release_rate)
            if starter_is_gone(channel):
                recorder.close()
                shutil.rmtree(folder, ignore_errors=True)
                return EXIT_UNAVAILABLE
            run = recorder.runs.launch(plan)
        except UserError as error:
            recorder.close()
            send_error(channel, error)
            return error.exit_code
        if not adopts:
            recorder.recording.event(EventKind.NOTE, _NO_SUBREAPER)
        send_reply(channel, run.process.pid)
        recorder.end_with_starter(channel)
        return _record(recorder, request)


def _record(recorder: Recorder, request: LaunchRequest) -> int:
    # Off since the start of the process; what is there by now stays, and later looks pass it over.
    gc.freeze()
    gc.enable()
    attached = request.attach_pid is not None
    try:
        recorder.loop(Commands(recorder.runs, recorder.recording, recorder.control, attached=attached).obey)
    finally:
        recorder.close()
    return 0


def _watch_signals(recorder: Recorder) -> None:
    # Handlers, not SIG_IGN: what is ignored here would be ignored in every later target too.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: recorder.end())
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    recorder.selector.register(wake_read, selectors.EVENT_READ, partial(os.read, wake_read, 64))


def _become_subreaper() -> bool:
    """Become the parent of orphaned descendants, so that a double-forked daemon can be waited for.

    Return False where there is no such thing: qemu's emulation of a process refuses it (EINVAL).
    """
    try:
        _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def _prctl(option: int, argument: ctypes.c_char_p | ctypes.c_ulong) -> None:
    """prctl(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
