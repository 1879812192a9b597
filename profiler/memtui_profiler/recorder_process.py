"""The recorder as a process: ``memtui recorder DIR``, started by daemonize.start_recorder() before there is any screen."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
from functools import partial
from pathlib import Path

from memtui_profiler.daemonize import LaunchReply, receive_request, send_error, send_reply
from memtui_profiler.errors import UserError
from memtui_profiler.prctl import RECORDER_NAME, become_subreaper, name_this_process
from memtui_profiler.recorder import Recorder


def main(folder: Path) -> int:
    """The hidden command ``memtui recorder DIR``: request and reply over the socket that is our stdout."""
    name_this_process(RECORDER_NAME)
    become_subreaper()
    channel = socket.socket(fileno=os.dup(1))
    # From here on nothing may reach a terminal or the handshake through a stray print.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with channel:
        recorder = Recorder(folder, receive_request(channel))
        try:
            run = recorder.launch(recorder.plan(recorder.request.mode, recorder.request.release_rate))
        except UserError as error:
            recorder.close()
            send_error(channel, error)
            return error.exit_code
        send_reply(channel, LaunchReply(run.process.pid, run.number))
    # Off since the start of the process; what is there by now stays, and later looks pass it over.
    gc.freeze()
    gc.enable()
    # Handlers, not SIG_IGN: what is ignored here would be ignored in every later target too.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: recorder.leave())
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    recorder.selector.register(wake_read, selectors.EVENT_READ, partial(os.read, wake_read, 64))
    try:
        recorder.loop()
    finally:
        recorder.close()
    return 0
