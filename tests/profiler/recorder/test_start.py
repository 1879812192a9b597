"""What a user is told when a recorder cannot be started."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.process.descendants import children_of
from memtui_profiler.recorder import launcher, start
from memtui_profiler.recorder.recorder import Recorder
from memtui_profiler.recorder.start import begin_recorder, start_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run import active_run
from tests.fixtures.live import is_alive
from tests.fixtures.waiting import until


def test_the_log_that_is_named_is_there_when_the_session_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever started it deletes the folder of a session that did not begin, and the log with it."""
    folder = tmp_path / "session"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(start, "helper_command", lambda *_: ["sh", "-c", "echo the first line >&2; echo it broke >&2"])
    with pytest.raises(UserError) as raised:
        start_recorder(folder, LaunchRequest(argv=("true",), cwd="/"))
    shutil.rmtree(folder)
    assert raised.value.why == "it broke"
    kept = Path(raised.value.todo.removeprefix("see "))
    assert kept.read_text() == "the first line\nit broke\n" and kept.stat().st_mode & 0o077 == 0


def test_without_a_free_descriptor_the_limit_is_named_and_not_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket, the log, the process, and the run's own log."""
    full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    request = LaunchRequest(argv=("true",), cwd="/")

    def refuse(*_: object, **__: object) -> None:
        raise full

    recorder = Recorder(tmp_path, request)
    try:
        for name in ("socket.socketpair", "os.open", "subprocess.Popen"):
            with monkeypatch.context() as patch, pytest.raises(UserError, match="ulimit -n"):
                patch.setattr(name, refuse)
                begin_recorder(tmp_path, request)
        monkeypatch.setattr(active_run, "TargetOutput", refuse)
        with pytest.raises(UserError, match="ulimit -n"):
            recorder.runs.launch(recorder.runs.launcher.plan("off", None))
        full.errno = errno.ENOSPC
        with pytest.raises(UserError, match="see to the disk"):
            recorder.runs.launch(recorder.runs.launcher.plan("off", None))
    finally:
        recorder.close()


def test_a_target_that_cannot_be_recorded_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on its memory ended the recorder after the target had started, and that ran on unknown to anybody."""

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(launcher, "capability_rows", no_memory)
    folder = tmp_path / "session"
    folder.mkdir()
    recorder = Recorder(folder, LaunchRequest(argv=("sleep", "600"), cwd="/"))
    before = set(children_of(os.getpid()))
    with pytest.raises(MemoryError):
        recorder.runs.launch(recorder.runs.launcher.plan("off", None))
    started = {
        pid for pid in set(children_of(os.getpid())) - before if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    }
    recorder.close()
    until(lambda: not any(map(is_alive, started)), "the target has ended")
