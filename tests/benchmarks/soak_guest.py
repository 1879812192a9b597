"""The full programme of the guest thread's tests, with its figures: an hour's worth of dying askers in some minutes.

Not one of `make bench`: PYTHONPATH=. .venv/bin/python tests/benchmarks/soak_guest.py [kills each step, random moments, calls]
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections import Counter
from functools import partial

from memtui_profiler.process.image import ProcessImage
from tests.fixtures.guest import TCMALLOC, arrive_in, build, die_in_a_child, server
from tests.fixtures.waiting import until
from tests.integration.test_guest_eintr import KINDS, REFUSED, VISITS, Returned, all_runs
from tests.integration.test_guest_killed import SERVERS, Steps, killed_at, lives_on, masks_at_first, one_call, steps
from tests.integration.test_guest_signals import ALL, seen, signals_sent

KILLS_EACH, RANDOM_MOMENTS, CALLS = 50, 200, 10_000


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def kills(each: int) -> int:
    """Targets that did not live on."""
    arriving, later = steps()
    names = [*in_phases(arriving), *(f"a later call: {name}" for name in later)]
    lived: Counter[tuple[str, int]] = Counter()
    for kind, (how, threads) in SERVERS.items():
        for _ in range(each):
            with contextlib.ExitStack() as stack:
                target = None
                for number in range(len(names)):
                    if target is None:
                        target = stack.enter_context(server(how, threads, preload=TCMALLOC))
                        masks = masks_at_first(target)
                    last = number if number < len(arriving) else number - len(arriving)
                    keyword = "fault" if number < len(arriving) else "later_fault"
                    try:
                        ended_by = die_in_a_child(partial(one_call, target.pid, **{keyword: Steps(last)}))
                        assert ended_by == signal.SIGKILL, names[number]
                        lives_on(target, masks)
                        lived[kind, number] += 1
                    except Exception:  # noqa: BLE001 - one that was harmed is a figure, not the end of the programme
                        traceback.print_exc()
                        target = None
    say(f"\nkilled after each step, {each} times each: how many targets lived, served and could be asked again")
    say("  ".join([f"{'':38}", *SERVERS]))
    for number, name in enumerate(names):
        say("  ".join([f"{name:38}", *(f"{lived[kind, number]:>{len(kind)}}" for kind in SERVERS)]))
    return len(SERVERS) * len(names) * each - sum(lived.values())


def in_phases(arriving: list[str]) -> list[str]:
    """Arriving visits the host, then the new thread to see where it is, then again to give it its name."""
    phases = iter(("the hijacked call", "taking the guest", "naming it"))
    phase, named = "", []
    for name in arriving:
        phase = next(phases) if name == "seize" else phase
        named.append(f"{phase}: {name}")
    return named


def random_kills(moments: int) -> int:
    lived = 0
    with server("epoll", 4, preload=TCMALLOC) as target:
        masks = masks_at_first(target)
        for moment in killed_at(moments):
            moment(target)
            lives_on(target, masks)
            lived += 1
    say(f"\nkilled at random moments: {lived} of {moments} times it lived, served and could be asked again")
    return moments - lived


def signals(calls: int) -> int:
    say(f"\nnumbered signals at 1 kHz during {calls} calls and 20 arrivals")
    wrong = 0
    for how, kind in ALL:
        with server(how, 4, kind, preload=TCMALLOC) as target:
            address = ProcessImage(target.pid).address_of("MallocExtension_GetStats")
            assert address is not None
            hosts = []
            with signals_sent(target.pid) as sent:
                until(lambda: seen(target)[0], "the first signal comes")
                for _ in range(20):
                    arrival = arrive_in(target.pid)
                    hosts.append(arrival.host_tid == target.pid)
                    for _ in range(calls // 20):
                        arrival.guest.call(address, arrival.guest.scratch, arrival.guest.scratch_bytes, timeout_s=60)
                    arrival.guest.leave()
            with contextlib.suppress(AssertionError):
                until(lambda: seen(target)[0] == sent[0], "all signals have come")
            count, out_of_order = seen(target)
            wrong += abs(sent[0] - count) + out_of_order
            interruptions = target.ask("interruptions")
            say(
                f"{how:6} SA_RESTART {'yes' if kind == 'restart' else 'no ':3}  sent {sent[0]:6}  received {count:6}"
                f"  out of order {out_of_order}  EINTR {interruptions:>6}  its thread was the host {sum(hosts)} times"
            )
    return wrong


def interrupted_calls() -> int:
    say(f"\nblocking calls, alone and with {VISITS} arrivals meanwhile: result, errno, seconds")
    wrong = 0
    runs = all_runs(build("waits"))
    for kind in KINDS:
        alone, visited = runs.alone[kind], runs.visited[kind]
        same = (alone.result, alone.error) == (visited.result, visited.error)
        wrong += not same
        note = "refused" if kind in REFUSED else "same" if same else "DIFFERS"
        say(f"{kind:20} {words(alone)}   {words(visited)}   {note}")
    return wrong


def words(returned: Returned) -> str:
    return f"{returned.result:3} {returned.error:4} {returned.took_s:6.3f}"


def main() -> int:
    each, moments, calls = [*map(int, sys.argv[1:]), *(KILLS_EACH, RANDOM_MOMENTS, CALLS)[len(sys.argv) - 1 :]]
    harmed = kills(each) + random_kills(moments) + signals(calls) + interrupted_calls()
    say(f"\nharmed: {harmed}")
    return int(harmed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
