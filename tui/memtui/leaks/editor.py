"""How a source line is opened in the user's editor. Pure; who runs the command has the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

# Editors that take FILE:LINE, and the option that makes them do so. All others take +LINE FILE, as vi does.
_COLON = {
    "code": ("-g",),
    "code-insiders": ("-g",),
    "codium": ("-g",),
    "cursor": ("-g",),
    "subl": (),
    "zed": (),
    "hx": (),
    "helix": (),
}
# Where the user names none.
_FALLBACKS = ("editor", "nano", "vi")


def editor_command(
    environment: Mapping[str, str], file: str, line: int, which: Callable[[str], str | None]
) -> list[str] | None:
    """The words to run; None where there is no editor. ``which`` finds a program. Raises ValueError for an open quote.

    ``file`` is absolute, so that no editor takes it for an option.
    """
    wanted = environment.get("VISUAL") or environment.get("EDITOR") or ""
    words = shlex.split(wanted) or [next((name for name in _FALLBACKS if which(name)), "")]
    if not words[0] or which(words[0]) is None:
        return None
    name = words[0].rpartition("/")[2]
    if name in _COLON:
        return [*words, *(option for option in _COLON[name] if option not in words), f"{file}:{line}"]
    return [*words, f"+{line}", file]
