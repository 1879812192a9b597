"""Starts a recorder as a process of its own, before any screen, and sends it the request.

Request and reply go over a socket pair that is the recorder's stdout: its stdin belongs to the target, its stderr is the
session's recorder.log. Until whoever started it hands the target over, the recorder ends what it has started when that socket is
closed, be it by SIGKILL: so there is one owner at each moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.helper_process import helper_command
from memtui_profiler.launch.environment import original_environment
from memtui_profiler.request import LaunchRequest

RECORDER_LOG = "recorder.log"
MAX_LOG_BYTES = 1 << 20
LAST_WORDS_S = 3.0
START_TIMEOUT_S = 60.0
HANDED_OVER = b"over"


class StartedRecorder:
    """A recorder that has launched the process ``pid``, and ends it as soon as this is closed without hand_over()."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel

    def hand_over(self) -> None:
        """Leave the target to the recorder: from now on nobody but a command ends it."""
        with contextlib.suppress(OSError):  # it has ended, and the target with it or before
            self._channel.sendall(HANDED_OVER)
        self.close()

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> StartedRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_recorder(folder: Path, request: LaunchRequest) -> int:
    """As begin_recorder(); the target is the recorder's at once. Return its pid."""
    with begin_recorder(folder, request) as started:
        started.hand_over()
        return started.pid


def begin_recorder(folder: Path, request: LaunchRequest) -> StartedRecorder:
    """Start the recorder of ``folder``, and wait until it has launched the target.

    Raises UserError: the recorder's own when the launch fails, and another when the recorder dies before it answers.
    """
    with contextlib.ExitStack() as opened:
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _cannot_start(error) from error
        opened.callback(ours.close)
        pid = _begin(ours, theirs, folder, request)
        opened.pop_all()
        return StartedRecorder(pid, ours)


def _begin(ours: socket.socket, theirs: socket.socket, folder: Path, request: LaunchRequest) -> int:
    try:
        # The recorder's from here on; 0600 whatever the umask.
        log = open(folder / RECORDER_LOG, "ab", opener=partial(os.open, mode=0o600))  # noqa: SIM115
    except OSError as error:
        theirs.close()
        why = f"{folder}: {error.strerror}"
        raise UserError("cannot record", why, todo_of(error, "set XDG_STATE_HOME to a writable folder")) from error
    with log:
        with theirs:
            try:
                process = subprocess.Popen(
                    helper_command("memtui.cli", "memtui", "recorder", str(folder)),
                    stdin=None if request.inherit_stdin else subprocess.DEVNULL,
                    stdout=theirs.fileno(),
                    stderr=log,
                    cwd=folder,
                    env=original_environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise _cannot_start(error) from error
        process.returncode = 0  # it outlives us on purpose; without this, subprocess warns of a child left running
        ours.settimeout(START_TIMEOUT_S)
        answer = bytearray()
        try:
            ours.sendall(request.to_json().encode() + b"\n")
            while not answer.endswith(b"\n") and (chunk := ours.recv(1 << 16)):
                answer += chunk
        except TimeoutError as error:
            why = f"no answer in {START_TIMEOUT_S:g} s"
            raise UserError("cannot start the recorder", why, _see_log(folder)) from error
        except ConnectionError:
            answer.clear()
    if not answer.endswith(b"\n"):
        _wait_for_end(process.pid)
        raise UserError("cannot start the recorder", _last_line(folder), _see_log(folder))
    fields = json.loads(answer)
    if "error" in fields:
        raise UserError.from_fields(fields["error"], exit_code=int(fields["error"]["exit_code"]))
    return int(fields["pid"])


def _cannot_start(error: OSError) -> UserError:
    return UserError("cannot start the recorder", error.strerror or str(error), todo_of(error, "try again"))


def _wait_for_end(pid: int) -> None:
    """Wait, some seconds at most, until a child has written its last words and ended: it may have closed its socket before."""
    deadline = time.monotonic() + LAST_WORDS_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None:
                return
            time.sleep(0.01)


def _see_log(folder: Path) -> str:
    """What to do when the recorder has failed: its log is kept in a file of its own, for the session's folder is deleted then."""
    import tempfile

    try:
        log = (folder / RECORDER_LOG).read_bytes()
        if not log:
            return "try again"
        descriptor, kept = tempfile.mkstemp(prefix="memtui-recorder-", suffix=".log")
        with open(descriptor, "wb") as file:
            file.write(log[-MAX_LOG_BYTES:])
    except OSError:
        return "try again"
    return f"see {kept}"


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / RECORDER_LOG).read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it ended without a word"


def receive_request(channel: socket.socket) -> LaunchRequest | None:
    """Return what to launch: the recorder's side of begin_recorder(). None when whoever wanted that is gone."""
    with channel.makefile("rb") as lines:
        line = lines.readline()
    return LaunchRequest.from_json(line.decode()) if line.endswith(b"\n") else None


def starter_is_gone(channel: socket.socket) -> bool:
    """Whether whoever started the recorder has closed the channel, or has ended."""
    try:
        return not channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def was_handed_over(channel: socket.socket) -> bool:
    """Whether the target is the recorder's, once the channel is readable; else whoever started it is gone."""
    try:
        return channel.recv(len(HANDED_OVER)) == HANDED_OVER
    except OSError:
        return False


def send_reply(channel: socket.socket, pid: int) -> None:
    """Tell start_recorder() the pid of what was launched."""
    _send(channel, {"pid": pid})


def send_error(channel: socket.socket, error: UserError) -> None:
    """Have start_recorder() raise ``error``."""
    _send(channel, {"error": {**error.fields(), "exit_code": error.exit_code}})


def _send(channel: socket.socket, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # who asked is gone; starter_is_gone() says so
        channel.sendall(json.dumps(answer).encode() + b"\n")
