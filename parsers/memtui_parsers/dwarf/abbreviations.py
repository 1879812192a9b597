"""Reads abbreviation tables (DWARF 5, section 7.5.3) for walks over DIEs: what a DIE contains, and how to skip it.

A unit has some 400 abbreviations, and the next unit has nearly the same ones, so a declaration is decoded once for all
units.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

from memtui_parsers.dwarf.forms import (
    ADDR,
    BLOCK,
    DATA1,
    DATA2,
    DATA4,
    DATA8,
    EXPRLOC,
    IMPLICIT_CONST,
    REF4,
    SEC_OFFSET,
    Encoding,
    fixed_size,
    read_form,
)
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.elf.numbers import sleb, uleb, uleb_bytes
from memtui_parsers.elf.sections import InMemory
from memtui_parsers.errors import ParseError

DW_AT_SIBLING, DW_AT_LOW_PC, DW_AT_HIGH_PC, DW_AT_RANGES = 0x01, 0x11, 0x12, 0x55
DW_AT_ABSTRACT_ORIGIN, DW_AT_CALL_FILE, DW_AT_CALL_LINE = 0x31, 0x58, 0x59
DW_TAG_LEXICAL_BLOCK, DW_TAG_INLINED_SUBROUTINE, DW_TAG_SUBPROGRAM = 0x0B, 0x1D, 0x2E
DW_TAG_TRY_BLOCK, DW_TAG_CATCH_BLOCK = 0x32, 0x25

# A whole program linked into one unit has some thousand abbreviations of 30 bytes.
MAX_TABLE_BYTES = 4 << 20
FIRST_READ_BYTES = 32 * 1024
MAX_DECLARATIONS = 1 << 16
MAX_LAYOUTS = 1 << 16
MAX_TABLES = 16

_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
# Code, tag, whether there are children, pairs of attribute and form (a constant follows DW_FORM_implicit_const).
_DECLARATION = re.compile(
    rb"([\x80-\xff]*[\x01-\x7f])(" + _NUMBER + rb"[\x00\x01]"
    rb"(?:[\x80-\xff]*[\x01-\x7f](?:\x21" + _NUMBER + rb"|[\x80-\xff]*[\x01-\x20\x22-\x7f])){0,255})\x00\x00"
)
_SCOPES = frozenset({DW_TAG_LEXICAL_BLOCK, DW_TAG_INLINED_SUBROUTINE, DW_TAG_TRY_BLOCK, DW_TAG_CATCH_BLOCK})
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_CONSTANTS = frozenset({DATA1, DATA2, DATA4, DATA8})
# The attributes that tell where code is and what was inlined there, with the forms that can be unpacked at once.
WANTED: Mapping[int, frozenset[int]] = {
    DW_AT_SIBLING: frozenset({REF4}),
    DW_AT_LOW_PC: frozenset({ADDR}),
    DW_AT_HIGH_PC: _CONSTANTS | {ADDR},
    DW_AT_RANGES: frozenset({SEC_OFFSET, DATA4, DATA8}),
    DW_AT_ABSTRACT_ORIGIN: frozenset({REF4}),
    DW_AT_CALL_FILE: _CONSTANTS,
    DW_AT_CALL_LINE: _CONSTANTS,
}
_ROOT_TAGS = (b"\x11", b"\x3c", b"\x4a", b"\x41")  # compile, partial, skeleton and type units
_WITHOUT_SIBLING = {name: forms for name, forms in WANTED.items() if name != DW_AT_SIBLING}
_BLOCK_FORMS = frozenset({-BLOCK, -EXPRLOC})


class Attribute(NamedTuple):
    """An attribute's name and form; ``constant`` is the value of DW_FORM_implicit_const."""

    name: int
    form: int
    constant: int


class Bounds(NamedTuple):
    """Unpacks the attributes in WANTED at once, for DIEs that have all of them at fixed places.

    From the result of ``unpack`` and a 0, ``pick`` takes: the low address or, with ``has_ranges``, the offset of the
    range list; the high end (an address if ``absolute``, else a length); the origin's offset in the unit; the call's
    file and line; the sibling's offset. Missing ones are 0.
    """

    unpack: Callable[[bytes, int], tuple[int, ...]]
    pick: Callable[[tuple[int, ...]], tuple[int, int, int, int, int, int]]
    has_ranges: bool
    absolute: bool


