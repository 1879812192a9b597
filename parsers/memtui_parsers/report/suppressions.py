"""Reads and writes suppression files of valgrind and of LeakSanitizer: the leaks and errors that a user wants to hide.

Valgrind's rules are blocks of ``{ name, tool:kind, callers... }`` whose callers (``fun:``, ``obj:``, ``src:``, ``...``)
match a stack from its leaf on (valgrind's manual, "Suppressing errors"). LeakSanitizer's are lines of
``leak:template``, which hides a stack with the template in the name, file or module of any of its frames (compiler-rt,
sanitizer_suppressions.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.report.leak_id import is_runtime_module
from memtui_parsers.values import Frame, LeakKind, LeakRecord

MAX_LINE_CHARS = 4096
MAX_RULES = 20_000
MAX_CALLERS = 500
# Valgrind takes 24 callers at most.
MAX_WRITTEN_CALLERS = 20

_NAME_CHARS = MAX_LINE_CHARS - 16
_COMMENT = re.compile(r"\s*(?:#|$)")
# The arguments of match-leak-kinds, by the kinds of records that they are for.
_KIND_NAMES = {
    LeakKind.DEFINITELY_LOST: "definite",
    LeakKind.INDIRECTLY_LOST: "indirect",
    LeakKind.POSSIBLY_LOST: "possible",
    LeakKind.STILL_REACHABLE: "reachable",
}


class Part(str, Enum):
    """The part of a frame that a pattern matches. GAP: any number of frames, or none. ANY: name, file or module."""

    FUNCTION = "fun"
    OBJECT = "obj"
    SOURCE = "src"
    GAP = "..."
    ANY = "leak"


class Pattern(NamedTuple):
    """``*`` matches any text, ``?`` any character (valgrind only), ``^`` and ``$`` the ends (LeakSanitizer only)."""

    part: Part
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One suppression. ``kind`` is ``Leak``, or the name of an error of memcheck (``Addr4``, ``Cond`` ...).

    ``leak_kinds`` are those of match-leak-kinds (definite, indirect, possible, reachable); None: all. ``patterns``
    match the stack from its leaf on; a single one of Part.ANY matches any frame.
    """

    name: str
    kind: str
    patterns: tuple[Pattern, ...]
    leak_kinds: frozenset[str] | None = None


class Syntax(str, Enum):
    VALGRIND = "valgrind"
    LSAN = "lsan"


def syntax_of(text: str) -> Syntax | None:
    """Tell the syntax by the first line that is no comment; None for a text without a rule."""
    first = next((line.strip() for line in text.splitlines() if not _COMMENT.match(line)), None)
    if first is None:
        return None
    return Syntax.VALGRIND if first.startswith("{") else Syntax.LSAN


def parse_suppressions(text: str) -> tuple[Rule, ...]:
    """Read the rules of a file of either syntax, without those for other tools. Raises ParseError with the line."""
    syntax = syntax_of(text)
    if syntax is None:
        return ()
    rules = _valgrind(text) if syntax is Syntax.VALGRIND else _lsan(text)
    if len(rules) > MAX_RULES:
        raise ParseError(f"more than {MAX_RULES} suppressions")
    return tuple(rules)


def _lsan(text: str) -> list[Rule]:
    rules: list[Rule] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if _COMMENT.match(line):
            continue
        kind, colon, template = line.strip().partition(":")
        if not colon or not template or len(line) > MAX_LINE_CHARS:
            raise ParseError("no suppression: leak:PATTERN is one", line=number, excerpt=line)
        if kind == "leak":
            rules.append(Rule(template, "Leak", (Pattern(Part.ANY, template),)))
    return rules


def _valgrind(text: str) -> list[Rule]:
    rules: list[Rule] = []
    block: list[tuple[int, str]] | None = None
    opened = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if len(line) > MAX_LINE_CHARS:
            raise ParseError("a line too long for a suppression", line=number, excerpt=line)
        if block is None:
            if _COMMENT.match(line):
                continue
            if line != "{":
                raise ParseError("a suppression begins with {", line=number, excerpt=line)
            block, opened = [], number
        elif line == "}":
            rule = _rule(block, opened)
            if rule is not None:
                rules.append(rule)
            block = None
        elif not _COMMENT.match(line):
            block.append((number, line))
            if len(block) > MAX_CALLERS:
                raise ParseError("a suppression of more callers than any stack has", line=number)
    if block is not None:
        raise ParseError("a suppression that is not closed with }", line=opened)
    return rules


def _rule(block: list[tuple[int, str]], opened: int) -> Rule | None:
    """Read the rule in a block's lines; None for a rule of another tool."""
    if len(block) < 2:
        raise ParseError("a suppression has a name, then Memcheck:KIND", line=opened)
    name = block[0][1]
    number, tool_and_kind = block[1]
    tools, colon, kind = tool_and_kind.partition(":")
    if not colon:
        raise ParseError("the second line of a suppression is TOOL:KIND", line=number, excerpt=tool_and_kind)
    if "Memcheck" not in [tool.strip() for tool in tools.split(",")]:
        return None
    kind = kind.strip()
    patterns: list[Pattern] = []
    leak_kinds: frozenset[str] | None = None
    for number, line in block[2:]:
        if line.startswith("match-leak-kinds:"):
            leak_kinds = _leak_kinds(line.partition(":")[2], number)
            continue
        if line == "...":
            patterns.append(Pattern(Part.GAP))
            continue
        part, colon, text = line.partition(":")
        if colon and part in ("fun", "obj", "src"):
            patterns.append(Pattern(Part(part), text.strip()))
        elif patterns or kind not in ("Param", "User"):
            raise ParseError("a caller is fun:, obj:, src: or ...", line=number, excerpt=line)
    if not patterns:
        raise ParseError("a suppression without callers", line=opened, excerpt=name)
    return Rule(name, kind, tuple(patterns), leak_kinds)


