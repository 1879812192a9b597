"""What a thread holds in its registers when it is made the host, it holds when its system call returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.guest import Target, build, guest_in, running

READ = 0
VISITS = 5


def flags() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return set(next(line for line in lines if line.startswith("flags")).split())


def changed(target: Target) -> list[str]:
    """What differed after the call that the target has been in returned."""
    target.send_bytes(b"a")
    names = []
    while (line := target.answer()) != "done":
        names.append(line)
    return names


def nothing_changes(target: Target) -> None:
    for _ in range(VISITS):
        target.falls_asleep(READ)
        with guest_in(target.pid) as arrival:
            assert arrival.host_tid == target.pid
            assert changed(target) == []


@pytest.mark.parametrize("vectors", ["ymm", "zmm"])
def test_every_register_is_as_it_was(vectors: str) -> None:
    if {"ymm": "avx", "zmm": "avx512bw"}[vectors] not in flags():
        pytest.skip(f"the processor here has no {vectors} registers")
    with running([build("registers"), vectors]) as target:
        nothing_changes(target)


@pytest.mark.parametrize("held", ["tiles", "configured"])
def test_the_tiles_of_amx_are_as_they_were(held: str) -> None:
    if "amx_tile" not in flags():
        pytest.skip("the processor here has no tiles")
    with running([build("tiles"), held], ready="") as target:
        if target.answer() != "ready":
            pytest.skip("the kernel here gives no tiles")
        nothing_changes(target)
