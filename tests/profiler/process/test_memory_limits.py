from pathlib import Path

import pytest

from memtui_profiler.process.memory_limits import Limit, MemoryLimits

GIB = 1 << 30


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MACHINE = {
    "proc/meminfo": f"MemTotal:       {16 * GIB // 1024} kB\nMemFree: 1 kB\n",
}


def test_version_2_takes_the_tightest_limit_up_to_the_root(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        MACHINE
        | {
            "proc/9/cgroup": "0::/app/worker\n",
            "sys/fs/cgroup/app/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/app/memory.current": "500\n",
            "sys/fs/cgroup/app/worker/memory.max": "max\n",
            "sys/fs/cgroup/app/worker/memory.current": "400\n",
        },
    )
    limits = MemoryLimits(9, root=root)
    assert limits.read() == Limit("cgroup", 2 * GIB, 500)


def test_version_1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        MACHINE
        | {
            "proc/9/cgroup": "5:devices:/\n4:memory:/box\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "77\n",
        },
    )
    limits = MemoryLimits(9, root=root)
    assert limits.read() == Limit("cgroup", GIB, 77)


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    files = {
        "proc/9/cgroup": "0::/../sibling\n",
        "sys/fs/cgroup/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/memory.current": "5\n",
    }
    assert MemoryLimits(9, root=tree(tmp_path, MACHINE | files)).read() == Limit("cgroup", GIB, 5)


@pytest.mark.parametrize("cgroup", ["0::/\n", "", "nonsense"])
def test_without_a_group_the_machine_is_the_limit(tmp_path: Path, cgroup: str) -> None:
    limits = MemoryLimits(9, root=tree(tmp_path, MACHINE | {"proc/9/cgroup": cgroup}))
    assert limits.read() == Limit("machine", 16 * GIB, None)


def test_a_process_that_moves_to_another_group_has_its_limit(tmp_path: Path) -> None:
    files = {
        "proc/9/cgroup": "0::/\n",
        "sys/fs/cgroup/box/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/box/memory.current": "7\n",
    }
    limits = MemoryLimits(9, root=tree(tmp_path, MACHINE | files))
    assert limits.read() == Limit("machine", 16 * GIB, None)
    tree(tmp_path, {"proc/9/cgroup": "0::/box\n"})
    assert limits.read() == Limit("cgroup", GIB, 7)
    (tmp_path / "proc/9/cgroup").unlink()
    assert limits.read() == Limit("cgroup", GIB, 7), "of a process that has just ended the last is known"


def test_a_limit_above_the_machine_is_none(tmp_path: Path) -> None:
    files = {
        "proc/9/cgroup": "0::/a\n",
        "sys/fs/cgroup/a/memory.max": f"{64 * GIB}\n",
        "sys/fs/cgroup/a/memory.current": "5\n",
    }
    limit = MemoryLimits(9, root=tree(tmp_path, MACHINE | files)).read()
    assert limit == Limit("machine", 16 * GIB, None)


def test_a_process_that_is_gone_and_no_proc_at_all(tmp_path: Path) -> None:
    limits = MemoryLimits(9, root=tmp_path)
    assert limits.read() is None


def test_the_limit_of_this_very_process_is_positive() -> None:
    import os

    limit = MemoryLimits(os.getpid()).read()
    assert limit is not None and limit.limit_bytes > 0
