"""The standard streams: whether they are a terminal with a screen, and safe lines to them, also of a crash."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal; False for a stream that is missing (closed by the parent) or has been closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def has_screen() -> bool:
    """Whether all three streams are terminals (Textual draws on stderr), and the terminal can move its cursor."""
    return os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown") and all(
        is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)
    )


def complain(text: str) -> None:
    """Write ``memtui: what: why: what to do`` to stderr as one line; nothing happens where stderr is closed.

    Control characters of a path or a symbol in it are replaced.
    """
    from memtui_parsers.clean_text import clean

    try:
        sys.stderr.write(f"memtui: {clean(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def report_crashes() -> None:
    """Have an exception that nothing catches end memtui with one line on stderr; a file has its traceback."""
    sys.excepthook = _report_crash


def _report_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import tempfile
    import traceback

    try:
        descriptor, path = tempfile.mkstemp(prefix="memtui-error-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(kind, error, trace))
            file.write(f"\n{sys.version}\n{os.uname()}\n")
    except OSError as failure:
        path = f"nowhere, for the disk says {failure.strerror}"
    message = " ".join(str(error).split())[:200]
    complain(f"internal error: {kind.__name__} {message}: this is a mistake of memtui's: report it with {path}")


def tell(lines: Iterable[str]) -> None:
    """Write lines that are no result to stderr."""
    for line in lines:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Write the lines to stdout. Raises OSError when it is gone."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable whatever the parent left of them.

    A closed one becomes /dev/null: else the next file that is opened (a session's database) would get its number. A
    character that the locale lacks is printed as ``?``.
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
    """Replace stdout, which its reader has closed, by /dev/null: else Python reports the closed pipe again at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
