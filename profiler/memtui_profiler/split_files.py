"""Finds the .dwo files that the compiler left DIEs in, or the .dwp that holds them all, beside the binary or where it was built."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.dwarf_sections import DwarfSections, open_dwarf
from memtui_parsers.dwarf_split import Package
from memtui_parsers.elf_image import read_image
from memtui_parsers.elf_sections import open_section
from memtui_parsers.errors import ParseError
from memtui_profiler.debug_files import open_regular


class SplitFiles:
    """Of the program at ``paths``: its own and its debug file's, as the target sees them. What is open is closed by ``stack``."""

    def __init__(self, paths: Sequence[str], sysroot: Path | None, stack: ExitStack) -> None:
        self._paths = paths
        self._sysroot = sysroot
        self._stack = stack
        self._packages: list[Package] | None = None

    @contextmanager
    def open(self, name: str, directory: str | None, split_id: int) -> Iterator[DwarfSections | None]:
        """As OpenSplit. Raises ParseError for a file that is there and cannot be read."""
        if self._packages is None:
            self._packages = list(self._open_packages())
        for package in self._packages:
            sections = package.sections_of(split_id)
            if sections is not None:
                yield sections
                return
        with ExitStack() as stack:
            for path in self._candidates(name, directory):
                stream = self._opened(path, stack)
                if stream is not None:
                    yield open_dwarf(stream, read_image(stream), split=True)
                    return
            yield None

    def _candidates(self, name: str, directory: str | None) -> Iterator[str]:
        yield posixpath.join(directory or "/", name)
        for path in self._paths:
            yield posixpath.join(posixpath.dirname(path), name)
            yield posixpath.join(posixpath.dirname(path), posixpath.basename(name))

    def _open_packages(self) -> Iterator[Package]:
        for path in self._paths:
            stream = self._opened(f"{path}.dwp", self._stack)
            if stream is None:
                continue
            try:
                image = read_image(stream)
                sections = open_dwarf(stream, image, split=True)
                index = open_section(stream, image, ".debug_cu_index")
                if sections is not None and index is not None:
                    yield Package(sections, index)
            except ParseError:
                continue  # the units' own files may be there; what is missing in the end is said

    def _opened(self, path: str, stack: ExitStack) -> BinaryIO | None:
        if not path.startswith("/"):
            return None
        try:
            return stack.enter_context(open_regular(path, self._sysroot))
        except (OSError, ValueError):
            return None
