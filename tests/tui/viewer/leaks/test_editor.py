"""The editor, the clipboard and the suppression file, as the whole application does them; and where sources are here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.widgets import Input

from memtui.options.parse import Attach, Launch, Open, Resume, parse
from memtui.options.values import parse_source_map
from memtui.viewer.dialogs.suppress_input import SuppressInput
from memtui.viewer.leaks.editor import _run, editor_command
from memtui.viewer.leaks.pane import LeakPane
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.widgets.tab_bar import TabBar
from memtui_profiler.errors import UserError
from tests.fixtures.screens import Notebook, eventually, viewer
from tests.fixtures.sessions import storyboard


def there(name: str) -> str | None:
    return name if "/" in name else f"/usr/bin/{name}"


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"VISUAL": "vim", "EDITOR": "nano"}, ["/usr/bin/vim", "+88", "/s/a.cpp"]),
        ({"EDITOR": "emacs -nw"}, ["/usr/bin/emacs", "-nw", "+88", "/s/a.cpp"]),
        ({"EDITOR": "/opt/bin/code --wait"}, ["/opt/bin/code", "--wait", "-g", "/s/a.cpp:88"]),
        ({"EDITOR": "hx"}, ["/usr/bin/hx", "/s/a.cpp:88"]),
        ({"VISUAL": "", "EDITOR": ""}, ["/usr/bin/editor", "+88", "/s/a.cpp"]),
    ],
)
def test_how_an_editor_is_called(environment: dict[str, str], command: list[str]) -> None:
    assert editor_command(environment, "/s/a.cpp", 88, there) == command


def test_no_editor_is_an_answer() -> None:
    assert editor_command({"EDITOR": "vim"}, "/a", 1, lambda _: None) is None
    assert editor_command({}, "/a", 1, lambda _: None) is None
    with pytest.raises(ValueError, match="quot"):
        editor_command({"EDITOR": "vim 'x"}, "/a", 1, there)


def test_an_editor_is_run_to_its_end_and_its_failure_told(tmp_path: Path) -> None:
    done = tmp_path / "done"
    assert _run([sys.executable, "-c", f"open({str(done)!r}, 'w')"]) == "" and done.exists()
    assert _run([sys.executable, "-c", "raise SystemExit(3)"]) == "ended with exit code 3"
    assert "No such file" in _run([str(tmp_path / "none")])


def test_sources_that_have_moved(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.cpp").write_text("one\ntwo\n")
    sources = Sources(moved=[("/build/x", str(tmp_path)), ("/build", "/elsewhere")])
    assert sources.line("/build/x/src/a.cpp", 2) == "two"
    assert sources.local_path("/build/y.cpp") == "/elsewhere/y.cpp"
    assert sources.local_path("/build/xy.cpp") == "/elsewhere/xy.cpp"
    assert sources.local_path("/builder/y.cpp") == "/builder/y.cpp"
    assert sources.around("/build/gone.cpp", 1).missing == "no source: /elsewhere/gone.cpp: No such file or directory"


def test_the_options_that_say_where_sources_are(tmp_path: Path) -> None:
    home = str(tmp_path)
    expected = (("/build", home), ("rel", home))
    words = ["--source-map", f"/build/={home}", "--source-map", f"rel={home}"]
    for command, kind in (([], Launch), (["attach"], Attach), (["open"], Open), (["resume"], Resume)):
        parsed, _ = parse([*command, *words, "7"], "0")
        assert isinstance(parsed, kind) and parsed.source_map == expected
    for wrong in ("nothing", "=x", "/a=", "/=x"):
        with pytest.raises(UserError, match="OLD=NEW"):
            parse_source_map(wrong)


async def test_the_keys_of_the_leak_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = viewer(storyboard(tmp_path / "recorded"), Notebook())
    async with app.run_test(size=(120, 40)) as pilot:

        def shown() -> int:
            pane = next(iter(app.main.query(LeakPane)), None)
            arrangement = None if pane is None else pane.arrangement
            return 0 if arrangement is None else len(arrangement)

        await eventually(pilot, lambda: shown() == 5, "the leaks")
        await pilot.press("1", "y")
        await eventually(pilot, lambda: app.verdicts[0].word == "COPIED", "the notice")
        assert app.clipboard.splitlines()[1].strip().startswith("open_session(Conn&)")
        await pilot.press("e")
        await eventually(
            pilot, lambda: "no source here: /srv/relay/server.cpp" in app.verdicts[0].sentence, "a refusal"
        )
        await pilot.press("S")
        await eventually(pilot, lambda: isinstance(app.screen, SuppressInput), "the question")
        assert app.screen.query_one(Input).value == str(tmp_path / "memtui.supp")
        await pilot.press("enter")
        await eventually(pilot, lambda: app.verdicts[0].word == "SUPPRESSED", "the notice")
        assert "leak:open_session(Conn&)" in app.verdicts[0].sentence
        await eventually(pilot, lambda: shown() == 4, "the leak is gone")
        await eventually(pilot, lambda: "1 Leaks 4" in app.main.query_one(TabBar).render().plain, "nor is it counted")
    assert (tmp_path / "memtui.supp").read_text().endswith("leak:open_session(Conn&)\n")


async def test_suppressions_hold_from_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "all.supp"
    rules.write_text("leak:*\n")
    app = viewer(storyboard(tmp_path / "recorded", finished=True), suppressions=(str(rules),))
    async with app.run_test(size=(80, 24)) as pilot:
        await eventually(
            pilot, lambda: app.main.query(LeakPane) and app.main.query_one(LeakPane).has_class("-empty"), "no leaks"
        )
        said = str(app.main.query_one("#leak-empty").render())
        await eventually(
            pilot, lambda: "Suppressed: 5 records" in str(app.main.query_one("#leak-empty").render()), said
        )
