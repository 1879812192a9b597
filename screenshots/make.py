"""Draws the pictures that README shows: the real application, driven over recorded sessions, with a clock that stands still.

Usage: ``python screenshots/make.py [FOLDER]`` writes the SVG files into FOLDER, by default beside this script.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("tui", "parsers", "profiler")] + [str(ROOT)]
os.environ.pop("NO_COLOR", None)
REPORTS = ROOT / "tests" / "fixtures" / "reports"

from memtui.commands.demo import RECORDING  # noqa: E402
from memtui.commands.report_session import write_report_session  # noqa: E402
from memtui.viewer.app import MemtuiApp  # noqa: E402 - the source roots come first
from memtui.viewer.leaks.pane import LeakPane  # noqa: E402
from memtui.viewer.widgets.tab_bar import TabBar  # noqa: E402
from memtui_profiler.session.writer import DATABASE, SessionWriter  # noqa: E402
from tests.fixtures.screens import Notebook, eventually, viewer  # noqa: E402
from tests.fixtures.sessions import other_checkers, storyboard  # noqa: E402
from tests.fixtures.several_reports import many_snapshots  # noqa: E402


@dataclass(frozen=True, slots=True)
class Picture:
    """``keys`` are pressed once everything is on the screen. ``live``: over a session that is still recorded.

    ``demo``: over the recording of the bundled server that the wheel carries. ``report``: over this file of another tool's.
    ``snapshots``: over a session with a hundred of them.
    """

    name: str
    size: tuple[int, int] = (120, 40)
    keys: tuple[str, ...] = ()
    live: bool = True
    ascii: bool = False
    light: bool = False
    demo: bool = False
    report: str = ""
    snapshots: bool = False


PICTURES = (
    Picture("demo", keys=("0",), live=False, demo=True),
    Picture("leaks", keys=("0",)),
    Picture("heap", keys=("0", "2"), live=False, demo=True),
    Picture("compare", keys=("0", "1", "d", "enter"), live=False, demo=True),
    Picture("callers", keys=("0", "1", "v", "enter"), live=False, demo=True),
    Picture("callees", keys=("0", "1", "v", "v", "asterisk"), live=False, demo=True),
    Picture("groups", keys=("0", "1", "b"), live=False, demo=True),
    Picture("icicle", keys=("0", "1", "v", "v", "v"), live=False, demo=True),
    Picture("errors", keys=("k", "enter"), live=False, report="memcheck-faults.xml"),
    Picture("timeline", keys=("0", "1", "d", "j", "j", "space", "j", "j"), live=False, snapshots=True),
    Picture("relaunch", keys=("0", "minus", "minus", "m", "3", "enter")),
    Picture("check-picker", keys=("0", "m", "d")),
    Picture("memcheck", keys=("0", "m", "8")),
    Picture("profile", keys=("0", "m", "0")),
    Picture("why", keys=("0", "w")),
    Picture("runs", keys=("5",), live=False),
    Picture("small", size=(80, 24), keys=("0",)),
    Picture("ascii", size=(80, 24), live=False, ascii=True),
    Picture("light", live=False, light=True),
)


async def draw(picture: Picture, folder: Path) -> str:
    """The picture as SVG text."""
    notebook = Notebook() if picture.live else None
    app: MemtuiApp = viewer(folder, notebook, ascii=picture.ascii, light=picture.light)
    async with app.run_test(size=picture.size) as pilot:

        def ready() -> bool:
            panes = list(app.query(LeakPane))
            named = any(word in line.sentence for line in app.verdicts for word in ("open_session", "server.cpp"))
            shown = bool(panes) and panes[0].arrangement is not None and app.focused is not None
            return shown and (named or bool(picture.report))

        await eventually(pilot, ready, "the first screen")
        await pilot.pause()
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause()

        def captioned() -> bool:
            caption = app.main.panes.caption.split(" · ")[0]
            return not app.query_one(LeakPane).busy and caption in app.main.query_one(TabBar).render().plain

        await eventually(pilot, captioned, "what was asked for, and the tab bar says so")
        await pilot.pause()
        return app.export_screenshot(title="memtui")


def main() -> int:
    target = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parent
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        live, finished = storyboard(Path("live")), storyboard(Path("finished"), finished=True)
        writer = SessionWriter(live)
        writer.add_all(other_checkers(2))
        writer.close()
        demo = Path("demo")
        demo.mkdir()
        shutil.copyfile(RECORDING, demo / DATABASE)
        for picture in PICTURES:
            folder = demo if picture.demo else live if picture.live else finished
            if picture.snapshots:
                folder = many_snapshots(Path("snapshots"))
            if picture.report:
                folder = Path(picture.report).with_suffix("")
                folder.mkdir()
                write_report_session(folder, REPORTS / picture.report)
            svg = asyncio.run(draw(picture, folder))
            (target / f"{picture.name}.svg").write_text(svg, encoding="utf-8")
            sys.stdout.write(f"{target / picture.name}.svg\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
