"""The checkers: each a module with the duties that base.py names. Loaded when a mode of theirs is wanted: starts are short."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from memtui_profiler.request import CHECK_MODES, HEAPCHECK_MODES, LSAN, MEMCHECK, PROFILE

if TYPE_CHECKING:
    from memtui_profiler.checkers.base import Checker, ModeHelp

_MODULES = {
    **dict.fromkeys(HEAPCHECK_MODES, "heapcheck"),
    MEMCHECK: "memcheck",
    LSAN: "lsan",
    PROFILE: "heapprofile",
}
assert _MODULES.keys() == set(CHECK_MODES)


def checker_of(mode: str) -> Checker:
    """The module of a mode other than off. Raises KeyError for what is no mode."""
    return cast("Checker", import_module(f"memtui_profiler.checkers.{_MODULES[mode]}"))


def all_modes() -> tuple[ModeHelp, ...]:
    """Off first, then every mode in the order of the picker."""
    modules = dict.fromkeys(_MODULES.values())
    return tuple(mode for name in modules for mode in import_module(f"memtui_profiler.checkers.{name}").MODES)
