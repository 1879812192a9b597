from __future__ import annotations

import pytest

from tests.fixtures.graph_traffic import bytes_a_second

LIMIT = 2000  # 700 to 1,300 on an idle machine; a busy one draws late, and more at once


@pytest.mark.parametrize(
    ("begin_s", "seconds", "split"),
    [(20.0, 60, False), (120.0, 30, False), (20.0, 60, True), (120.0, 30, True)],
    ids=["climbing, with two jumps", "relaunch and ghost", "the allocator's bands climbing", "its bands and a release"],
)
def test_a_moving_graph_sends_little(begin_s: float, seconds: int, split: bool) -> None:
    sent = bytes_a_second(begin_s, seconds, split=split)
    # A graph that does not move sends nothing: then this would have measured nothing.
    assert 200 < sent <= LIMIT
