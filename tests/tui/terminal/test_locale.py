"""The environment decides the character set and the background."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memtui.terminal.locale import is_utf8, prefers_light
from memtui_profiler.launch.environment import original_environment


@pytest.mark.parametrize(
    ("environment", "utf8"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "en_US.utf8"}, True),
        ({"LANG": "C"}, False),
        ({}, False),
        ({"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, False),
        ({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, True),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, True),
    ],
)
def test_the_locale_decides_the_characters(environment: dict[str, str], utf8: bool) -> None:
    assert is_utf8(environment) is utf8


def test_the_environment_is_the_one_the_process_was_started_with(tmp_path: Path) -> None:
    (tmp_path / "environ").write_bytes(b"LANG=C\0LC_CTYPE=C.UTF-8\0BROKEN\0EMPTY=\0")
    assert original_environment(tmp_path) == {"LANG": "C", "LC_CTYPE": "C.UTF-8", "EMPTY": ""}
    assert original_environment(tmp_path / "nowhere") == dict(os.environ)


def test_a_light_background_is_told_by_colorfgbg() -> None:
    assert prefers_light({"COLORFGBG": "0;15"})
    assert prefers_light({"COLORFGBG": "0;default;7"})
    assert not prefers_light({"COLORFGBG": "15;0"})
    assert not prefers_light({})
