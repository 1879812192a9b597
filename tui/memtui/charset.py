"""Which characters the terminal can show, and the glyphs that stand for one another in each character set.

Python rewrites LC_CTYPE in os.environ when it starts in the C locale, so the user's own setting is read from
/proc/self/environ, which nobody rewrites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path


def original_environment(proc: Path = Path("/proc/self")) -> dict[str, str]:
    """The environment this process was started with; empty where /proc does not tell."""
    try:
        raw = (proc / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs}


def is_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the locale is a UTF-8 one: the first of LC_ALL, LC_CTYPE, LANG that is set and not empty decides (POSIX)."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environment.get(name, ""):
            return "utf8" in value.lower().replace("-", "")
    return False


def prefers_light(environment: Mapping[str, str]) -> bool:
    """Whether COLORFGBG (set by rxvt, konsole and others as ``foreground;background``) names a light background."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return background in {"7", "15"}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One string for each mark on the screen; the ASCII twin of a glyph has the same width, but for ``ellipsis``."""

    ascii: bool
    running: str
    ended: str
    stopped: str
    waiting: str
    up: str
    down: str
    level: str
    band: str
    band_other: str
    separator: str
    middot: str
    rule: str
    corner_left: str
    corner_right: str
    bar: str
    track: str
    thumb: str
    thumb_pending: str
    arrow: str
    cursor: str
    dropdown: str
    cross: str
    tick: str
    ellipsis: str
    left_arrow: str
    right_arrow: str
    vertical: str

    def plain(self, text: str) -> str:
        """``text`` as this character set can show it: what the table knows becomes its twin, the rest of Unicode '?'."""
        if not self.ascii or text.isascii():
            return text
        return "".join(c if c.isascii() else _TWINS.get(c, "?") for c in text)


UNICODE = Glyphs(
    ascii=False,
    running="●",
    ended="○",
    stopped="■",
    waiting="◌",
    up="▲",
    down="▼",
    level="·",
    band="■",
    band_other="▦",
    separator="│",
    middot="·",
    rule="─",
    corner_left="╭",
    corner_right="╮",
    bar="━",
    track="─",
    thumb="●",
    thumb_pending="○",
    arrow="→",
    cursor="▶",
    dropdown="▾",
    cross="✗",
    tick="✓",
    ellipsis="…",
    left_arrow="←",
    right_arrow="→",
    vertical="│",
)

ASCII = Glyphs(
    ascii=True,
    running="*",
    ended="o",
    stopped="#",
    waiting="~",
    up="^",
    down="v",
    level=".",
    band="#",
    band_other="=",
    separator="|",
    middot="-",
    rule="-",
    corner_left="+",
    corner_right="+",
    bar="=",
    track="-",
    thumb="O",
    thumb_pending="o",
    arrow=">",
    cursor=">",
    dropdown="v",
    cross="x",
    tick="+",
    ellipsis="...",
    left_arrow="<",
    right_arrow=">",
    vertical="|",
)


def _twins() -> dict[str, str]:
    pairs = {getattr(UNICODE, f.name): getattr(ASCII, f.name) for f in fields(Glyphs) if f.name != "ascii"}
    return pairs | {
        "\N{THIN SPACE}": " ",
        "\N{NO-BREAK SPACE}": " ",
        "±": "+-",
        "×": "x",
        "▒": "%",
        "◇": "<",
        "◿": "/",
        "◀": "<",
        "▶": ">",
        "↑": "^",
        "↓": "v",
        "–": "-",
        "—": "-",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "⏸": "=",
        "≥": ">=",
        "≤": "<=",
        "▏": "|",
        "╯": "+",
        "╌": "-",
    }


_TWINS = _twins()


def glyphs_for(*, ascii: bool) -> Glyphs:
    return ASCII if ascii else UNICODE
