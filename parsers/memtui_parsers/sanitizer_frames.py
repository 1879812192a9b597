"""One line of a stack as the sanitizers print it (sanitizer_stacktrace_printer of compiler-rt and gcc's libsanitizer).

``#1 0x55825ceeb249 in open_session(int) /srv/server.cpp:88:5`` with debug information, ``... in main (/srv/prog+0x1249)`` with
symbols alone, ``#1 0x55825ceeb249  (/srv/prog+0x1249) (BuildId: 3f1c...)`` with none. Addresses and offsets are one byte before
the return address.
"""

from __future__ import annotations

import re
from typing import NamedTuple

STEP = re.compile(r"\s{0,16}#(\d{1,6}) 0x([0-9a-f]{1,16}) +(.*)")

# Each is tried at one place only: a hostile line must not cost the square of its length.
_MODULE_END = re.compile(r"\+0x([0-9a-f]{1,16})\)(?: \(BuildId: ([0-9a-f]{1,128})\))?")
_UNKNOWN_MODULE = "(<unknown module>)"
_POSITION = re.compile(r":(\d{1,9})(?::\d{1,9})?$")
_BRACKETS_AND_ROOTS = re.compile(r"[()\[\]]| /")


class Step(NamedTuple):
    """'' and None are what the line does not say; ``offset`` is the return address's."""

    function: str = ""
    module: str = ""
    offset: int | None = None
    build_id: str = ""
    file: str = ""
    line: int | None = None


def read_step(text: str) -> Step:
    """What stands behind the address."""
    end = _MODULE_END.fullmatch(text, max(0, text.rfind("+0x")))
    start = _module_start(text[: end.start()]) if end else -1
    if end and start >= 0:
        path = text[start + 1 : end.start()]
        return Step(_function(text[:start]), module=path, offset=int(end[1], 16) + 1, build_id=end[2] or "")
    if not text.startswith("in "):
        return Step()
    if text.endswith(_UNKNOWN_MODULE):
        return Step(_function(text.removesuffix(_UNKNOWN_MODULE)))
    return _with_file(text[3:])


def _module_start(text: str) -> int:
    """Where the bracket before the module's path opens: the path, and the function before it, may have brackets, too."""
    if text.startswith("("):
        return 0
    absolute = text.find(" (/")
    return (absolute if absolute >= 0 else text.rfind(" (")) + 1 or -1


def _function(text: str) -> str:
    return text.removeprefix("in ").strip()


def _with_file(text: str) -> Step:
    """A function and a place in the source, with nothing but a space between: both may hold spaces."""
    position = _POSITION.search(text, max(0, len(text) - 24))
    place = text[: position.start()] if position else text
    line = int(position[1]) if position else None
    absolute = _absolute_path(place)
    if absolute >= 0:
        return Step(place[:absolute], file=place[absolute + 1 :], line=line)
    function, _, relative = place.rpartition(" ")
    if position and function and function.count("(") == function.count(")"):
        return Step(function, file=relative, line=line)
    return Step(text)


def _absolute_path(text: str) -> int:
    """The first space before a slash that is outside of brackets; -1 when there is none."""
    depth = 0
    for found in _BRACKETS_AND_ROOTS.finditer(text):
        if found[0] in "([":
            depth += 1
        elif found[0] in ")]":
            depth -= 1
        elif depth == 0:
            return found.start()
    return -1
