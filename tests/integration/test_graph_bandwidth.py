from __future__ import annotations

import pytest

from tests.fixtures.graph_traffic import bytes_a_second

LIMIT = 1500


@pytest.mark.parametrize(
    ("begin_s", "seconds"),
    [(20.0, 60), (120.0, 30)],
    ids=["climbing, with two jumps", "relaunch and ghost"],
)
def test_a_moving_graph_sends_little(begin_s: float, seconds: int) -> None:
    sent = bytes_a_second(begin_s, seconds)
    # A graph that does not move sends nothing: then this would have measured nothing.
    assert 200 < sent <= LIMIT
