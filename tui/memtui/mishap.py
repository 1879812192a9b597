"""A mistake of memtui's own: one line for the user, the traceback in a file."""

from __future__ import annotations

import os
import sys
from types import TracebackType


def install() -> None:
    """From here on an exception that nobody caught ends memtui with one line, as every other failure does."""
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import tempfile
    import traceback

    from memtui import terminal

    try:
        descriptor, path = tempfile.mkstemp(prefix="memtui-error-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(kind, error, trace))
            file.write(f"\n{sys.version}\n{os.uname()}\n")
    except OSError as failure:
        path = f"nowhere, for the disk says {failure.strerror}"
    words = " ".join(str(error).split())[:200]
    terminal.complain(f"internal error: {kind.__name__} {words}: this is a mistake of memtui's: report it with {path}")
