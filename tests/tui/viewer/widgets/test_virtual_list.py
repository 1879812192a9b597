"""The list under the panes, the report picker and the leak browser: rows by the hundred thousand, of which few are drawn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot

from memtui.viewer import theme
from memtui.viewer.widgets.virtual_list import VirtualList

HEIGHT = 10


class Numbers(VirtualList):
    """Counts what is drawn, and keeps which rows were opened."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.drawn: list[int] = []
        self.moved: list[int] = []
        self.opened: list[int] = []

    @property
    def row_count(self) -> int:
        return self.rows

    @property
    def hint(self) -> str:
        return "" if self.rows else "nothing to count"

    def draw_header(self, width: int) -> Content:
        return Content("NUMBER")

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content:
        self.drawn.append(row)
        return Content(f"{'>' if on_cursor else ' '}{row}")

    def on_virtual_list_moved(self) -> None:
        self.moved.append(self.cursor)

    def action_select(self) -> None:
        self.opened.append(self.cursor)


class Log(Numbers):
    has_header = False
    has_cursor = False
    follows = True


class Events(Numbers):
    follows = True


class ListApp(App[None]):
    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        self.numbers = numbers
        self.register_theme(theme.DARK)
        self.theme = theme.DARK.name

    def compose(self) -> ComposeResult:
        yield self.numbers

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(theme.DARK.variables)

    def lines(self) -> list[str]:
        return [self.numbers.render_line(y).text.rstrip() for y in range(self.numbers.size.height)]


@asynccontextmanager
async def shown(numbers: Numbers) -> AsyncIterator[tuple[ListApp, Pilot[None]]]:
    """The list on the screen, after the layout that brings its scroll bar."""
    app = ListApp(numbers)
    async with app.run_test(size=(20, HEIGHT)) as pilot:
        await pilot.pause()
        yield app, pilot


async def test_only_rows_in_view_are_drawn() -> None:
    async with shown(Numbers(200_000)) as (app, pilot):
        await pilot.press("G")
        assert app.lines() == ["NUMBER", *(f" {row}" for row in range(199_991, 199_999)), ">199999"]
        assert set(app.numbers.drawn) <= {*range(HEIGHT), *range(199_991, 200_000)}


@pytest.mark.parametrize(
    ("keys", "cursor", "first"),
    [
        (("j",) * 9, 9, 1),
        (("pagedown",), 9, 1),
        (("ctrl+f", "ctrl+b"), 0, 0),
        (("end",), 99, 91),
        (("end", "up"), 98, 91),
        (("G", "g"), 0, 0),
        (("k",), 0, 0),
    ],
)
async def test_keys_move_the_cursor_and_keep_it_in_view(keys: tuple[str, ...], cursor: int, first: int) -> None:
    async with shown(Numbers(100)) as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        assert (app.numbers.cursor, app.numbers.scroll_offset.y) == (cursor, first)


async def test_a_click_moves_the_cursor_and_a_double_click_opens_the_row() -> None:
    async with shown(Numbers(3)) as (app, pilot):
        await pilot.click(Numbers, offset=(2, 2))
        await pilot.click(Numbers, offset=(2, 7))
        assert (app.numbers.cursor, app.numbers.moved, app.numbers.opened) == (1, [1], [])
        await pilot.click(Numbers, offset=(2, 3), times=2)
        assert (app.numbers.moved, app.numbers.opened) == ([1, 2], [2])
        await pilot.press("enter")
        assert app.numbers.opened == [2, 2]


async def test_a_log_follows_its_last_row_until_it_is_scrolled_up() -> None:
    async with shown(Log(50)) as (app, pilot):
        assert app.numbers.following
        assert app.numbers.scroll_offset.y == 40
        await pilot.press("k", "k")
        app.numbers.rows = 60
        app.numbers.renew()
        assert not app.numbers.following
        assert app.numbers.scroll_offset.y == 38
        await pilot.press("G")
        assert app.numbers.following
        assert app.numbers.scroll_offset.y == 50
        app.numbers.rows = 70
        app.numbers.renew()
        assert app.numbers.scroll_offset.y == 60


async def test_new_rows_take_the_cursor_along_only_from_the_last_row() -> None:
    async with shown(Events(5)) as (app, pilot):
        assert app.numbers.cursor == 4
        app.numbers.rows = 30
        app.numbers.renew()
        await pilot.pause()
        assert (app.numbers.cursor, app.numbers.scroll_offset.y) == (29, 21)
        await pilot.press("k")
        app.numbers.rows = 40
        app.numbers.renew()
        await pilot.pause()
        assert (app.numbers.cursor, app.numbers.scroll_offset.y) == (28, 21)


async def test_an_empty_list_says_why() -> None:
    async with shown(Numbers(0)) as (app, _):
        assert app.lines()[:3] == ["NUMBER", "   nothing to count", ""]


async def test_a_list_without_columns_draws_nothing() -> None:
    async with shown(Numbers(3)) as (app, pilot):
        app.numbers.styles.width = 0
        await pilot.pause()
        assert [app.numbers.render_line(y).text for y in range(3)] == ["", "", ""]
