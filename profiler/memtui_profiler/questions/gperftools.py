"""gperftools' own variables in a running process: which heap check it was started with, and where it writes."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from memtui_profiler.asker import Conversation
from memtui_profiler.errors import UserError

# To a user whose process memtui launched, and to one whose it did not.
START_WITH_ONE = "start it with HEAPCHECK=normal (m and r do, where memtui launched it)"
NO_GLOBAL_LEAKS = "_ZN15HeapLeakChecker13NoGlobalLeaksEv"

# A flag is an exported std::string; its name ends in B5cxx11E for libstdc++'s present one, in E for others.
_STRING_FLAG = "_ZN62FLAG__namespace_do_not_use_directly_use_DECLARE_string_instead{length}FLAGS_{name}{abi}E"
_MAX_STRING_BYTES = 4096


@dataclass(frozen=True, slots=True)
class CheckerState:
    """``mode`` as the process was started with, '' when no check is on (or it turned itself off). ``folder`` gets its dumps."""

    mode: str
    folder: str
    no_global_leaks: int


def checker_state(conversation: Conversation) -> CheckerState:
    """Raises UserError when the process has no heap checker at all."""
    image = conversation.image
    check = image.address_of(NO_GLOBAL_LEAKS)
    mode = _string_flag(conversation, "heap_check")
    if check is None or mode is None:
        why = (
            "the tcmalloc in this process has no heap checker"
            if image.address_of("tc_malloc")
            else "it has no tcmalloc"
        )
        raise UserError("cannot check for leaks now", why, START_WITH_ONE)
    return CheckerState(mode, _string_flag(conversation, "heap_check_dump_directory") or "/tmp", check)


def _string_flag(conversation: Conversation, name: str) -> str | None:
    """libstdc++'s std::string: pointer, length, and the bytes themselves when they are few."""
    mangled = f"FLAGS_{name}"
    for abi in ("B5cxx11", ""):
        symbol = _STRING_FLAG.format(length=len(mangled), name=name, abi=abi)
        address = conversation.image.address_of(symbol)
        if address is not None:
            pointer, length = struct.unpack("<QQ", conversation.memory.read(address, 16))
            if length > _MAX_STRING_BYTES:
                return None
            return os.fsdecode(conversation.memory.read(pointer, length)) if length else ""
    return None
