"""What the terminal around memtui can do: a screen, or lines only; and text written to it, made safe."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """False for a stream that is missing (closed by the parent) or closed since."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def has_screen() -> bool:
    """A screen needs all three streams on terminals (Textual draws on stderr) and a terminal that moves its cursor."""
    return os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown") and all(
        is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)
    )


def raw_stderr() -> tuple[BinaryIO | None, bool]:
    """stderr for bytes (None when there is none), and whether it is a terminal."""
    return getattr(sys.stderr, "buffer", None), is_terminal(sys.stderr)


def error_line(text: str) -> str:
    """``memtui: what: why: what to do`` as one line that no path or symbol in it can break or colour."""
    from memtui_parsers.clean_text import clean

    return f"memtui: {clean(text)}\n"


def complain(text: str) -> None:
    """Write an error or a warning to stderr; a stderr that is gone is nobody's loss."""
    try:
        sys.stderr.write(error_line(text))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable whatever the parent left of them.

    A closed one becomes /dev/null: else the next file that is opened (a session's database) would take its number. In a
    locale that lacks a character it is printed as ``?``.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 - for the life of the process
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def give_up_stdout() -> None:
    """Whoever read us has had enough; without this Python complains once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
