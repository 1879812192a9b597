"""The leaks that the heap checker lists on stderr, together with those of a dump that is cut.

gperftools 2.16 loses up to 8 KiB of each leak dump, and of each 2 KiB of its list all but the first 1,000 bytes or so
(WriteFnWriter and RAW_LOG in its source). A stack that one has lost is often in the other. The mappings behind the entries
of the dump are whole, so that all addresses can be named.
"""

from __future__ import annotations

from dataclasses import replace

from memtui_parsers.formats.heapcheck_log import WHOLE_PROGRAM, HeapcheckLog
from memtui_parsers.values import HeapProfile
from memtui_profiler.session.reader import pack_stack, unpack_stack


def with_listed(profile: HeapProfile, log: HeapcheckLog, *, of_this_check: bool) -> HeapProfile:
    """Return the leaks of the cut dump and of the list in the log, and what is in neither as one without a stack.

    ``of_this_check``: the last check in the log wrote the dump. It is not needed where the dump has its header, which has the
    same sums as the log. Of another check's log nothing is taken.
    """
    check = next((check for check in reversed(log.checks) if check.name == WHOLE_PROGRAM), None)
    if check is None or not check.leaked_objects:
        return profile
    header = profile.header
    if header is None and not of_this_check:
        return profile
    if header is not None and (header.inuse_objects, header.inuse_bytes) != (check.leaked_objects, check.leaked_bytes):
        return profile
    leaks: dict[tuple[int, ...], tuple[int, int]] = {}
    for stack, objects, size_bytes in zip(profile.stacks, profile.figures[0::4], profile.figures[1::4], strict=False):
        addresses = tuple(profile.addresses[ordinal] for ordinal in unpack_stack(stack))
        before = leaks.get(addresses, (0, 0))
        leaks[addresses] = before[0] + objects, before[1] + size_bytes
    listed: dict[tuple[int, ...], tuple[int, int]] = {}
    for leak in check.leaks:
        if not leak.whole:
            continue  # its stack may go on in another leak's
        addresses = tuple(address for address, _ in leak.frames)
        before = listed.get(addresses, (0, 0))
        listed[addresses] = before[0] + leak.objects, before[1] + leak.size_bytes
    for addresses, figures in listed.items():
        leaks[addresses] = max(figures, leaks.get(addresses, (0, 0)))
    missing_objects = check.leaked_objects - sum(objects for objects, _ in leaks.values())
    missing_bytes = check.leaked_bytes - sum(size_bytes for _, size_bytes in leaks.values())
    if missing_objects < 0 or missing_bytes < 0:
        return profile
    notes = ["the dump is cut: its leaks are shown together with those that the checker listed on stderr"]
    if missing_objects or missing_bytes:
        notes.append(
            f"{missing_bytes} bytes in {missing_objects} objects are in neither: they are shown without a stack"
        )
        leaks[()] = missing_objects, missing_bytes
    ordinals: dict[int, int] = {}
    stacks = [pack_stack([ordinals.setdefault(address, len(ordinals)) for address in stack]) for stack in leaks]
    return replace(
        profile,
        whole=not (missing_objects or missing_bytes),
        figures=[number for objects, size_bytes in leaks.values() for number in (objects, size_bytes) * 2],
        stacks=tuple(stacks),
        addresses=tuple(ordinals),
        notes=tuple(notes),
    )