def _leak_kinds(listed: str, number: int) -> frozenset[str] | None:
    kinds = frozenset(kind.strip() for kind in listed.split(",") if kind.strip())
    if kinds == {"all"}:
        return None
    if kinds == {"none"}:
        return frozenset()
    if not kinds <= frozenset(_KIND_NAMES.values()):
        names = ", ".join(_KIND_NAMES.values())
        raise ParseError(f"match-leak-kinds takes {names}, all or none", line=number, excerpt=listed)
    return kinds


def matcher(pattern: Pattern) -> Callable[[str], bool]:
    """Return a function that tells whether a text matches, in time linear in its length for any pattern."""
    if pattern.part is not Part.ANY:
        return _glob_matcher(pattern.text)
    # LeakSanitizer looks for the template anywhere, valgrind compares the whole name.
    glob = pattern.text[1:] if pattern.text.startswith("^") else f"*{pattern.text}"
    return _glob_matcher(glob[:-1] if glob.endswith("$") else f"{glob}*", questions=False)


def _glob_matcher(glob: str, *, questions: bool = True) -> Callable[[str], bool]:
    pieces = glob.split("*")
    if len(pieces) == 1 and not (questions and "?" in glob):
        return lambda text: text == glob
    finders = [_finder(piece, questions=questions) for piece in pieces]
    lengths = [len(piece) for piece in pieces]

    def matches(text: str) -> bool:
        if len(pieces) == 1:
            return len(text) == lengths[0] and finders[0](text, 0, len(text)) == 0
        end = len(text) - lengths[-1]
        if end < lengths[0] or finders[0](text, 0, lengths[0]) != 0 or finders[-1](text, end, len(text)) != end:
            return False
        at = lengths[0]
        for finder, length in zip(finders[1:-1], lengths[1:-1], strict=True):
            at = finder(text, at, end)
            if at < 0:
                return False
            at += length
        return True

    return matches


def _finder(piece: str, *, questions: bool) -> Callable[[str, int, int], int]:
    """Return a function (text, start, end) for the first place of a piece without ``*``; -1: there is none."""
    if not questions or "?" not in piece:
        return lambda text, start, end: text.find(piece, start, end)
    compiled = re.compile(".".join(map(re.escape, piece.split("?"))), re.DOTALL)

    def find(text: str, start: int, end: int) -> int:
        matched = compiled.search(text, start, end)
        return matched.start() if matched else -1

    return find


def suppression_text(record: LeakRecord, syntax: Syntax) -> str:
    """Write the rule that hides ``record``, each line with a line feed; '' for a record without names and modules."""
    own = own_frame(record)
    name = (own.function or own.linkage_name or "") if own is not None else ""
    if syntax is Syntax.LSAN:
        # Without names, the path of the module that contains the program's own function.
        pattern = clean(name or (own.module.path if own is not None and own.module is not None else ""), _NAME_CHARS)
        return f"# {_size(record)}\nleak:{pattern}\n" if pattern else ""
    callers = _callers(record)
    if not callers:
        return ""
    name = clean(name, 80) or record.leak_id
    kind = _KIND_NAMES.get(record.kind)
    lines = [f"memtui: {name}, {_size(record)}", "Memcheck:Leak"]
    if kind is not None:
        lines.append(f"match-leak-kinds: {kind}")
    return "".join(["{\n", *(f"   {line}\n" for line in (*lines, *callers)), "}\n"])


def own_frame(record: LeakRecord) -> Frame | None:
    """The innermost frame with a name outside the runtime's modules; else the innermost outside; else the first."""
    outside = [f for f in record.stack if f.module is None or not is_runtime_module(f.module.path)]
    named = (f for f in outside if (f.function or f.linkage_name) and not _is_standard(f))
    return next(named, None) or next(iter(outside), None) or next(iter(record.stack), None)


def _is_standard(frame: Frame) -> bool:
    """Whether a frame is of the C++ library's templates, which are compiled into every program."""
    name = (frame.function or "").partition("(")[0].rpartition(" ")[2]
    return name.startswith(("std::", "__gnu_cxx::")) or (frame.function or "").startswith("operator new")


def _callers(record: LeakRecord) -> list[str]:
    """The caller lines from the allocation on. Dropped frames, and those without a name for valgrind, are gaps."""
    callers = ["..."]
    for frame in record.stack:
        if len(callers) >= MAX_WRITTEN_CALLERS:
            break
        line = _caller(frame)
        if line != "..." or callers[-1] != "...":
            callers.append(line)
    while callers and callers[-1] == "...":
        callers.pop()
    return callers


def _caller(frame: Frame) -> str:
    # Inlined functions have no linkage name for valgrind, and its options decide whether they are frames.
    if frame.inlined:
        return "..."
    name = frame.linkage_name or frame.function or ""
    if name and not any(mark in name for mark in ("(", "::", " ")):
        return f"fun:{clean(name, _NAME_CHARS)}"
    if frame.module is not None and not name:
        return f"obj:{clean(frame.module.path, _NAME_CHARS)}"
    return "..."


def _size(record: LeakRecord) -> str:
    return f"{record.size_bytes} bytes in {record.objects} object{'' if record.objects == 1 else 's'}"
