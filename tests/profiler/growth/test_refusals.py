"""Why growth cannot be watched, in one sentence with what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from memtui_profiler.growth.refusals import no_buffers, other_machine, refusal


def refused(number: int, level: str | None, tmp_path: Path, pid: int | None = None) -> str:
    paranoid = tmp_path / "perf_event_paranoid"
    if level is not None:
        paranoid.write_text(level)
    return str(refusal(pid or os.getpid(), OSError(number, os.strerror(number)), paranoid=paranoid))


def test_each_reason_has_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "this kernel has no perf events, or hides /proc/sys" in refused(errno.EACCES, None, tmp_path)
    assert "--cap-add PERFMON" in refused(errno.EPERM, "2\n", tmp_path)
    assert "too few files can be open" in refused(errno.EMFILE, "2\n", tmp_path)
    assert "has ended" in refused(errno.ESRCH, "2\n", tmp_path, 1 << 22)
    assert "perf_event_open: Invalid argument" in refused(errno.EINVAL, "2\n", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(f"/proc/{os.getpid()}/maps").st_uid or 65534)
    if os.getuid() == 0:
        assert "is another user's, or hides its memory" in refused(errno.EACCES, "4\n", tmp_path)
    else:
        sentence = refused(errno.EACCES, "4\n", tmp_path)
        assert "kernel.perf_event_paranoid is 4 here" in sentence and "sysctl kernel.perf_event_paranoid=2" in sentence


def test_buffers_and_machines_have_theirs() -> None:
    assert "RLIMIT_MEMLOCK" in str(no_buffers(OSError(errno.EPERM, "Operation not permitted")))
    assert "this is aarch64" in str(other_machine("aarch64"))
