import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_profiler.process.descendants import children_of, descendants_of
from memtui_profiler.process.sampling import ProcessSampler
from tests.fixtures.waiting import until

MIB = 1 << 20


def test_a_process_that_fills_64_mib_shows_them() -> None:
    code = "import sys; b = bytearray(64 << 20); b[::4096] = b'x' * len(b[::4096]); print('full', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        sampler = ProcessSampler(process.pid)
        resident, detail = sampler.resident(), sampler.detail()
        assert resident is not None and detail is not None
        assert 64 * MIB < resident.rss_bytes < 120 * MIB
        assert 0 < resident.shared_bytes < resident.rss_bytes
        assert detail.status.anon_bytes is not None and detail.status.anon_bytes >= 60 * MIB
        assert detail.status.threads == 1
        assert detail.descendants == ()
        assert sampler.cpu_s() > 0
        process.stdin.close()
        process.wait()
        assert sampler.resident() is None
        assert sampler.detail() is None
        sampler.close()


def test_a_zombie_has_no_sample() -> None:
    process = subprocess.Popen(["true"])
    sampler = ProcessSampler(process.pid)
    until(lambda: sampler.resident() is None, "the zombie is recognized")
    process.wait()


def test_a_pid_that_never_was() -> None:
    with pytest.raises(ProcessLookupError):
        ProcessSampler(2**22 + 1)


def test_descendants_and_their_memory() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & sh -c 'sleep 60 & wait' & wait"], start_new_session=True)
    try:
        below = until(lambda: d if len(d := descendants_of(shell.pid)) == 3 else None, "three processes below")
        assert set(children_of(shell.pid)) < set(below)
        detail = ProcessSampler(shell.pid).detail()
        assert detail is not None
        assert set(detail.descendants) == set(below)
        assert detail.descendants_rss_bytes > 0
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def test_handlers_are_read_from_the_process() -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, print); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        sampler = ProcessSampler(process.pid)
        assert sampler.catches(signal.SIGTERM)
        assert not sampler.catches(signal.SIGUSR1)


def test_a_hostile_proc_tree_gives_no_sample(tmp_path: Path) -> None:
    (tmp_path / "7" / "task" / "7").mkdir(parents=True)
    (tmp_path / "7" / "statm").write_bytes(b"nonsense")
    (tmp_path / "7" / "status").write_bytes(b"\xff\xff")
    (tmp_path / "7" / "task" / "7" / "children").write_bytes(b"7 8 ")
    sampler = ProcessSampler(7, proc=tmp_path)
    assert sampler.resident() is None
    assert descendants_of(7, proc=tmp_path) == (7, 8)
