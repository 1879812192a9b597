"""A leak's name for life: the same from run to run, machine to machine and checker to checker, through edits above it.

Made of the program's own frames as the symbol tables have them; lines, inlined calls and the runtime's frames, which
differ between checkers and builds, have no part in it.
"""

from __future__ import annotations

import re
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
# Who calls main() and threads: valgrind leaves them out, others name them, and a static program has them in its own module.
_STARTERS = frozenset(
    {"_start", "__libc_start_main", "__libc_start_call_main", "start_thread", "clone", "__clone", "clone3", "__clone3"}
)
_CLONE = re.compile(r"(?:\.(?:isra|part|cold|constprop|lto_priv|localalias|llvm|clone)(?:\.\d+)*)+$")
_DELETED = " (deleted)"


def is_allocator_module(path: str) -> bool:
    """Whether this library's frames stand between the program and the block: tcmalloc, jemalloc, valgrind's, sanitizers'."""
    return _ALLOCATORS.match(_base_name(path)) is not None


def is_runtime_module(path: str) -> bool:
    """Whether this library is part of every program: libc, libstdc++, ld, the kernel's vdso, and the allocators."""
    return _is_runtime(path)


@lru_cache(maxsize=4096)
def _is_runtime(path: str) -> bool:
    name = _base_name(path)
    return _RUNTIME.match(name) is not None or _ALLOCATORS.match(name) is not None


def strip_clone(linkage_name: str) -> str:
    """The name without its symbol version and what an optimizer appended: ``f.isra.0.cold`` and ``f@@V1`` are ``f``."""
    return _CLONE.sub("", linkage_name.partition("@")[0] or linkage_name)


def leak_ids(records: Sequence[tuple[Frame, ...]]) -> list[str]:
    """One id per stack (leaf first), in the records' order.

    Stacks that differ only where an id does not look get ``-2``, ``-3`` in the order of their addresses in the file,
    not of their sizes, so that the suffixes too stay from run to run: the program's own addresses first, as checkers do not
    all see the same of the runtime. The same stack twice has the same id.
    """
    # Frames are shared between the stacks of a report: each is looked at once, by identity.
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
    # Imported for those who name leaks alone: it loads OpenSSL, which is felt when a screen starts.
    from hashlib import sha256

    tokens = [_token(frame) if _is_own(frame) else b"" for frame in frames]
    bases = [sha256(_own_frames(stack, tokens, frames)).hexdigest()[:ID_CHARS] for stack in stacks]
    repeated = _repeated(bases)
    if not repeated:
        return bases
    at = _positions(frames).__getitem__
    places: dict[str, list[tuple[tuple[int, ...], tuple[int, ...], int]]] = {}
    for index, base in enumerate(bases):
        if base in repeated:
            stack = stacks[index]
            own = tuple([at(n) for n in stack if tokens[n]])
            places.setdefault(base, []).append((own, tuple(map(at, stack)), index))
    for base, found in places.items():
        found.sort()
        rank, before = -1, None
        for *place, index in found:
            if place != before:
                rank, before = rank + 1, place
            bases[index] = _suffixed(base, rank)
    return bases


def _repeated(bases: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {base for base in bases if base in seen or seen.add(base)}  # type: ignore[func-returns-value]


def _suffixed(base: str, rank: int) -> str:
    return base if rank == 0 else f"{base}-{rank + 1}"


def _own_frames(stack: Sequence[int], tokens: Sequence[bytes], frames: Sequence[Frame]) -> bytes:
    # Mostly the first eight are the program's own, and the rest need no look.
    own = [token for n in stack[:FRAMES] if (token := tokens[n])]
    if len(own) < FRAMES:
        own = [token for n in stack if (token := tokens[n])][:FRAMES]
    if not own:
        # A leak wholly inside the runtime still needs a name of its own.
        own = [_token(frames[n]) for n in stack if not frames[n].inlined][:FRAMES]
    return b"\n".join(own)


def _is_own(frame: Frame) -> bool:
    if frame.inlined or (frame.module is not None and _is_runtime(frame.module.path)):
        return False
    return strip_clone(frame.linkage_name or frame.function or "") not in _STARTERS


def _token(frame: Frame) -> bytes:
    module = frame.module or Module("")
    name = frame.linkage_name or frame.function
    if name:
        words = (strip_clone(name), _base_name(module.path))
    elif frame.module is not None and frame.offset is not None:
        words = (module.build_id or _base_name(module.path), f"{frame.offset:x}")
    else:
        # The address alone moves with every run.
        words = ("?", _base_name(module.path))
    return "\t".join(words).encode("utf-8", "surrogateescape")


def _positions(frames: Sequence[Frame]) -> list[int]:
    """Of each frame a number in the order of where frames lie: stacks of these are compared sooner than stacks of places."""
    places = [
        (
            # The same library is at /lib for one checker and at /usr/lib for another.
            _base_name(frame.module.path) if frame.module else "",
            frame.address if frame.offset is None else frame.offset,
            frame.line or 0,
            frame.inlined,
            # Two libraries of one name are two.
            frame.module.path if frame.module else "",
        )
        for frame in frames
    ]
    order = {place: number for number, place in enumerate(sorted(set(places)))}
    return [order[place] for place in places]


def _base_name(path: str) -> str:
    return path.removesuffix(_DELETED).rpartition("/")[2]
