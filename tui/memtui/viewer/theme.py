"""The dark and the light theme, with the variables by which widgets name colours.

``mem-*``: the bands and marks of the graph. ``flame-*``: the boxes of the icicle, muted so that a match is seen, and
``flame-text`` on them. ``bar``: the background of header and footer. ``rule``: lines and borders. ``muted``: text beside
figures. ``faint``: what does not apply now. ``key``: a key that can be pressed, ``chip`` its background in a button.
"""

from __future__ import annotations

from typing import Any

from textual.theme import Theme

# The colours of Textual's own themes, dark and light.
_BASE = {
    "primary": ("#4a9fe3", "#2272b8"),
    "secondary": ("#3fa9a0", "#22908a"),
    "accent": ("#e0a94a", "#d2932a"),
    "warning": ("#e8b44f", "#8f5f00"),
    "error": ("#e9636f", "#bb2a3f"),
    "success": ("#8fdc8a", "#23792b"),
    "foreground": ("#d9dfe6", "#1f2731"),
    "background": ("#11161d", "#f8fafb"),
    "surface": ("#151b24", "#f1f4f7"),
    "panel": ("#1b2633", "#dfe6ee"),
}
# Further variables, dark and light.
_VARIABLES = {
    "mem-in-use": ("#4a9fe3", "#2272b8"),
    "mem-kept": ("#e0a94a", "#d2932a"),
    "mem-cached": ("#b87f3c", "#a9741f"),
    "mem-metadata": ("#8a6a52", "#8f7560"),
    "mem-outside": ("#6d7483", "#9aa1ad"),
    "mem-anon": ("#3fa9a0", "#22908a"),
    "mem-file": ("#5f6f8c", "#8c9bb8"),
    "mem-ghost": ("#a9b4c2", "#5b6673"),
    "mem-limit": ("#e05c69", "#c2334a"),
    "mem-mark": ("#98e08f", "#2a8030"),
    "flame-0": ("#7fa7d6", "#9cc3ea"),
    "flame-1": ("#8fb996", "#a9d2af"),
    "flame-2": ("#c9a36b", "#e6c591"),
    "flame-3": ("#b58bbf", "#d3b3dc"),
    "flame-4": ("#6fb3b0", "#94cfcb"),
    "flame-5": ("#c58a86", "#e6b3ae"),
    "flame-6": ("#a3a96b", "#c5cb91"),
    "flame-7": ("#8f95cf", "#b3b8e6"),
    "flame-runtime": ("#3a4554", "#d5dbe3"),
    "flame-text": ("#11161d", "#0e1319"),
    "bar": ("#1b2633", "#dfe6ee"),
    "rule": ("#2d3947", "#c3ccd6"),
    "muted": ("#8b96a5", "#566272"),
    "faint": ("#566171", "#98a2ae"),
    "strong": ("#f2f5f8", "#0e1319"),
    "key": ("#9fc3e6", "#1c5f9e"),
    "chip": ("#9db2c9", "#40566e"),
    "chip-text": ("#11161d", "#ffffff"),
    "cursor": ("#22344d", "#d3e3f5"),
    "good": ("#8fdc8a", "#23792b"),
    "bad": ("#e9636f", "#bb2a3f"),
    "warn": ("#e8b44f", "#8f5f00"),
    "good-ground": ("#16241c", "#e4f2e4"),
    "bad-ground": ("#2c191e", "#fae4e7"),
    "warn-ground": ("#2a2416", "#f8efd8"),
    "calm-ground": ("#171e28", "#edf1f5"),
    "input-cursor-background": ("#e2e7ec", "#1b222b"),
    "input-cursor-foreground": ("#11161d", "#f8fafb"),
    "scrollbar": ("#2d3947", "#c3ccd6"),
    "scrollbar-hover": ("#3c4a5b", "#a9b4c2"),
    "scrollbar-active": ("#4a9fe3", "#2272b8"),
}
_LIKE_BACKGROUND = ("background", "background-hover", "background-active", "corner-color")


def _theme(name: str, *, dark: bool) -> Theme:
    column = 0 if dark else 1
    base: dict[str, Any] = {colour: pair[column] for colour, pair in _BASE.items()}
    variables = {variable: pair[column] for variable, pair in _VARIABLES.items()}
    variables |= {f"scrollbar-{part}": base["background"] for part in _LIKE_BACKGROUND}
    return Theme(name=name, dark=dark, variables=variables, **base)


DARK = _theme("memtui-dark", dark=True)
LIGHT = _theme("memtui-light", dark=False)
