"""`memtui demo` in a pipe: lines, then a report that names the lines that leak."""

from __future__ import annotations

from pathlib import Path

from memtui.demo.build import SOURCE
from tests.fixtures.command_line import run_memtui


def planted_lines() -> list[int]:
    return [n for n, line in enumerate(SOURCE.read_text().splitlines(), start=1) if "// planted leak" in line]


def test_the_demo_names_its_leaking_lines(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["demo", "--for", "5"], timeout_s=100)
    assert result.returncode == 0, result.stderr
    lines, _, report = result.stdout.partition("\n\n")
    assert sum(" rss " in line for line in lines.splitlines()) >= 4
    assert planted_lines()
    for number in planted_lines():
        assert f"rpc_server.cpp:{number}" in report
