"""Texts that SQLite cannot store as they are."""

from __future__ import annotations

import sqlite3

import pytest

from memtui_profiler.session.writer import storable


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("Größe \N{HOT BEVERAGE}", "Größe \N{HOT BEVERAGE}"),
        ("/srv/\udcff\udcfe", "/srv/\\xff\\xfe"),
        ("half \ud83d of a character", "half \\ud83d of a character"),
        ("\ud800 and \udcff", "\\ud800 and \\udcff"),
    ],
)
def test_every_text_can_be_stored(text: str, stored: str) -> None:
    assert storable(text) == stored
    db = sqlite3.connect(":memory:")
    assert db.execute("SELECT ?", (storable(text),)).fetchone() == (stored,)
    db.close()
