"""Takes those frames out of a report that its checker could only guess.

valgrind finds a file's unwind tables by its section headers. Where they are gone (``strip --strip-sections``) it goes on by
frame pointers, which optimized code does not keep: the first frame in such a file is right, as the one below it was
unwound by tables, and what stands behind it may be anything.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from memtui_parsers.clean_text import clean
from memtui_parsers.elf.image import read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.report.leak_id import leak_ids
from memtui_parsers.values import CheckerError, Frame, LeakKind, LeakRecord, LeakReport, Module
from memtui_profiler.symbols.file_finder import FileFinder

NAMED_FILES = 3


def without_guesses(report: LeakReport, file_finder: FileFinder) -> LeakReport:
    """Return the report with its stacks cut behind the first frame in a file without section headers, and a note."""
    stacks = [record.stack for record in report.leaks]
    for error in report.errors:
        stacks += [error.stack, *(detail.stack for detail in error.details)]
    modules = {frame.module for stack in stacks for frame in stack if frame.module is not None}
    blind = {module for module in modules if not _has_sections(module, file_finder)}
    if not blind:
        return report
    names = sorted({clean(posixpath.basename(module.path)) for module in blind})
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    note = (
        f"stacks end at their first frame in {', '.join(names[:NAMED_FILES])}{more}: without section headers "
        "(strip --strip-sections) valgrind can only guess who called it"
    )
    errors = tuple(_cut_error(error, blind) for error in report.errors)
    return replace(report, leaks=_joined(report.leaks, blind), errors=errors, notes=(*report.notes, note))


def _has_sections(module: Module, file_finder: FileFinder) -> bool:
    """Whether the file has section headers, or cannot be read here."""
    if not module.path.startswith("/"):
        return True
    try:
        with file_finder.open(module.path, module.build_id).stream as stream:
            return bool(read_image(stream).sections)
    except (OSError, ParseError, ValueError):
        return True


def _joined(leaks: Sequence[LeakRecord], blind: set[Module]) -> tuple[LeakRecord, ...]:
    """The leaks with their stacks cut: those that are the same now are one, the largest first."""
    sums: dict[tuple[LeakKind, tuple[Frame, ...]], tuple[int, int]] = {}
    for record in leaks:
        key = record.kind, _cut(record.stack, blind)
        size_bytes, objects = sums.get(key, (0, 0))
        sums[key] = size_bytes + record.size_bytes, objects + record.objects
    largest = sorted(sums.items(), key=lambda item: item[1], reverse=True)
    ids = leak_ids([stack for (_, stack), _ in largest])
    return tuple(
        LeakRecord(leak_id, size_bytes, objects, kind, stack)
        for leak_id, ((kind, stack), (size_bytes, objects)) in zip(ids, largest, strict=True)
    )


def _cut_error(error: CheckerError, blind: set[Module]) -> CheckerError:
    details = tuple(replace(detail, stack=_cut(detail.stack, blind)) for detail in error.details)
    return replace(error, stack=_cut(error.stack, blind), details=details)


def _cut(stack: tuple[Frame, ...], blind: set[Module]) -> tuple[Frame, ...]:
    first = next((at for at, frame in enumerate(stack) if frame.module in blind), len(stack))
    return stack[: first + 1]
