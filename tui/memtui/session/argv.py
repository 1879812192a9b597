"""The command line of a target, as a session holds it."""

from __future__ import annotations

from memtui_profiler.session.stored_json import json_list


def argv_in(text: str) -> tuple[str, ...]:
    """Return the words of a JSON list; () where the text is damaged or no list."""
    return tuple(map(str, json_list(text)))
