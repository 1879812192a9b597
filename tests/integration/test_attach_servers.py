"""Attached to servers that people run, with tcmalloc or an allocator of their own, under load: the figures are the servers' own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memtui_profiler.session.rows import GuestRow
from tests.fixtures.attached import attached, figures_of_now, newest_figures, thread_names
from tests.fixtures.servers import memcached, python_pool, redis, under_load

MIB = 1 << 20


def test_redis_holds_what_it_says(tmp_path: Path) -> None:
    with redis(tmp_path) as server, attached(tmp_path, server.pid) as live:
        server.store(0, 100_000, 1000)
        with under_load(server.touch):
            sample = figures_of_now(live)
        assert sample.allocator == "jemalloc"
        assert server.used_memory_bytes() > 100 * MIB
        assert sample.in_use_bytes == pytest.approx(server.used_memory_bytes(), rel=0.05)
        # Nearly all that is resident is in use, kept or small change outside: the parts are of one process.
        resident = live.samples()[-1].rss_bytes
        assert sample.in_use_bytes < resident < sample.in_use_bytes + 40 * MIB


def test_memcached_grows_by_what_is_stored(tmp_path: Path) -> None:
    with memcached(tmp_path) as server, attached(tmp_path, server.pid) as live:
        # An item takes a chunk of its class: the values are made to fill theirs, so that what is stored is what is held.
        server.store(0, 1, 4000)
        (chunk_bytes,) = [
            int(value) for name, value in server.figures(b"slabs").items() if name.endswith(b":chunk_size")
        ]
        size_bytes = 4000 + chunk_bytes - int(server.figures()[b"bytes"])
        before = figures_of_now(live)
        count = 25_000
        server.store(1, count, size_bytes)
        with under_load(server.touch):
            after = figures_of_now(live)
        assert int(server.figures()[b"curr_items"]) == count + 1, "none was thrown out"
        assert after.in_use_bytes - before.in_use_bytes == pytest.approx(count * size_bytes, rel=0.10)


def test_a_pool_of_python_threads_by_tcmallocs_own_property(tmp_path: Path) -> None:
    with python_pool(tmp_path) as server, attached(tmp_path, server.pid) as live:
        seen = []
        for hold in ("hold 50", "hold 100"):
            server.ask(hold)
            first = int(server.ask("allocated"))
            sample = figures_of_now(live)
            second = int(server.ask("allocated"))
            assert 0.99 * min(first, second) <= sample.in_use_bytes <= 1.01 * max(first, second)
            seen.append(sample.in_use_bytes)
        assert seen[0] > 50 * MIB and seen[1] - seen[0] == pytest.approx(100 * MIB, rel=0.02)
        assert [row.state for row in live.reader.rows(GuestRow)] == ["ready"], "the pool never let up, and was asked"


def descriptors(pid: int) -> list[str]:
    return sorted(os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd"))


def test_leaving_leaves_nothing_behind(tmp_path: Path) -> None:
    with python_pool(tmp_path) as server:
        preload = server.ask("environment LD_PRELOAD")
        threads, files = thread_names(server.pid), descriptors(server.pid)
        assert preload.endswith("libtcmalloc.so.4")
        here = set(os.listdir("/tmp"))
        with attached(tmp_path, server.pid) as live:
            newest_figures(live)
            assert thread_names(server.pid) == sorted([*threads, "memtui"])
            assert live.ask("snapshot", deadline_s=60.0).result["started"]
            assert server.ask("profiling") == "1"
            server.ask("hold 5")
            assert live.ask("snapshot", deadline_s=60.0).ok
            folder = live.folder
        assert thread_names(server.pid) == threads
        assert server.ask("profiling") == "0"
        assert (server.ask("environment LD_PRELOAD"), descriptors(server.pid)) == (preload, files)
        left = [path.name for path in (folder / "runs" / "1").iterdir() if path.name.startswith("heap")]
        assert not left, "what the process wrote for us was fetched"
        assert not [name for name in set(os.listdir("/tmp")) - here if name.startswith("memtui-") and "heap" in name]
        # Twice is as good as once, and costs no second stack.
        with attached(tmp_path, server.pid) as live:
            newest_figures(live)
        assert thread_names(server.pid) == threads
