"""The allocators: one module each, this table of them, and which of them serves a running process.

To add an allocator, write a module that has ``KINDS`` (see kind.AllocatorKind) and name it in ``_MODULES``. An
allocator from elsewhere is added with register(). Modules are imported when they are first looked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from memtui_profiler.allocators.base import Ability, Allocator, Symbols

if TYPE_CHECKING:
    from memtui_profiler.allocators.kind import AllocatorKind

# Of two that are in one process the first whose malloc it is answers; the C library's own comes last.
_MODULES = ("tcmalloc", "jemalloc", "mimalloc", "named_only", "go", "java", "v8", "musl", "glibc")
_RELAUNCH = "relaunch with tcmalloc preloaded (--tcmalloc auto)"
_FROM_OUTSIDE = "what the kernel says of it stays: RSS, files, threads"
_registered: list[AllocatorKind] = []


def register(kind: AllocatorKind) -> None:
    """Add an allocator before the others. Raises ValueError when its name is taken."""
    if any(kind.name == other.name for other in kinds()):
        raise ValueError(f"there is an allocator of this name already: {kind.name}")
    _registered.append(kind)


def unregister(kind: AllocatorKind) -> None:
    """Take away one that register() has added. Raises ValueError when it was not."""
    _registered.remove(kind)


def kinds() -> Iterator[AllocatorKind]:
    """All allocators, those first that come before others in a process."""
    yield from _registered
    for name in _MODULES:
        of_module: tuple[AllocatorKind, ...] = import_module(f"{__name__}.{name}").KINDS
        yield from of_module


def allocator_of(words: str) -> AllocatorKind | None:
    """The allocator that words begin with, as ``tcmalloc 2.10 preloaded``; None for one that is not known."""
    return next((kind for kind in kinds() if words.startswith(kind.name)), None)


def find_allocators(symbols: Symbols, present: Collection[AllocatorKind] = ()) -> list[Allocator]:
    """Those that can be asked; empty: none that memtui knows, why_none() says which.

    A library that brings a malloc takes it over from libc, so being there decides. Only where several such are does it
    matter which of them malloc is. Behind one that goes by names of its own comes the C library's, whose malloc is.
    ``present``: those that signs.built_into() finds in the process.
    """
    if _sanitizer(symbols):
        return []
    found = [(kind, allocator) for kind, allocator in _adapters(symbols) if not kind.of_libc]
    if len(found) > 1:
        found = [item for item in found if item[0].owns_malloc(symbols)] or found
    if found and found[0][0].owns_malloc(symbols):
        return [found[0][1]]
    first = [allocator for _, allocator in found[:1]]
    if _other_malloc(symbols, present):
        return first
    return first + [allocator for kind, allocator in _adapters(symbols) if kind.of_libc][:1]


def _adapters(symbols: Symbols) -> Iterator[tuple[AllocatorKind, Allocator]]:
    for kind in kinds():
        if kind.find is not None and (allocator := kind.find(symbols)) is not None:
            yield kind, allocator


def why_none(symbols: Symbols, present: Collection[AllocatorKind] = ()) -> Ability:
    """Why find_allocators() finds nothing, in one sentence, and what shows the memory instead."""
    if reason := _sanitizer(symbols):
        return Ability(False, reason, "build it without -fsanitize")
    if other := _other_malloc(symbols, present):
        return other
    if known := next((kind for kind in kinds() if kind in present and kind.refusal), None):
        return Ability(False, known.refusal, known.alternative)
    if symbols.address_of("gnu_get_libc_version") is None:
        return Ability(False, "its C library is none that memtui knows", _FROM_OUTSIDE)
    return Ability(False, f"its malloc is none of {_known()}", _RELAUNCH)


def _known() -> str:
    *names, last = [kind.name for kind in kinds() if kind.find is not None]
    return f"{', '.join(names)} or {last}"


def _sanitizer(symbols: Symbols) -> str:
    """Why a sanitizer's malloc, which stands before every other, cannot be asked; '' where there is none."""
    if symbols.address_of("__interceptor_malloc") is not None:
        return "its malloc is a sanitizer's, which keeps no figures to ask for"
    return ""


def _other_malloc(symbols: Symbols, present: Collection[AllocatorKind]) -> Ability | None:
    """Why malloc cannot be asked that belongs to neither an allocator that can be nor to the C library."""
    for kind in kinds():
        if kind in present and kind.refusal and not kind.of_libc:
            return Ability(False, kind.refusal, kind.alternative or _RELAUNCH)
    if symbols.address_of("mallinfo") is None:  # no glibc: which C library it has decides
        return None
    malloc, libc_malloc = symbols.address_of("malloc"), symbols.address_of("__libc_malloc")
    if malloc is not None and libc_malloc is not None and malloc != libc_malloc:
        return Ability(False, f"its malloc is a library's own, none of {_known()}", _RELAUNCH)
    return None
