"""What the debug information of one module says of addresses: the calls over each, and in notes what stood in the way."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from itertools import islice

from memtui_parsers.dwarf_calls import Call, Troubles, find_calls
from memtui_parsers.errors import ParseError
from memtui_profiler.module_files import ModuleFiles
from memtui_profiler.split_files import SplitFiles

# Addresses that are answered at once: a demangler is a process, and lines are waited for.
BATCH_ADDRESSES = 2500
# How many of the files that are missing a note names.
NAMED_FILES = 3

Batch = list[tuple[int, tuple[Call, ...]]]


def debug_calls(files: ModuleFiles, wanted: list[int], names: Mapping[int, str], notes: list[str]) -> Iterator[Batch]:
    """For those of ``wanted`` (ascending) that the binary or else its debug file knows. The innermost call comes first.

    ``names`` are what the symbol table says: the function itself has its name, of which a leak's id is made.
    """
    troubles = Troubles()
    split = SplitFiles(files.paths, files.root, files.stack)
    name, alternate_name = posixpath.basename(files.path), ""
    answered = False
    dwarf = files.dwarf()
    while not answered:
        try:
            found = next(dwarf, None)
            if found is None:
                break
            alternate_name = found.alternate_name
            answers = find_calls(
                found.sections,
                wanted,
                lowest=files.lowest,
                named=names.keys(),
                alternate=found.alternate,
                open_split=split.open,
                troubles=troubles,
            )
            while batch := list(islice(answers, BATCH_ADDRESSES)):
                answered = True
                yield [(address, _with_name(calls, names.get(address))) for address, calls in batch]
        except ParseError as error:
            notes.append(f"lines of {name}: {error}")
    notes.extend(_troubles(troubles, name, alternate_name))


def _with_name(calls: tuple[Call, ...], name: str | None) -> tuple[Call, ...]:
    if name is None:
        return calls
    _, file, line, inlined = calls[-1]
    return (*calls[:-1], Call(name, file, line, inlined))


def _troubles(troubles: Troubles, name: str, alternate_name: str) -> Iterator[str]:
    if troubles.missing_alternate:
        yield f"some inlined functions of {name} have no names: {alternate_name}, where dwz put them, is not here"
    by_reason: dict[str, list[str]] = {}
    for file, reason in troubles.split.items():
        by_reason.setdefault(reason, []).append(file)
    for reason, missing in by_reason.items():
        more = f" and {len(missing) - NAMED_FILES} more" if len(missing) > NAMED_FILES else ""
        yield f"no inlined calls of {name} from {', '.join(missing[:NAMED_FILES])}{more}: {reason}"
    for reason, count in troubles.damaged.items():
        yield f"{count} {'unit' if count == 1 else 'units'} of {name} cannot be read whole: {reason}"
