import gc
import os
import subprocess
from pathlib import Path

import pytest

from memtui_profiler.checkers.ending import Source
from memtui_profiler.errors import UserError
from memtui_profiler.launch.plan import plan_launch
from memtui_profiler.process.descendants import DESCENDANTS_LIMIT, descendants_of
from memtui_profiler.process.mmap_events import MmapEvents
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.run.mapped_files import MapsLog
from memtui_profiler.run.target_process import TargetProcess
from tests.fixtures.leaky import build
from tests.fixtures.waiting import until


def launch(folder: Path, *argv: str, mode: str = "off") -> ActiveRun:
    request = LaunchRequest(argv=argv, cwd="/", tcmalloc="off" if mode == "off" else "auto")
    plan = plan_launch(request, mode=mode, release_rate=None, dump_folder=folder, inherited=dict(os.environ))
    return ActiveRun(1, plan, folder, 0.0, inherit_stdin=False)


def open_descriptors() -> set[str]:
    gc.collect()  # what other tests left to the collector must not be closed between two looks
    return set(os.listdir("/proc/self/fd"))


def test_a_run_whose_folder_cannot_be_made_starts_nothing_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    marker = tmp_path / "started"
    before = open_descriptors()
    with pytest.raises(UserError, match="cannot start run 1"):
        launch(tmp_path / "run", "touch", str(marker))
    assert open_descriptors() == before
    assert not marker.exists()


def test_a_program_that_does_not_start_leaves_nothing_open(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"#!/no/such/interpreter\n")
    program.chmod(0o755)
    before = open_descriptors()
    with pytest.raises(UserError):
        launch(tmp_path / "run", str(program))
    assert open_descriptors() == before


def test_a_stream_that_was_closed_in_the_same_turn_is_left_alone(tmp_path: Path) -> None:
    run = launch(tmp_path, "true")
    stream = run.output.streams[0]
    until(run.process.exit_status, "it ends")
    run.close()
    assert run.output.drain(stream) is False


def test_maps_are_remembered_across_processes_and_without_a_disk(tmp_path: Path) -> None:
    for pid, name in ((1, "plugin"), (2, "server")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "maps").write_text(
            f"10-20 r-xp 00000000 00:00 1 /usr/lib/{name}\n20-30 r--p 00000000 00:00 1 /usr/lib/{name}\n"
        )
    maps = MapsLog(1, proc=tmp_path)
    maps.update(0.0)
    maps.follow(2)
    maps.update(60.0)
    assert maps.lines() == [f"10-20 r-xp 00000000 00:00 1 /usr/lib/{name}" for name in ("plugin", "server")]


@pytest.mark.heap_checker
def test_a_plugin_that_came_and_went_between_two_samples_is_remembered(tmp_path: Path) -> None:
    opened = MmapEvents.open()
    if opened is None:
        pytest.skip("perf events are not permitted here")
    opened.close()
    program = build("plugin")
    run = launch(tmp_path, str(program.path), mode="draconian")

    def ended() -> bool:
        for stream in list(run.output.streams):
            run.output.drain(stream)
        return run.process.exit_status() is not None

    until(ended, "it ends")
    run.close()
    lines = run.reports.request(Source(run.process.pid, None)).extra_maps
    assert any(line.endswith("/libleaky.so") for line in lines)


def test_a_fork_bomb_is_counted_to_a_bound(tmp_path: Path) -> None:
    task = tmp_path / "1" / "task" / "1"
    task.mkdir(parents=True)
    (task / "children").write_text(" ".join(str(pid) for pid in range(2, 30_000)))
    assert len(descendants_of(1, proc=tmp_path)) == DESCENDANTS_LIMIT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")
def test_a_process_of_another_user_cannot_be_signalled_and_nothing_breaks() -> None:
    with subprocess.Popen(["sleep", "60"]) as theirs:
        child = os.fork()
        if child == 0:
            os.setresuid(65534, 65534, 65534)
            status = 1
            try:
                TargetProcess(theirs.pid, None).send(15)
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert theirs.poll() is None
        theirs.kill()