class Layout:
    """How the DIEs of one abbreviation are written.

    ``size`` is the bytes of all attributes, -1 when it varies. ``outer``, ``inner`` and ``linear`` tell how to skip
    such a DIE, from its code of one byte: n > 0, advance n bytes; n < 0, its sibling's offset is -n bytes from here; 0,
    decode it. ``outer`` decodes functions with code; ``inner``, within a function, decodes scopes, and DIEs with
    children and no sibling; ``linear`` is like ``outer`` and skips no children.
    """

    __slots__ = (
        "_encoding", "_reference", "_steps", "_to_sibling", "attributes", "bounds", "children", "has_code",
        "has_sibling", "inner", "is_function", "is_scope", "linear", "outer", "sibling", "size", "tag",
    )  # fmt: skip

    def __init__(self, declaration: bytes, encoding: Encoding) -> None:
        self.tag, at = uleb(declaration, 0)
        self.children = bool(declaration[at])
        self.attributes = tuple(_attributes(declaration, at + 1))
        self._encoding = encoding
        sizes = [fixed_size(attribute.form, encoding) for attribute in self.attributes]
        self._steps = tuple(_steps(self.attributes, sizes))
        place = next((n for n, a in enumerate(self.attributes) if a.name == DW_AT_SIBLING and a.form == REF4), -1)
        self.has_sibling = place >= 0
        self._to_sibling = tuple(_steps(self.attributes[:place], sizes[:place])) if place >= 0 else ()
        self._reference = struct.Struct("<I" if encoding.order == "little" else ">I").unpack_from
        self.size = -1 if None in sizes else sum(size for size in sizes if size)
        names = {attribute.name for attribute in self.attributes}
        self.has_code = DW_AT_LOW_PC in names or DW_AT_RANGES in names
        self.is_function = self.tag == DW_TAG_SUBPROGRAM and self.has_code
        # A block without addresses covers those of its parent.
        self.is_scope = self.tag in _SCOPES and (self.has_code or self.children)
        self.sibling = sum(self._to_sibling) if self.has_sibling and all(step >= 0 for step in self._to_sibling) else -1
        self.bounds = _bounds(self.attributes, encoding) if self.has_code else None
        ahead = 1 + self.size if self.size >= 0 else 0
        jump = -1 - self.sibling if self.sibling >= 0 else 0
        self.linear = 0 if self.is_function else ahead
        self.outer = 0 if self.is_function else jump or ahead
        self.inner = 0 if self.is_scope else jump or (0 if self.children else ahead)

    def end(self, data: bytes, at: int) -> int:
        """Return the place after the attributes at ``at``. Raises ParseError for an unknown form, IndexError."""
        return at + self.size if self.size >= 0 else self._after(self._steps, data, at)

    def next_sibling(self, data: bytes, at: int) -> int:
        """Return the place in the unit of the sibling of a DIE whose attributes begin at ``at``; 0: it states none.

        Raises ParseError, IndexError, struct.error.
        """
        if not self.has_sibling:
            return 0
        place = at + self.sibling if self.sibling >= 0 else self._after(self._to_sibling, data, at)
        following: int = self._reference(data, place)[0]
        if following <= at:
            raise ParseError("a sibling that comes before")
        return following

    def _after(self, steps: tuple[int, ...], data: bytes, at: int) -> int:
        for step in steps:
            if step >= 0:
                at += step
            elif step in _BLOCK_FORMS:
                size = data[at]
                at += 1
                if size > 127:
                    size, at = uleb(data, at - 1)
                at += size
            else:
                _, at = read_form(-step, data, at, self._encoding)
        return at


def _attributes(declaration: bytes, at: int) -> Iterator[Attribute]:
    while at < len(declaration):
        name, at = uleb(declaration, at)
        form, at = uleb(declaration, at)
        constant = 0
        if form == IMPLICIT_CONST:
            constant, at = sleb(declaration, at)
        yield Attribute(name, form, constant)


def _steps(attributes: tuple[Attribute, ...], sizes: list[int | None]) -> Iterator[int]:
    """Yield the bytes to advance, or the negative of a form whose size must be read."""
    run = 0
    for attribute, size in zip(attributes, sizes, strict=True):
        if size is not None:
            run += size
            continue
        if run:
            yield run
        run = 0
        yield -attribute.form
    if run:
        yield run


def fixed_fields(
    attributes: tuple[Attribute, ...], encoding: Encoding, wanted: Mapping[int, frozenset[int]]
) -> tuple[struct.Struct, dict[int, tuple[int, int]]] | None:
    """Return a layout that unpacks the attributes in ``wanted`` at once, and (index in its result, form) of each.

    None when the place of one of them varies, or its form is not one that ``wanted`` allows.
    """
    letters, gap = "<" if encoding.order == "little" else ">", 0
    fields: dict[int, tuple[int, int]] = {}
    for name, form, _ in attributes:
        size = fixed_size(form, encoding)
        if name in wanted:
            if size not in _LETTERS or gap < 0 or form not in wanted[name] or name in fields:
                return None
            letters += f"{gap}x{_LETTERS[size]}"
            gap = 0
            fields[name] = (len(fields), form)
        elif size is None:
            gap = -1  # the places of all that follow vary
        elif gap >= 0:
            gap += size
    return struct.Struct(letters), fields


