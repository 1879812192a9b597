"""Stacks that are not a thread's own, or not all of what is mapped there, are never written to."""

from __future__ import annotations

import pytest

from tests.fixtures.guest import Target, build, guest_in, refusal_of, running

READ = 0
TURNS = 20
# Bound at once: the dynamic linker, called for a function's first use, takes more of a stack than these have.
NOW = "-Wl,-z,now"


def goes_on(target: Target) -> None:
    """Each fiber has its turn twice and finds every stack untouched."""
    for _ in range(TURNS):
        assert target.ask("next") == "fine"


@pytest.mark.parametrize("where", ["heap", "mapping", "thread mapping"])
def test_a_thread_on_a_fiber_is_no_host(where: str) -> None:
    with running([build("fibers", NOW), where]) as target:
        goes_on(target)
        assert "no thread of it slept where it is safe" in refusal_of(target.pid).why
        goes_on(target)


@pytest.mark.parametrize("where", ["array", "thread array", "table"])
def test_what_lies_on_a_threads_own_stack_is_unharmed(where: str) -> None:
    """Fibers in an array of it, far above what the call takes; and a table below a stack that ends before its mapping does."""
    with running([build("fibers", NOW), where]) as target:
        for _ in range(5):
            with guest_in(target.pid) as arrival:
                assert arrival.host_tid != 0
                goes_on(target)
            goes_on(target)
