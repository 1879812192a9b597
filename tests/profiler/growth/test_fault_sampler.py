"""Real page faults of real programs, as the kernel samples them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.growth import fault_sampler
from memtui_profiler.growth.fault_records import STACK_BYTES, Abilities, attributes, fault_in
from memtui_profiler.growth.fault_sampler import PERIODS, FaultSampler, WeighedFault, faults_of, period_for
from tests.fixtures.growing import growing, skip_if_forbidden
from tests.fixtures.waiting import until

_RSP = 7


@contextlib.contextmanager
def sampling(pid: int, *, faults_per_s: float = 0.0) -> Iterator[FaultSampler]:
    try:
        sampler = FaultSampler(pid, faults_per_s=faults_per_s)
    except UserError as error:
        skip_if_forbidden(error.why)
        raise
    with contextlib.closing(sampler):
        yield sampler


def sampled(sampler: FaultSampler, seconds: float) -> list[WeighedFault]:
    found: list[WeighedFault] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sampler.wait(min(0.1, left))
        found += sampler.drain()
    return found


def test_every_fault_has_registers_a_stack_and_an_address() -> None:
    with growing("arena", mib_per_s=0.5) as pid, sampling(pid) as sampler:
        faults = [weighed.fault for weighed in sampled(sampler, 1.5)]
    assert len(faults) > 20
    for fault in faults:
        assert fault.pid == pid and fault.registers is not None and len(fault.registers) == 17
        assert 0 < len(fault.stack) <= STACK_BYTES
        assert fault.address < 1 << 47 and fault.registers[_RSP] < 1 << 47
        assert not fault.was_there


def test_the_weights_are_the_faults() -> None:
    with growing("arena", mib_per_s=4) as pid:
        before = faults_of(pid)
        with sampling(pid, faults_per_s=1000) as sampler:
            weight = sum(weighed.weight for weighed in sampled(sampler, 3.0))
            faults = faults_of(pid) - before
        assert sampler.period > 1
    # Less what went before the events were opened and after the rings were read.
    assert 0.7 * faults < weight < 1.2 * faults


def test_a_storm_is_sampled_ever_more_seldom() -> None:
    with growing("storm") as pid, sampling(pid) as sampler:
        sampled(sampler, 1.5)
        until(lambda: sampled(sampler, 0.1) and sampler.period > 50, "the period has grown")
        before = sampler.samples
        began = time.monotonic()
        sampled(sampler, 2.0)
        rate = (sampler.samples - before) / (time.monotonic() - began)
        assert sampler.reopened >= 1
        assert rate < 4 * fault_sampler.SAMPLES_PER_S


def test_copy_on_write_is_told_from_new_pages() -> None:
    with growing("fork", mib_per_s=0.1) as pid, sampling(pid, faults_per_s=5000) as sampler:
        found = sampled(sampler, 2.5)
        if not sampler.abilities.page_size:
            pytest.skip("the kernel does not say so here")
    assert sum(weighed.fault.was_there for weighed in found) > len(found) / 2


def test_threads_that_are_born_later_are_sampled() -> None:
    with growing("threads", mib_per_s=1) as pid, sampling(pid) as sampler:
        assert len(sampled(sampler, 2.0)) > 20


def test_of_a_process_that_has_ended_there_are_none() -> None:
    with pytest.raises(ProcessLookupError):
        FaultSampler(1 << 22)
    with contextlib.ExitStack() as stack:
        with growing("arena") as pid:
            sampler = stack.enter_context(sampling(pid))
        sampler.wait(0.1)
        sampler.drain()
        with pytest.raises(ProcessLookupError):
            sampler._reopen(1000)


def test_more_threads_than_events_are_watched_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_sampler, "MAX_EVENTS", 1)
    with growing("server") as pid, sampling(pid) as sampler:
        assert sampler.unwatched == 2


def test_periods_are_primes_that_suffice() -> None:
    assert [period_for(faults) for faults in (0, 1, 1.5, 100, 1e9)] == [1, 1, 2, 127, PERIODS[-1]]
    assert all(period % factor for period in PERIODS for factor in range(2, int(period**0.5) + 1))


def test_a_record_that_is_not_whole_is_no_fault() -> None:
    assert fault_in(b"", Abilities()) is None
    assert fault_in(b"\0" * 24 + (2).to_bytes(8, "little") + b"\0" * 20, Abilities()) is None
    assert fault_in(b"\0" * 24 + b"\0" * 8 + (1 << 40).to_bytes(8, "little"), Abilities()) is None
    assert (
        len({attributes(1, Abilities(*flags)) for flags in ((True,) * 3, (False, True, True), (True, False, True))})
        == 3
    )
