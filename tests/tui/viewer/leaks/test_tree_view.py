"""The mouse on the trees: a click on the node under the cursor opens it, a double click opens any node."""

from __future__ import annotations

import pytest

from memtui.viewer.leaks.tree_view import TreeView
from tests.tui.viewer.leaks.test_pane import WIDE, app_of, press, settled


@pytest.mark.parametrize("under_cursor", [True, False])
@pytest.mark.parametrize("clicks", [1, 2])
async def test_clicks_open_a_node_once(clicks: int, under_cursor: bool) -> None:
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await settled(app, pilot)
        await press(app, pilot, "v")
        view = app.query_one(TreeView)
        assert view.rows is not None
        nodes = [node for node in view.rows.rows if not view.rows.tree.ends(node)]
        node = nodes[1]
        row = view.rows.rows.index(node)
        if under_cursor:
            view.go(row)
        await pilot.click(TreeView, offset=(12, row + 1), times=clicks)
        await settled(app, pilot)
        assert view.node is node
        assert view.rows.is_open(node) == (under_cursor or clicks == 2)
