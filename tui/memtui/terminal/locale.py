"""What the environment says of the terminal: its character set, and whether its background is light.

Python rewrites LC_CTYPE in os.environ when it starts in the C locale, so that the environment to ask is original_environment().
"""

from __future__ import annotations

from collections.abc import Mapping

from memtui_profiler.launch.environment import original_environment


def is_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the locale is a UTF-8 one: the first of LC_ALL, LC_CTYPE, LANG that is set and not empty decides (POSIX)."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environment.get(name, ""):
            return "utf8" in value.lower().replace("-", "")
    return False


def ascii_only() -> bool:
    """Whether the terminal that memtui was started in can show ASCII alone."""
    return not is_utf8(original_environment())


def prefers_light(environment: Mapping[str, str]) -> bool:
    """Whether COLORFGBG (set by rxvt, konsole and others as ``foreground;background``) names a light background."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return background in {"7", "15"}
