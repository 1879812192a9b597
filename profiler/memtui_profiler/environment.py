"""The environment memtui was started with: what the target gets, and what says which character set the terminal has."""

from __future__ import annotations

import os
from pathlib import Path


def original_environment() -> dict[str, str]:
    """As in /proc/self/environ; Python and Textual change their own copies (LC_CTYPE, NO_COLOR). First of a name wins."""
    environment: dict[str, str] = {}
    for entry in Path("/proc/self/environ").read_bytes().split(b"\0"):
        name, separator, value = entry.partition(b"=")
        if separator:
            environment.setdefault(os.fsdecode(name), os.fsdecode(value))
    return environment
