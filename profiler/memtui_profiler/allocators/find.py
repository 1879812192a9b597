"""Which allocator serves a running process, by the functions that it has."""

from __future__ import annotations

from memtui_profiler.allocators.base import Ability, Allocator, Symbols
from memtui_profiler.allocators.glibc import find_glibc_malloc
from memtui_profiler.allocators.jemalloc import find_jemalloc
from memtui_profiler.allocators.tcmalloc import find_tcmalloc

_RELAUNCH = "relaunch with tcmalloc preloaded (--tcmalloc auto)"
_GOOGLE = ("MallocExtension_Internal_GetNumericProperty", "TCMallocInternalMalloc")
_KNOWN = "tcmalloc, jemalloc or glibc malloc"


def find_allocator(symbols: Symbols) -> Allocator | None:
    """The one that malloc belongs to; None: none that memtui knows, why_none() says which.

    A library that brings a malloc takes it over from glibc, so being there decides. Only where both tcmalloc and jemalloc are
    does it matter which of them malloc is: that is told from tc_malloc, which is the same function under another name.
    """
    if _foreign(symbols) is not None:
        return None
    tcmalloc, jemalloc = find_tcmalloc(symbols), find_jemalloc(symbols)
    if tcmalloc and jemalloc:
        malloc = symbols.address_of("malloc")
        ours = (symbols.address_of("tc_malloc"), symbols.address_of("__libc_malloc"), None)
        # glibc's where ``symbols`` does not follow the order of loading; that says nothing of these two then.
        return tcmalloc if malloc in ours else jemalloc
    if tcmalloc or jemalloc:
        return tcmalloc or jemalloc
    if _unknown(symbols) is not None:
        return None
    return find_glibc_malloc(symbols)


def why_none(symbols: Symbols) -> Ability:
    """Why find_allocator() finds nothing, in one sentence."""
    reason = _foreign(symbols) or _unknown(symbols) or f"its malloc is none of {_KNOWN}"
    return Ability(False, reason, _RELAUNCH)


def _foreign(symbols: Symbols) -> str | None:
    """What stands before every other allocator when it is there."""
    if symbols.address_of("__interceptor_malloc") is not None:
        return "its malloc is a sanitizer's, which keeps no figures to ask for"
    return None


def _unknown(symbols: Symbols) -> str | None:
    if symbols.address_of("tc_malloc") is not None:
        return "its tcmalloc was linked without MallocExtension_GetStats"
    if any(symbols.address_of(name) is not None for name in _GOOGLE):
        return "its malloc is Google's own tcmalloc, which memtui cannot ask (gperftools' it can)"
    if symbols.address_of("mi_malloc") is not None:
        return "its malloc is mimalloc, which memtui cannot ask"
    malloc, libc_malloc = symbols.address_of("malloc"), symbols.address_of("__libc_malloc")
    if symbols.address_of("gnu_get_libc_version") is None:
        return "its C library is not glibc (musl's malloc keeps no figures)"
    if malloc is not None and libc_malloc is not None and malloc != libc_malloc:
        return f"its malloc is a library's own, none of {_KNOWN}"
    return None
