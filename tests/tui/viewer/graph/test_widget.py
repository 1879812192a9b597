from __future__ import annotations

import pytest
from textual.geometry import Region

from memtui.viewer.graph.axes import GUTTER
from memtui.viewer.graph.canvas import Ink
from memtui.viewer.graph.widget import GraphSlice, MemoryGraph
from tests.fixtures.graph_app import RELAUNCH_S, GraphApp

SIZE = (110, 16)


def shown(graph: MemoryGraph) -> list[str]:
    return ["".join(cell.char for cell in row) for row in graph.grid]


def painted(graph: MemoryGraph) -> list[str]:
    """What the slices really give to the screen."""
    slices = list(graph.query(GraphSlice))
    return [
        "".join(part.render_line(y).text for part in slices)[: graph.size.width].rstrip()
        for y in range(graph.size.height)
    ]


async def test_the_slices_paint_the_grid_whole() -> None:
    app = GraphApp(60.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert painted(app.graph) == [line.rstrip() for line in shown(app.graph)]
        assert any("▲now" in line for line in shown(app.graph))


async def test_only_changed_cells_are_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = GraphApp(30.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        refreshed: list[Region] = []
        original = GraphSlice.refresh

        def refresh(part: GraphSlice, *regions: Region, **how: bool) -> GraphSlice:
            refreshed.extend(regions or [Region(0, 0, 10, 16)])
            return original(part, *regions, **how)

        monkeypatch.setattr(GraphSlice, "refresh", refresh)
        app.show(30.25)
        assert 0 < sum(region.area for region in refreshed) < 20
        refreshed.clear()
        app.show(30.25)
        assert refreshed == []


async def test_zoom_pan_and_whole() -> None:
    app = GraphApp(300.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        graph = app.graph
        assert "105s [ ]" in shown(graph)[-1]
        graph.action_zoom(1)
        assert "4m [ ]" in shown(graph)[-1]
        graph.action_zoom(-1)
        graph.action_pan(-1)
        assert "PAUSED 00:00 behind · end follows" in shown(graph)[0]
        graph.action_pan(1)
        graph.action_whole_session()
        assert graph.view.held_s is None
        assert shown(graph)[-1].count("r") == 1 and "9m [ ]" in shown(graph)[-1]


async def test_pause_stands_still_and_end_follows() -> None:
    app = GraphApp(60.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        graph = app.graph
        graph.action_toggle_pause()
        before = shown(graph)
        app.show(101.0)
        assert shown(graph)[1:] == before[1:]
        assert "PAUSED 00:41 behind · end follows" in shown(graph)[0]
        graph.action_follow()
        assert "PAUSED" not in shown(graph)[0] and "▲now" in shown(graph)[-1]
        graph.action_toggle_pause()
        graph.action_toggle_pause()
        assert graph.view.held_s is None


async def test_the_crosshair_goes_from_mark_to_mark() -> None:
    app = GraphApp(150.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        graph = app.graph
        graph.action_mark(-1)
        assert graph.view.cross_s == RELAUNCH_S
        assert "relaunch: rate 1 to 7.5" in shown(graph)[0]
        graph.action_mark(-1)
        assert "a report is in" in shown(graph)[0]
        graph.action_mark(-1)
        assert graph.view.cross_s == 100.5
        graph.action_mark(1)
        assert graph.view.cross_s == RELAUNCH_S
        graph.action_crosshair(1)
        graph.action_crosshair(-1)
        assert graph.view.cross_s == pytest.approx(RELAUNCH_S, abs=1)
        graph.action_crosshair_off()
        assert "RSS" not in shown(graph)[0]


async def test_the_ghost_toggles() -> None:
    app = GraphApp(160.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()

        def haunted() -> bool:
            return any(cell.ink is Ink.GHOST for row in app.graph.grid for cell in row)

        assert haunted()
        app.graph.action_toggle_ghost()
        assert not haunted()


async def test_the_mouse_reads_and_zooms() -> None:
    app = GraphApp(60.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        graph = app.graph
        await pilot.click(offset=(GUTTER + 20, 8))
        assert graph.view.cross_s == 20.5
        await pilot.click(offset=(shown(graph)[-1].index("["), 15))
        assert "4m [ ]" in shown(graph)[-1]
        await pilot.click(offset=(shown(graph)[-1].index("]"), 15))
        assert "105s [ ]" in shown(graph)[-1]


async def test_resizing_draws_the_new_size_whole() -> None:
    app = GraphApp(60.0)
    async with app.run_test(size=SIZE) as pilot:
        for size in ((80, 9), (33, 5), (137, 24), (7, 2), (110, 16)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert [len(line) for line in shown(app.graph)] == [size[0]] * size[1]
            assert painted(app.graph) == [line.rstrip() for line in shown(app.graph)]


async def test_a_finished_session_opens_whole() -> None:
    app = GraphApp(400.0, live=False)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert "▲end" in shown(app.graph)[-1]
        assert app.graph.view.whole


async def test_the_ceiling_falls_only_when_the_window_jumps() -> None:
    app = GraphApp(129.0)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.graph.action_toggle_ghost()  # it counts too: its peak stays in sight longer than the run's
        tops = []
        for now_s in range(129, 300):
            app.show(float(now_s))
            assert app.graph.shown is not None
            tops.append((app.graph.shown.first, shown(app.graph)[0][:4]))
        # Within one window there is one scale here, as nothing rises beyond it.
        assert len({first for first, _ in tops}) == len(set(tops)) > 3
        assert tops[0][1] == " 16G" and tops[-1][1] != " 16G"
