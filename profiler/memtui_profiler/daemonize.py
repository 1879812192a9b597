"""Starts a recorder as a process of its own, before any screen, and hands it what was asked for.

Request and reply go over a socket pair that is the recorder's stdout: its stdin belongs to the target, its stderr is the
session's recorder.log.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from memtui_profiler.environment import original_environment
from memtui_profiler.errors import UserError
from memtui_profiler.request import LaunchRequest

RECORDER_LOG = "recorder.log"
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class LaunchReply:
    """The first run as the recorder launched it."""

    pid: int
    run: int


def start_recorder(folder: Path, request: LaunchRequest) -> LaunchReply:
    """Start the recorder of ``folder`` and wait until it has launched the target.

    Raises UserError with the recorder's own words when the launch fails, and when the recorder dies before it answers.
    """
    ours, theirs = socket.socketpair()
    try:
        log = open(folder / RECORDER_LOG, "ab")  # noqa: SIM115 - the recorder's from here on
    except OSError as error:
        raise UserError(
            "cannot record", f"{folder}: {error.strerror}", "set XDG_STATE_HOME to a writable folder"
        ) from error
    with ours, log:
        with theirs:
            # The working directory is ours alone, because -m puts it first on the module path.
            process = subprocess.Popen(
                [sys.executable, "-m", "memtui", "recorder", str(folder)],
                stdin=None if request.inherit_stdin else subprocess.DEVNULL,
                stdout=theirs.fileno(),
                stderr=log,
                cwd=folder,
                env=original_environment(),
                start_new_session=True,
            )
        process.returncode = 0  # it outlives us on purpose; without this, subprocess warns of a child left running
        ours.settimeout(START_TIMEOUT_S)
        answer = bytearray()
        try:
            ours.sendall(request.to_json().encode() + b"\n")
            while chunk := ours.recv(1 << 16):
                answer += chunk
        except TimeoutError as error:
            why = f"no answer in {START_TIMEOUT_S:g} s"
            raise UserError("cannot start the recorder", why, f"see {folder / RECORDER_LOG}") from error
        except ConnectionError:
            answer.clear()
    if not answer:
        raise UserError("cannot start the recorder", _last_line(folder), f"see {folder / RECORDER_LOG}")
    fields = json.loads(answer)
    if "error" in fields:
        error_fields = fields["error"]
        raise UserError(
            error_fields["what"], error_fields["why"], error_fields["todo"], exit_code=int(error_fields["exit_code"])
        )
    return LaunchReply(pid=fields["pid"], run=fields["run"])


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / RECORDER_LOG).read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it ended without a word"


def receive_request(channel: socket.socket) -> LaunchRequest:
    """The recorder's side of start_recorder(): what to launch."""
    with channel.makefile("rb") as lines:
        return LaunchRequest.from_json(lines.readline().decode())


def send_reply(channel: socket.socket, reply: LaunchReply) -> None:
    channel.sendall(json.dumps(asdict(reply)).encode())


def send_error(channel: socket.socket, error: UserError) -> None:
    channel.sendall(json.dumps({"error": {**error.fields(), "exit_code": error.exit_code}}).encode())
