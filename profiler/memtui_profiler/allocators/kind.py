"""What an allocator is, for all who recognise, ask or show it: a value of facts, words and functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from memtui_profiler.allocators.base import Allocator, Symbols


@dataclass(frozen=True, slots=True)
class PartNames:
    """Names for the parts of AllocatorStats.

    '' for a part that this allocator does not have: it is shown only if it is not 0, by its general name.
    """

    free: str = "free pages"
    central: str = "central cache"
    transfer: str = "transfer cache"
    thread: str = "thread caches"
    metadata: str = "metadata"
    released: str = "given back to the kernel"


@dataclass(frozen=True, slots=True)
class AllocatorKind:
    """One allocator. Whoever needs to know something of an allocator asks this value, and compares no names.

    ``name``: as its figures and the header have it, 'glibc malloc'.

    In a running process ``find`` looks for it by its functions and gives its adapter; None: memtui can only name it.
    ``owns_malloc``: where another allocator is there too, whether malloc is this one's. ``of_libc``: it is the C
    library's, which any other takes the place of. ``asked_in_program`` False: it is not asked where the program itself
    has it built in. ``refusal``: why a process cannot be asked of which no adapter was found.

    A file that has it built in is known by one of ``symbols`` (functions), ``sections``, or ``texts`` (of its own
    messages, in the read-only data: what is left in a stripped file), and not by these where it has ``unless``, a
    function of a program that carries it and seldom uses it. ``libraries``: what the names of its own library files
    begin with, ``runtime_libraries`` those of a runtime that has it in it. ``is_runtime``: it is the heap of a
    language's runtime and never malloc; ``beside_malloc``: of one that also takes much from malloc.
    ``alternative``: what shows its memory instead of memtui and a malloc checker, as a phrase. ``synonym``: its library,
    for valgrind's --soname-synonyms. ``own_functions``: names of those beside malloc and free that give or take its
    blocks; a program that calls them must not get the blocks of another malloc. ``has_profiler``: whether a library of
    these words ('tcmalloc_minimal 2.10') has gperftools' heap profiler.

    ``release_call``: what a release calls, '' where that is not known. ``free_pages_go``: what else returns free pages
    where there is no rate. ``retention_advice``: what has them returned sooner; ``arena_advice``: what bounds the
    arenas of many threads, ``thread_cache_advice`` their caches; ``program_advice``: what a program whose file's name
    begins so can do against fragmentation. ``no_rate``: why there is no release rate, as a sentence and as a phrase of
    33 characters, with ``{release}`` in the place of what asks for a release; None where there may be one.
    ``part_names``: what it calls the parts of its memory.
    """

    name: str
    find: Callable[[Symbols], Allocator | None] | None = None
    owns_malloc: Callable[[Symbols], bool] = lambda symbols: True
    of_libc: bool = False
    asked_in_program: bool = True
    is_runtime: bool = False
    beside_malloc: bool = False
    refusal: str = ""
    alternative: str = ""
    libraries: tuple[str, ...] = ()
    runtime_libraries: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    texts: tuple[bytes, ...] = ()
    unless: str = ""
    synonym: str = ""
    own_functions: re.Pattern[str] | None = None
    has_profiler: Callable[[str], bool] = lambda words: False
    release_call: str = ""
    thread_cache_advice: str = ""
    free_pages_go: str = "only a release returns it"
    retention_advice: str = ""
    arena_advice: str = ""
    program_advice: Mapping[str, str] = field(default_factory=dict, compare=False)
    no_rate: tuple[str, str] | None = None
    part_names: PartNames = PartNames()
