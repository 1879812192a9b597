"""What the graph costs: bytes to the terminal, CPU for a frame, and reading a session of a day into a series."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from memtui.viewer.graph.cells import cells, scene_of
from memtui.viewer.graph.window import View
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Sample
from memtui_profiler.session.series import Series
from memtui_profiler.session.writer import DATABASE, SessionWriter
from tests.fixtures.graph_app import GIB, add_samples, rss_bytes, state_at
from tests.fixtures.graph_traffic import bytes_a_second

DAY_OF_SAMPLES = 864_000
FRAMES = 200


def main() -> None:
    out = sys.stdout.write
    for name, begin_s, seconds in (("climb", 20.0, 75), ("plateau", 60.0, 40), ("relaunch, ghost", 120.0, 30)):
        out(f"110x16, 4 Hz, {name}: {bytes_a_second(begin_s, seconds):.0f} bytes/s\n")

    series = Series()
    add_samples(series, 300.0)
    state = state_at(series, 300.0)
    begin = time.process_time()
    for _ in range(FRAMES):
        cells(scene_of(state, View(level=3), 110), 16 * GIB, 110, 16)
    out(f"one frame of 110x16: {(time.process_time() - begin) / FRAMES * 1000:.1f} ms\n")

    with tempfile.TemporaryDirectory() as folder:
        writer = SessionWriter(Path(folder))
        writer.add_all(
            Sample(at_s=n / 10, run=1, rss_bytes=rss_bytes(n / 10 % 300), shared_bytes=GIB // 4)
            for n in range(DAY_OF_SAMPLES)
        )
        writer.close()
        reader = SessionReader(Path(folder) / DATABASE)
        begin = time.process_time()
        Series.load(reader)
        out(f"loading {DAY_OF_SAMPLES} samples: {time.process_time() - begin:.2f} s\n")


if __name__ == "__main__":
    main()
