"""The kinds of memory that a process can have mapped."""

from __future__ import annotations

from enum import Enum


class RegionKind(str, Enum):
    """The value is what rows and JSON carry."""

    HEAP = "heap"  # brk(2)
    STACKS = "thread-stacks"
    RUNTIME = "runtime"  # a heap of a language's runtime, or the code that it has made
    ANONYMOUS = "anonymous"  # by its name, where it has one (prctl(2), PR_SET_VMA)
    FILE = "file"
    SHARED = "shared"  # shared memory: tmpfs, memfd, System V, shared anonymous mappings
    OTHER = "other"  # what was too small for a row of its own
    ALL = "all"  # the whole process
