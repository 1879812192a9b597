"""A live check by LeakSanitizer: its own recoverable check, run in the process by the guest; it appends to its log."""

from __future__ import annotations

import re
import time
from pathlib import Path

from memtui_profiler.asker import Conversation
from memtui_profiler.debug_files import open_regular
from memtui_profiler.errors import UserError
from memtui_profiler.questions.environment import environment_value
from memtui_profiler.questions.leak_check import CHECK_TIMEOUT_S, LeakCheck
from memtui_profiler.questions.target_files import own_pid, seen_from_here
from memtui_profiler.request import LSAN

RECOVERABLE_CHECK = "__lsan_do_recoverable_leak_check"
MAX_LOG_BYTES = 64 << 20

_OPTIONS = ("ASAN_OPTIONS", "LSAN_OPTIONS")
_LOG_PATH = re.compile(r"(?:^|[:\s,])log_path=(?:'([^']*)'|\"([^\"]*)\"|([^:\s,]*))")


def check_with_sanitizer(conversation: Conversation, destination: Path) -> LeakCheck:
    """Run the check; ``destination`` gets what it wrote. Raises UserError where there is no LeakSanitizer, or no log of it."""
    check = conversation.image.address_of(RECOVERABLE_CHECK)
    if check is None:
        raise UserError(
            "cannot check for leaks now", "there is no LeakSanitizer in this process", "--check lsan has one"
        )
    pid = conversation.pid
    prefix = _log_path(conversation)
    if prefix is None:
        why = "its LeakSanitizer writes to the process's own stderr, which is not memtui's to read"
        raise UserError(
            "cannot check for leaks now", why, "start it with LSAN_OPTIONS=log_path=/tmp/lsan, or by memtui"
        )
    log = seen_from_here(pid, f"{prefix}.{own_pid(pid)}")
    before = _size(log)
    guest = conversation.guest
    began = time.monotonic()
    guest.call(check, timeout_s=CHECK_TIMEOUT_S)
    seconds = time.monotonic() - began
    said = _from(log, before)
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    destination.write_bytes(said)
    return LeakCheck(LSAN, destination, seconds, guest.stack_range, log_bytes=before + len(said))


def _log_path(conversation: Conversation) -> str | None:
    """The last one counts. None: stderr."""
    found = None
    for name in _OPTIONS:
        for matched in _LOG_PATH.finditer(environment_value(conversation, name) or ""):
            found = next((path for path in matched.groups() if path), None)
    return None if found in (None, "stderr", "stdout") else found


def _size(path: str) -> int:
    try:
        with open_regular(path) as stream:
            return stream.seek(0, 2)
    except OSError:  # nothing was ever said
        return 0


def _from(path: str, start: int) -> bytes:
    """What was appended. Raises UserError when there is nothing: a check says at least which threads it looked at."""
    said = b""
    try:
        with open_regular(path) as stream:
            stream.seek(start)
            said = stream.read(MAX_LOG_BYTES)
    except OSError as error:
        raise UserError(
            "the check left no word", f"its log {path} cannot be read ({error.strerror})", "try again"
        ) from error
    return said
