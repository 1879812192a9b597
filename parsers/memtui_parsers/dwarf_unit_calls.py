"""What one unit answers: its scopes and lines put together, first with its strings unread, then as calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from memtui_parsers.dwarf_abbreviations import Tables
from memtui_parsers.dwarf_line_header import whole_path
from memtui_parsers.dwarf_lines import UnitLines
from memtui_parsers.dwarf_names import Names, Trail
from memtui_parsers.dwarf_ranges import Ranges
from memtui_parsers.dwarf_scopes import Scope, Scopes
from memtui_parsers.dwarf_sections import DwarfSections
from memtui_parsers.dwarf_strings import Text
from memtui_parsers.dwarf_units import Unit
from memtui_parsers.errors import ParseError

# What an int in a C compiler holds; a number beyond it is damage.
MAX_LINE = (1 << 31) - 1
MAX_UNIT_BYTES = 1 << 30
# Deeper than any compiler inlines; of a longer chain the calls in the middle are left out.
MAX_CHAIN = 500


class Call(NamedTuple):
    """One function over an address. ``function`` is its linkage name, None where DWARF does not say or was not asked.

    ``line`` is 0 where the compiler made the code of no line. ``inlined``: its code stands in the next one's.
    """

    function: str | None
    file: str | None
    line: int
    inlined: bool


# As Scopes makes its scopes.
new_call: Callable[[tuple[str | None, str | None, int, bool]], Call] = partial(tuple.__new__, Call)

Answer = tuple[int, tuple[Call, ...]]


@dataclass(slots=True)
class Part:
    """``scopes`` are the innermost by address, ``calls`` all of them, outer before inner.

    ``files`` are paths by index, as far as the line program knows them; ``names`` are by DIE, as in Scope.die, and ``trails``
    lead to those that are in other units.
    """

    unit: Unit | None
    version: int = 0
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    scopes: dict[int, Scope] = field(default_factory=dict)
    calls: list[Scope] = field(default_factory=list)
    files: dict[int, str | None] = field(default_factory=dict)
    names: dict[int, Text | None] = field(default_factory=dict)
    trails: dict[int, Trail] = field(default_factory=dict)

    def take_lines(self, lines: UnitLines) -> None:
        """After the scopes, which say what files they were called from."""
        files = {file for file, _ in lines.rows.values()}
        files.update(scope.file for scope in self.calls if scope.parent is not None)
        self.rows, self.version = lines.rows, lines.version
        self.files = {index: lines.files.path(index) for index in files}

    @property
    def directory(self) -> Text | None:
        """The compilation's, where a path needs it."""
        if self.unit is None or all(path is None or path[0] == "/" for path in self.files.values()):
            return None
        return self.unit.string(self.unit.directory)


class Walk:
    """Through the DIEs of units. ``gcc`` tells of a unit that GCC made it: see Scopes."""

    def __init__(self, sections: DwarfSections, tables: Tables, names: Names, *, lowest: int) -> None:
        self._sections = sections
        self._tables = tables
        self._names = names
        self._lowest = lowest

    def take_scopes(
        self, part: Part, unit: Unit, ranges: Ranges, addresses: list[int], named: Collection[int] | None, *, gcc: bool
    ) -> None:
        """Find the scopes over ``addresses`` and what leads to their names. Raises ParseError."""
        if unit.size > MAX_UNIT_BYTES or self._sections.info is None:
            raise ParseError("a unit is too large")
        data = self._sections.info.read(unit.offset, unit.size)
        table = self._tables.at(unit.table, unit.encoding)
        scopes = Scopes(data, unit, table, ranges, lowest=self._lowest, last_child_has_no_sibling=gcc)
        part.scopes, part.calls = scopes.find(addresses, addresses if named is None else named)
        dies = {scope.die for scope in part.calls if scope.parent is not None or named is None}
        for address, scope in part.scopes.items():
            if named is not None and address not in named:
                while scope.parent is not None:
                    scope = scope.parent
                dies.add(scope.die)
        part.names, part.trails = self._names.in_unit(dies, unit, table, data)


def answers(part: Part, texts: Mapping[Text, str | None]) -> Iterator[Answer]:
    """Each address with its calls. ``texts`` are the strings of ``part.names`` and ``part.directory``."""
    directory = None if part.directory is None else texts.get(part.directory)
    files = {
        index: None if path is None else whole_path(path, part.version, directory) for index, path in part.files.items()
    }
    names = {die: None if value is None else texts.get(value) for die, value in part.names.items()}
    chains = _chains(part.calls, files, names)
    for address in part.rows.keys() | part.scopes.keys():
        file, line = part.rows.get(address, (-1, 0))
        path = files.get(file)
        scope = part.scopes.get(address)
        if not 0 < line <= MAX_LINE:
            line = 0
        if scope is not None:
            name, inlined, around = chains[id(scope)]
            yield address, (new_call((name, path, line if path else 0, inlined)), *around)
        elif path is not None:
            yield address, (Call(None, path, line, False),)


def _chains(
    calls: Sequence[Scope], files: Mapping[int, str | None], names: Mapping[int, str | None]
) -> dict[int, tuple[str | None, bool, tuple[Call, ...]]]:
    """By a scope's id(): its name, whether it is inlined, and the calls around it, which many addresses share."""
    known: dict[int, tuple[str | None, bool, tuple[Call, ...]]] = {}
    for scope in calls:
        parent, die, file, line = scope
        if parent is None:
            known[id(scope)] = (names.get(die), False, ())
            continue
        name, inlined, outer = known[id(parent)]
        path = files.get(file)
        around = (new_call((name, path, line if path and 0 < line <= MAX_LINE else 0, inlined)), *outer)
        if len(around) > MAX_CHAIN:
            around = (*around[: MAX_CHAIN - 1], around[-1])
        known[id(scope)] = (names.get(die), True, around)
    return known
