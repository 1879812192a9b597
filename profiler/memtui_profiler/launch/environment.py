"""The environment memtui was started with: what the target gets, and what says which character set the terminal has."""

from __future__ import annotations

import os
from pathlib import Path


def original_environment(proc: Path = Path("/proc/self")) -> dict[str, str]:
    """Return the environment of a process as it was started, from ``proc``/environ.

    Python and Textual change their own copies of it (LC_CTYPE, NO_COLOR). Of several of one name the first counts. Where
    the file cannot be read Python's copy has to do: a target must not be launched without an environment.
    """
    try:
        entries = (proc / "environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    environment: dict[str, str] = {}
    for entry in entries:
        name, separator, value = entry.partition(b"=")
        if separator:
            environment.setdefault(os.fsdecode(name), os.fsdecode(value))
    return environment
