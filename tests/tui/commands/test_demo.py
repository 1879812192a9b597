"""The demo where nothing can be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from memtui.commands import demo
from memtui.commands.demo import run_demo
from memtui.options.parse import Demo, Launch
from memtui_profiler.errors import UserError
from tests.fixtures import sessions

WITHOUT_SCREEN = Launch(argv=(), mode="draconian", plain=True, ascii=True)


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = sessions.storyboard(tmp_path / "recorded", end_s=170.0, finished=True) / "session.db"
    monkeypatch.setattr(demo, "RECORDING", path)
    return path


@pytest.mark.usefixtures("no_compiler", "recording")
def test_without_a_compiler_the_recording_is_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(Demo(WITHOUT_SCREEN)) == 0
    out, err = capsys.readouterr()
    assert "server.cpp:88" in out and " rss " in out
    assert "g++" in err and err.count("\n") == 1


@pytest.mark.usefixtures("recording")
def test_replay_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run_demo(Demo(WITHOUT_SCREEN, replay=True)) == 0
    assert "server.cpp:88" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("no_compiler")
def test_with_neither_the_reason_is_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "RECORDING", tmp_path / "missing.db")
    with pytest.raises(UserError, match=r"g\+\+"):
        run_demo(Demo(WITHOUT_SCREEN))


@pytest.mark.usefixtures("recording")
def test_a_library_without_the_checker_is_not_shown_as_no_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("memtui.demo.build.build", lambda: Path("/bin/true"))
    launch = Launch(argv=(), mode="draconian", tcmalloc="off", plain=True)
    assert run_demo(Demo(launch)) == 0
    out, err = capsys.readouterr()
    assert "server.cpp:88" in out and "replaying" in err