def _bounds(attributes: tuple[Attribute, ...], encoding: Encoding) -> Bounds | None:
    # GCC writes a function's sibling after its frame base, whose size varies.
    unpacking = fixed_fields(attributes, encoding, WANTED) or fixed_fields(attributes, encoding, _WITHOUT_SIBLING)
    if unpacking is None:
        return None
    layout, fields = unpacking
    has_ranges = DW_AT_RANGES in fields
    if not has_ranges and not (DW_AT_LOW_PC in fields and DW_AT_HIGH_PC in fields):
        return None
    first = DW_AT_RANGES if has_ranges else DW_AT_LOW_PC
    order = (first, DW_AT_HIGH_PC, DW_AT_ABSTRACT_ORIGIN, DW_AT_CALL_FILE, DW_AT_CALL_LINE, DW_AT_SIBLING)
    pick = itemgetter(*(fields[name][0] if name in fields else len(fields) for name in order))
    return Bounds(layout.unpack_from, pick, has_ranges, fields.get(DW_AT_HIGH_PC, (-1, 0))[1] == ADDR)


class Table:
    """The layouts of one table. ``short`` are those with codes of one byte; lists by code tell how to skip DIEs."""

    __slots__ = ("_layouts", "inner", "linear", "outer", "short")

    def __init__(self, layouts: dict[int, Layout]) -> None:
        self._layouts = layouts
        self.short: list[Layout | None] = [layouts.get(code) for code in range(128)]
        self.outer, self.inner, self.linear = ([0] * 256 for _ in range(3))
        # Code 0 ends a list of children; within a function it ends a scope, which must not be skipped.
        self.outer[0] = self.linear[0] = 1
        for code, layout in enumerate(self.short):
            if layout is not None:
                self.outer[code], self.inner[code], self.linear[code] = layout.outer, layout.inner, layout.linear

    def layout(self, code: int) -> Layout:
        """Return the layout of a code. Raises ParseError for one that the table does not have."""
        layout = self._layouts.get(code)
        if layout is None:
            raise ParseError("an abbreviation is missing")
        return layout


class Tables:
    """Reads the tables of .debug_abbrev, which a file may lack; keeps the last few, and the layouts of all."""

    def __init__(self, sections: DwarfSections) -> None:
        self._section = sections.abbreviations or InMemory(b"")
        self._tables: dict[tuple[int, Encoding], Table] = {}
        self._layouts: dict[Encoding, dict[bytes, Layout]] = {}

    def at(self, offset: int, encoding: Encoding) -> Table:
        """Return the table at ``offset``. Raises ParseError."""
        key = (offset, encoding)
        table = self._tables.pop(key, None) or self._read(offset, encoding)
        self._tables[key] = table
        if len(self._tables) > MAX_TABLES:
            del self._tables[next(iter(self._tables))]
        return table

    def root(self, offset: int, encoding: Encoding, code: int) -> Layout:
        """Return the layout of a unit's first DIE without reading the whole table. Raises ParseError."""
        code_bytes = uleb_bytes(code)
        for size in (FIRST_READ_BYTES, MAX_TABLE_BYTES):
            data = self._section.read(offset, size)
            # Compilers may number it last. Only the two zeros that end a declaration precede such a code and tag.
            places = (data.find(b"\0\0" + code_bytes + tag) + 2 for tag in _ROOT_TAGS)
            for at in (0, *(place for place in places if place > 1)):
                declared = _DECLARATION.match(data, at)
                if declared and declared[1] == code_bytes:
                    return self._layout(declared[2], encoding)
        raise ParseError("an abbreviation is missing")

    def _layout(self, declaration: bytes, encoding: Encoding) -> Layout:
        layouts = self._layouts.setdefault(encoding, {})
        layout = layouts.get(declaration)
        if layout is None:
            if len(layouts) > MAX_LAYOUTS:
                layouts.clear()
            layout = layouts[declaration] = Layout(declaration, encoding)
        return layout

    def _read(self, offset: int, encoding: Encoding) -> Table:
        for size in (FIRST_READ_BYTES, MAX_TABLE_BYTES):
            data = self._section.read(offset, size)
            layouts: dict[int, Layout] = {}
            at = 0
            while len(layouts) < MAX_DECLARATIONS and (declared := _DECLARATION.match(data, at)):
                code, declaration = declared.groups()
                number = code[0] if len(code) == 1 else uleb(code, 0)[0]
                layouts.setdefault(number, self._layout(declaration, encoding))
                at = declared.end()
            if at < len(data) and data[at] == 0:
                break
        return Table(layouts)
