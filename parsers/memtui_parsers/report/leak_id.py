"""Makes ids of leaks that stay the same between runs, machines and checkers, and when lines above the code change.

An id is made of the program's own frames as the symbol tables name them. Lines, inlined calls and the runtime's frames
differ between checkers and builds, and have no part in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from memtui_parsers.values import Frame, Module

FRAMES = 8
ID_CHARS = 16

_ALLOCATORS = re.compile(
    r"lib(?:tcmalloc|jemalloc|mimalloc|[alt]san|hwasan|clang_rt\.(?:asan|lsan|hwasan|tsan))\b|lib(?:tcmalloc|jemalloc|mimalloc)_"
    r"|vgpreload_"
)
_RUNTIME = re.compile(
    r"lib(?:c|m|pthread|dl|rt|util|resolv|anl|mvec|stdc\+\+|c\+\+|c\+\+abi|supc\+\+|gcc_s|ubsan|unwind|nss_\w+)(?:-[\d.]+)?\.so\b"
    r"|lib(?:unwind-\w+|clang_rt\.)|ld-(?:linux|musl|\d)|ld(?:64)?\.so\b|\[|linux-vdso"
)
# The callers of main() and of threads: only valgrind omits them, and in a static program they are in its own module.
_STARTERS = frozenset(
    {"_start", "__libc_start_main", "__libc_start_call_main", "start_thread", "clone", "__clone", "clone3", "__clone3"}
)
_CLONE = re.compile(r"(?:\.(?:isra|part|cold|constprop|lto_priv|localalias|llvm|clone)(?:\.\d+)*)+$")
_DELETED = " (deleted)"


@lru_cache(maxsize=4096)
def is_allocator_module(path: str) -> bool:
    """Whether a library is an allocator, a checker's included: its frames lie between the program and the block."""
    return _ALLOCATORS.match(_base_name(path)) is not None


@lru_cache(maxsize=4096)
def is_runtime_module(path: str) -> bool:
    """Whether a library is part of every program: libc, libstdc++, ld, the kernel's vdso, and the allocators."""
    name = _base_name(path)
    return _RUNTIME.match(name) is not None or _ALLOCATORS.match(name) is not None


def strip_clone(linkage_name: str) -> str:
    """Remove the symbol version and what an optimizer appended: ``f.isra.0.cold`` and ``f@@V1`` are ``f``."""
    name = linkage_name.partition("@")[0] or linkage_name
    return _CLONE.sub("", name) if "." in name else name


def leak_ids(records: Sequence[tuple[Frame, ...]]) -> list[str]:
    """Return one id per stack (leaf first), in the order of ``records``. Equal stacks have equal ids.

    Different stacks with the same base get ``-2``, ``-3`` in the order of their addresses in the file, not of their
    sizes, so that the suffixes stay the same between runs. The program's own addresses come first, as checkers differ
    in what they see of the runtime.
    """
    # The stacks of a report share their frames: each is looked at once, by id().
    numbers: dict[int, int] = {}
    frames: list[Frame] = []
    for stack in records:
        for frame in stack:
            if id(frame) not in numbers:
                numbers[id(frame)] = len(frames)
                frames.append(frame)
    return numbered_leak_ids([[numbers[id(frame)] for frame in stack] for stack in records], frames)


def numbered_leak_ids(stacks: Sequence[Sequence[int]], frames: Sequence[Frame]) -> list[str]:
    """leak_ids() of stacks whose steps are positions in ``frames``."""
    # Imported here because it loads OpenSSL, which delays the start of the screen.
    from hashlib import sha256

    tokens = [_token(frame) if _is_own(frame) else b"" for frame in frames]
    bases = [sha256(_own_frames(stack, tokens, frames)).hexdigest()[:ID_CHARS] for stack in stacks]
    repeated = {base for base, count in Counter(bases).items() if count > 1}
    if not repeated:
        return bases
    at = _positions(frames).__getitem__
    places: dict[str, list[tuple[tuple[int, ...], tuple[int, ...], int]]] = {}
    for index, base in enumerate(bases):
        if base in repeated:
            stack = stacks[index]
            own = tuple([at(n) for n in stack if tokens[n]])
            places.setdefault(base, []).append((own, tuple(map(at, stack)), index))
    for base, placed in places.items():
        placed.sort()
        rank, before = 0, None
        for *place, index in placed:
            if place != before:
                rank, before = rank + 1, place
            bases[index] = base if rank == 1 else f"{base}-{rank}"
    return bases


def _own_frames(stack: Sequence[int], tokens: Sequence[bytes], frames: Sequence[Frame]) -> bytes:
    # In most stacks the first eight frames are the program's own.
    own = [token for n in stack[:FRAMES] if (token := tokens[n])]
    if len(own) < FRAMES:
        own = [token for n in stack if (token := tokens[n])][:FRAMES]
    if not own:
        # A leak within the runtime needs an id, too.
        own = [_token(frames[n]) for n in stack if not frames[n].inlined][:FRAMES]
    return b"\n".join(own)


def _is_own(frame: Frame) -> bool:
    if frame.inlined or (frame.module is not None and is_runtime_module(frame.module.path)):
        return False
    return strip_clone(frame.linkage_name or frame.function or "") not in _STARTERS


def _token(frame: Frame) -> bytes:
    module = frame.module or Module("")
    name = frame.linkage_name or frame.function
    if name:
        parts = (strip_clone(name), _base_name(module.path))
    elif frame.module is not None and frame.offset is not None:
        parts = (module.build_id or _base_name(module.path), f"{frame.offset:x}")
    else:
        # An address without a module changes with every run.
        parts = ("?", _base_name(module.path))
    return "\t".join(parts).encode("utf-8", "surrogateescape")


def _positions(frames: Sequence[Frame]) -> list[int]:
    """Number frames in the order of their places in the files: stacks of numbers compare faster than of places."""
    places = [
        (
            # One checker finds a library in /lib, another the same one in /usr/lib.
            _base_name(frame.module.path) if frame.module else "",
            frame.address if frame.offset is None else frame.offset,
            frame.line or 0,
            frame.inlined,
            # Two libraries may have the same name.
            frame.module.path if frame.module else "",
        )
        for frame in frames
    ]
    order = {place: number for number, place in enumerate(sorted(set(places)))}
    return [order[place] for place in places]


def _base_name(path: str) -> str:
    return path.removesuffix(_DELETED).rpartition("/")[2]
