"""Stacks of real threads, as their own programs know them."""

from __future__ import annotations

import contextlib
import os
import time

import pytest

from memtui_parsers.procfs.maps import MappingIndex
from memtui_profiler.growth.call_frames import RBP, RETURN, RSP
from memtui_profiler.growth.fault_records import Fault
from memtui_profiler.growth.residency import mappings_of
from memtui_profiler.growth.stack_walk import MAX_FRAMES, StackWalk
from tests.fixtures.growing import growing
from tests.profiler.growth.test_fault_sampler import sampled, sampling


def faults_of_program(pid: int) -> list[Fault]:
    with sampling(pid) as sampler:
        return [weighed.fault for weighed in sampled(sampler, 1.5)]


@pytest.mark.parametrize(
    ("kind", "preload"), [("server", ""), ("server", "libtcmalloc.so.4"), ("server", "libjemalloc.so.2"), ("map", "")]
)
def test_every_stack_is_whole_and_runs_in_code(kind: str, preload: str) -> None:
    with growing(kind, preload=preload) as pid:
        walk = StackWalk(pid)
        faults = faults_of_program(pid)
        index = MappingIndex(mapping for mapping in mappings_of(pid)[0] if "x" in mapping.permissions)
        stacks = [walk.unwind(fault.registers or (), fault.stack) for fault in faults]
    assert len(stacks) > 20
    assert sum(stack.is_whole for stack in stacks) >= 0.99 * len(stacks)
    for stack in stacks:
        assert 2 < len(stack.addresses) < MAX_FRAMES
        assert all(index.find(address) for address in stack.addresses)
        paths = [mapping.path.rpartition("/")[2] for address in stack.addresses if (mapping := index.find(address))]
        assert "growing" in paths and paths[-1] in ("libc.so.6", "growing")


def test_frames_that_were_met_before_are_fast() -> None:
    with growing("map") as pid:
        walk = StackWalk(pid)
        faults = [fault for fault in faults_of_program(pid) if fault.registers]
        for fault in faults:
            walk.unwind(fault.registers or (), fault.stack)
        began = time.process_time()
        for fault in faults:
            walk.unwind(fault.registers or (), fault.stack)
        each_s = (time.process_time() - began) / len(faults)
    assert each_s < 0.002


def test_a_stack_that_leads_nowhere_ends() -> None:
    walk = StackWalk(os.getpid())
    registers = [0] * 17
    registers[RSP], registers[RBP], registers[RETURN] = 0x7FFF_0000_0000, 0x7FFF_0000_0100, 0x1234
    assert walk.unwind(registers, b"").addresses == (0x1234,)
    assert not walk.unwind(registers, os.urandom(4096)).is_whole
    # Frame pointers that lead in a circle, in code of which nothing is known.
    code = next(mapping for mapping in mappings_of(os.getpid())[0] if "x" in mapping.permissions)
    registers[RETURN] = code.start + 0x1000
    for frame_pointer in (registers[RSP], registers[RSP] + 8, 1, (1 << 64) - 8):
        words = b"".join(word.to_bytes(8, "little") for word in (frame_pointer, code.start + 0x1000) * 1000)
        assert len(walk.unwind(registers, words).addresses) <= MAX_FRAMES


def test_of_a_process_that_is_gone_there_is_one_address() -> None:
    walk = StackWalk(1 << 22)
    with contextlib.suppress(ProcessLookupError):
        walk.refresh()
    registers = [0] * 17
    registers[RETURN] = 0x401000
    assert walk.unwind(registers, b"").addresses == (0x401000,)
