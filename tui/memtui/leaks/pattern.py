"""Regular expressions from a user over names from a target, in a process of their own that can be ended.

Python's ``re`` neither gives up nor lets another thread run while it matches, so a pattern such as ``(a+)+$`` would freeze
the screen from any thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from memtui.leaks.filter import PatternError
from memtui.leaks.model import Cancelled, never

PATTERN_LIMIT = 200
DEADLINE_S = 3.0
_LOOK_S = 0.05

# The limits hold should this process be killed meanwhile, or a pattern ask for all the memory there is.
_PROGRAM = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
pattern, flags, strings = json.load(sys.stdin)
try:
    search = re.compile(pattern, flags).search
    answer = "".join("1" if search(s) else "0" for s in strings).join("[]")
except (re.error, OverflowError, RecursionError, MemoryError) as error:
    answer = str(error) or type(error).__name__
json.dump(answer, sys.stdout)
"""


def match_pattern(
    pattern: str,
    case_matters: bool,
    strings: Sequence[str],
    cancelled: Callable[[], bool] = never,
    deadline_s: float = DEADLINE_S,
) -> list[bool]:
    """For each string whether ``pattern`` is found in it. Raises PatternError (no pattern, too long, too slow), Cancelled."""
    import re

    if len(pattern) > PATTERN_LIMIT:
        raise PatternError(f"pattern longer than {PATTERN_LIMIT} characters")
    if not strings:
        return []
    flags = 0 if case_matters else int(re.IGNORECASE)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
    except OSError as error:
        raise PatternError(f"patterns do not work here: {error.strerror}") from error
    give_up = time.monotonic() + deadline_s
    request: str | None = json.dumps([pattern, flags, list(strings)])
    try:
        while True:
            try:
                answer, _ = process.communicate(request, timeout=_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                request = None
            if cancelled():
                raise Cancelled
            if time.monotonic() > give_up:
                raise PatternError("pattern takes too long")
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    if not answer:
        raise PatternError("pattern cannot be matched")
    found = json.loads(answer)
    if not found.startswith("["):
        raise PatternError(f"no pattern: {found}")
    return [hit == "1" for hit in found[1:-1]]
