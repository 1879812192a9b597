"""JSON in a session's cells, which may be damaged or made to harm: what is none is empty."""

from __future__ import annotations

import json
from typing import Any


def json_list(text: str) -> list[Any]:
    """Return the list in ``text``; [] where there is none."""
    value = _value(text)
    return value if isinstance(value, list) else []


def json_object(text: str) -> dict[str, Any]:
    """Return the object in ``text``; {} where there is none."""
    value = _value(text)
    return value if isinstance(value, dict) else {}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
