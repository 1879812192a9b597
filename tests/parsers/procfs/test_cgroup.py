from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.cgroup import CgroupPaths, cgroup_paths, oom_kills, parse_limit, parse_usage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/user.slice/a.service\n", CgroupPaths("/user.slice/a.service", None)),
        ("9:name=systemd:/s\n4:cpu,memory:/docker/ab:cd\n0::/\n", CgroupPaths("/", "/docker/ab:cd")),
        ("3:memory_other:/x\n", CgroupPaths(None, None)),
        ("", CgroupPaths(None, None)),
        ("0::/a\x0bb c\n", CgroupPaths("/a\x0bb c", None)),
    ],
)
def test_the_paths_of_both_versions(text: str, expected: CgroupPaths) -> None:
    assert cgroup_paths(text) == expected


def test_our_own_cgroup_is_found() -> None:
    assert cgroup_paths(Path("/proc/self/cgroup").read_text()) != CgroupPaths()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max\n", None), ("9223372036854771712\n", None), ("17179869184\n", 16 << 30), ("0\n", 0)],
)
def test_limits(text: str, expected: int | None) -> None:
    assert parse_limit(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "12 kB", "٣", "9" * 5000])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_limit(text)
    with pytest.raises(ParseError):
        parse_usage(text)


def test_oom_kills_of_both_versions() -> None:
    assert oom_kills("low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\noom_group_kill 7\n") == 1
    assert oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert oom_kills("oom_kill_disable 0\nunder_oom 0\n") == 0


@pytest.mark.parametrize("count", ["", "-1", "1 1", "\u0661", "9" * 5000])
def test_what_is_no_count_of_oom_kills_is_passed_over(count: str) -> None:
    assert oom_kills(f"oom_kill {count}\noom_kill 3\n") == 3


@given(st.text(max_size=100))
def test_no_text_breaks_the_readers(text: str) -> None:
    assert isinstance(cgroup_paths(text), CgroupPaths)
    assert oom_kills(text) >= 0
