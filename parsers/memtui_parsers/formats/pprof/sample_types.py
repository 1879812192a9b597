"""Chooses which of a pprof profile's columns to show: what is in use, before all that was ever allocated.

Each producer names its columns in its own way: Go ``inuse_space``, ddprof ``inuse-space``, tcmalloc and Node.js ``space``,
libdatadog ``heap-live-size`` and ``heap-space``, heapprofd ``Unreleased malloc size``, Pyroscope's Java
``alloc_in_new_tlab_bytes``. So names are read word by word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError

# As pprof itself takes them (google/pprof, internal/measurement): a kilobyte is 1024 bytes. It lacks the binary names.
_UNITS = {
    "b": 0, "byte": 0,
    "kb": 1, "kbyte": 1, "kilobyte": 1, "kib": 1, "kibibyte": 1,
    "mb": 2, "mbyte": 2, "megabyte": 2, "mib": 2, "mebibyte": 2,
    "gb": 3, "gbyte": 3, "gigabyte": 3, "gib": 3, "gibibyte": 3,
    "tb": 4, "tbyte": 4, "terabyte": 4, "tib": 4, "tebibyte": 4,
    "pb": 5, "pbyte": 5, "petabyte": 5, "pib": 5, "pebibyte": 5,
}  # fmt: skip
_COUNTS = frozenset({"", "count", "counts", "object", "objects", "allocation", "allocations", "sample", "samples"})
_SIZE_WORDS = frozenset({"space", "byte", "bytes", "size", "memory", "mem"})
_COUNT_WORDS = frozenset({"object", "objects", "count", "allocations", "sample", "samples"})
_IN_USE_WORDS = frozenset(
    {"live", "used", "unreleased", "unfreed", "outstanding", "retained", "leak", "leaks", "leaked"}
)
_OTHER_WORDS = frozenset({"gpu", "resident", "swapped", "stale", "locked", "peak", "free", "freed"})
# libdatadog counts bytes that were read and written, too.
_TRANSFER_WORDS = frozenset({"io", "socket", "network", "disk"})


class Counted(IntEnum):
    """What a column counts; the first of these that a profile has is shown."""

    IN_USE = 0
    UNSAID = 1  # "space": what is in use, by all known producers
    ALLOCATED = 2  # freed or not
    OTHER = 3


class SampleType(NamedTuple):
    """What one column of the samples counts, and the unit that it says."""

    name: str
    unit: str


class Columns(NamedTuple):
    """The columns to show: positions of size and objects (-1: none), and the bytes in one unit of the size.

    ``others`` are the names of the further columns that count memory.
    """

    size: int
    objects: int
    unit_bytes: int
    counted: Counted
    name: str
    others: tuple[str, ...]


def bytes_in(unit: str) -> int:
    """Return how many bytes a unit of memory is; 0 for another unit. In any case, and in the plural."""
    unit = unit.lower()
    power = _UNITS.get(unit.removesuffix("s") if len(unit) > 2 else unit)
    return 0 if power is None else 1 << 10 * power


def choose(types: Sequence[SampleType], default: str, wanted: str = "") -> Columns:
    """Return the columns to show: ``wanted`` by name, else the best; ``default`` (the file's) decides between equals.

    Raises ParseError when none counts memory, or none of those is ``wanted``.
    """
    memory = [at for at, of in enumerate(types) if bytes_in(of.unit) and _TRANSFER_WORDS.isdisjoint(_words(of.name))]
    names = ", ".join(dict.fromkeys(clean(of.name, 100) for of in types))
    if not memory:
        raise ParseError(
            "this profile is not one of memory: no sample type of it counts bytes",
            excerpt=names,
            todo="get the profile of the heap (Go: /debug/pprof/heap; pprof's other profiles are of time or events)",
        )
    if wanted:
        size = next((at for at in memory if _same(types[at].name, wanted)), -1)
        if size < 0:
            listed = ", ".join(clean(types[at].name, 100) for at in memory)
            known = any(_same(of.name, wanted) for of in types)
            why = "counts no bytes" if known else "is no sample type of this profile"
            raise ParseError(f"{clean(wanted, 100)} {why}", todo=f"give one of these to --sample-type: {listed}")
    else:
        size = min(memory, key=lambda at: (_counted(types[at].name), types[at].name != default))
    others = tuple(dict.fromkeys(clean(types[at].name, 100) for at in memory if at != size))
    name = types[size].name
    return Columns(size, _objects(types, name), bytes_in(types[size].unit), _counted(name), clean(name, 100), others)


def _objects(types: Sequence[SampleType], size_name: str) -> int:
    """The column that counts the objects of ``size_name``, by the rest of its name, else by what it counts."""
    counts = [
        at
        for at, of in enumerate(types)
        if of.unit.lower() in _COUNTS
        and not _COUNT_WORDS.isdisjoint(words := _words(of.name))
        and "unscaled" not in words
    ]
    stem = _stem(size_name)
    if not stem and len(types) > 2:
        # Beside other columns "samples" may be those of a timer.
        counts = [at for at in counts if not {"sample", "samples"} & set(_words(types[at].name))]
    counted = _counted(size_name)
    for at in counts:
        if _stem(types[at].name) == stem:
            return at
    of_same = (at for at in counts if counted < Counted.OTHER and stem and _counted(types[at].name) is counted)
    return next(of_same, -1)


def _counted(name: str) -> Counted:
    words = _words(name)
    if any(word.startswith("inuse") or word in _IN_USE_WORDS for word in words):
        return Counted.IN_USE
    if not _OTHER_WORDS.isdisjoint(words):
        return Counted.OTHER
    if any(word.startswith(("alloc", "malloc")) for word in words):
        return Counted.ALLOCATED
    if "heap" in words:
        return Counted.IN_USE
    return Counted.OTHER if _stem(name) else Counted.UNSAID


def _stem(name: str) -> tuple[str, ...]:
    """The words of a name without those that say whether it counts bytes or objects."""
    return tuple(word for word in _words(name) if word not in _SIZE_WORDS | _COUNT_WORDS)


def _same(name: str, wanted: str) -> bool:
    """Whether ``wanted`` means this name, in any spelling; pprof takes inuse_space for space, too."""
    words, asked = "".join(_words(name)), "".join(_words(wanted))
    return words == asked or words == asked.removeprefix("inuse")


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[:1000])
    return re.findall("[a-z0-9]+", re.sub(r"(?i)\bin[-_ ]use(?![a-z])", "inuse", spaced).lower())
