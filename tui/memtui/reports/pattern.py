"""Regular expressions of a user matched against names of a target, in a process of their own that can be killed.

Python's ``re`` neither gives up nor lets another thread run while it matches, so a pattern such as ``(a+)+$`` would freeze
the screen from any thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryFile

from memtui.reports.filter import PatternError
from memtui.reports.table import Cancelled, never

PATTERN_LIMIT = 200
DEADLINE_S = 3.0
_CHECK_EVERY_S = 0.05

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
    """Return for each string whether ``pattern`` is found in it. Raises PatternError (not valid, too long, too slow), Cancelled."""
    import re

    if len(pattern) > PATTERN_LIMIT:
        raise PatternError(f"pattern longer than {PATTERN_LIMIT} characters")
    if not strings:
        return []
    flags = 0 if case_matters else int(re.IGNORECASE)
    try:
        # Not a pipe: of input that is not written by a timeout, Python 3.11's communicate() forgets the rest.
        with TemporaryFile("w+", encoding="utf-8") as request:
            json.dump([pattern, flags, list(strings)], request)
            request.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
    except OSError as error:
        raise PatternError(f"patterns do not work here: {error.strerror}") from error
    deadline = time.monotonic() + deadline_s
    try:
        while True:
            try:
                answer, _ = process.communicate(timeout=_CHECK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                pass
            if cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                raise PatternError("pattern takes too long")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if not answer:
        raise PatternError("pattern cannot be matched")
    hits = json.loads(answer)
    if not hits.startswith("["):
        raise PatternError(f"no pattern: {hits}")
    return [hit == "1" for hit in hits[1:-1]]
