"""A cache that cannot be used, or must not be trusted, is an empty one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memtui_profiler.symbols.symbol_cache import CallsAt, SymbolCache

BUILD_ID = "ab" * 20
FILE = bytes(range(80))
KNOWN: CallsAt = {16: (("f(int)", "_Z1fi", "/srv/a.cpp", 7, 0),), 32: ()}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    SymbolCache(tmp_path).store(BUILD_ID, "own", FILE, KNOWN)
    (path,) = tmp_path.iterdir()
    return path


def test_what_is_stored_comes_back_and_is_added_to(stored: Path) -> None:
    cache = SymbolCache(stored.parent)
    assert cache.load(BUILD_ID, "own", FILE) == KNOWN
    cache.store(BUILD_ID, "own", FILE, {48: ()})
    assert cache.load(BUILD_ID, "own", FILE) == {**KNOWN, 48: ()}
    assert cache.load(BUILD_ID, "debug", FILE) == {} and cache.load("../" + BUILD_ID, "own", FILE) == {}


def test_a_file_with_any_bit_wrong_is_as_if_it_were_not_there(stored: Path) -> None:
    whole = stored.read_bytes()
    for at in range(len(whole)):
        stored.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert SymbolCache(stored.parent).load(BUILD_ID, "own", FILE) == {}, at
        stored.write_bytes(whole[:at])
        assert SymbolCache(stored.parent).load(BUILD_ID, "own", FILE) == {}, at


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [_folder, _link, _pipe, lambda path: path.chmod(0o622)])
def test_what_is_no_file_of_the_users_own_is_not_read(stored: Path, spoil: Callable[[Path], object]) -> None:
    spoil(stored)
    assert SymbolCache(stored.parent).load(BUILD_ID, "own", FILE) == {}
    SymbolCache(stored.parent).store(BUILD_ID, "own", FILE, KNOWN)


def test_the_least_lately_used_go_first(stored: Path) -> None:
    other = "cd" * 20
    os.utime(stored, (1, 1))
    SymbolCache(stored.parent, max_total_bytes=stored.stat().st_size + 10).store(other, "own", FILE, KNOWN)
    assert [path.name for path in stored.parent.iterdir()] == [f"{other}.own"]
