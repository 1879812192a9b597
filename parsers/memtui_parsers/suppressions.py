"""Suppression files of valgrind and of LeakSanitizer: which leaks and errors a user does not want to see.

Valgrind's are blocks of ``{ name, tool:kind, callers... }`` whose callers (``fun:``, ``obj:``, ``src:``, ``...``) match a stack
from its leaf on (its manual, "Suppressing errors"); LeakSanitizer's are lines of ``leak:template``, which suppresses a stack
with the template in the name, file or module of any of its frames (compiler-rt, sanitizer_suppressions.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from memtui_parsers.errors import ParseError

MAX_RULES = 20_000
MAX_CALLERS = 500
MAX_LINE_CHARS = 4096


class Part(str, Enum):
    """What of a frame a pattern is about. ``GAP``: any number of frames, none too. ``ANY``: name, file or module."""

    FUNCTION = "fun"
    OBJECT = "obj"
    SOURCE = "src"
    GAP = "..."
    ANY = "leak"


class Pattern(NamedTuple):
    """``*`` is any text, ``?`` any character (in valgrind's). Of LeakSanitizer's, ``^`` and ``$`` hold it to an end."""

    part: Part
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One suppression. ``kind`` is what it is for: ``Leak``, or one of memcheck's errors (``Addr4``, ``Cond`` ...).

    ``leak_kinds`` are those of match-leak-kinds (definite, indirect, possible, reachable); None: all. ``patterns`` match the
    stack from its leaf on, but for a single one of Part.ANY.
    """

    name: str
    kind: str
    patterns: tuple[Pattern, ...]
    leak_kinds: frozenset[str] | None = None


class Syntax(str, Enum):
    VALGRIND = "valgrind"
    LSAN = "lsan"


_LEAK_KINDS = ("definite", "indirect", "possible", "reachable")
_COMMENT = re.compile(r"\s*(?:#|$)")


def syntax_of(text: str) -> Syntax | None:
    """Whose file it is, by its first line that is no comment; None for one that has no rule yet."""
    first = next((line.strip() for line in text.splitlines() if not _COMMENT.match(line)), None)
    if first is None:
        return None
    return Syntax.VALGRIND if first.startswith("{") else Syntax.LSAN


def parse_suppressions(text: str) -> tuple[Rule, ...]:
    """The rules of a file of either syntax; those of other tools are left out. Raises ParseError with its line."""
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
    """The rule of a block's lines; None where it is for another tool."""
    if len(block) < 2:
        raise ParseError("a suppression has a name, then Memcheck:KIND", line=opened)
    name = block[0][1]
    number, what = block[1]
    tools, colon, kind = what.partition(":")
    if not colon:
        raise ParseError("the second line of a suppression is TOOL:KIND", line=number, excerpt=what)
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
        part, colon, wanted = line.partition(":")
        if colon and part in ("fun", "obj", "src"):
            patterns.append(Pattern(Part(part), wanted.strip()))
        elif patterns or kind not in ("Param", "User"):
            raise ParseError("a caller is fun:, obj:, src: or ...", line=number, excerpt=line)
    if not patterns:
        raise ParseError("a suppression without callers", line=opened, excerpt=name)
    return Rule(name, kind, tuple(patterns), leak_kinds)


def _leak_kinds(words: str, number: int) -> frozenset[str] | None:
    wanted = frozenset(word.strip() for word in words.split(",") if word.strip())
    if wanted == {"all"}:
        return None
    if wanted == {"none"}:
        return frozenset()
    if not wanted <= frozenset(_LEAK_KINDS):
        raise ParseError(f"match-leak-kinds takes {', '.join(_LEAK_KINDS)}, all or none", line=number, excerpt=words)
    return wanted


def matcher(pattern: Pattern) -> Callable[[str], bool]:
    """Whether a text matches. Its cost grows with the text's length alone, whatever the pattern."""
    text = pattern.text
    if pattern.part is not Part.ANY:
        return _whole(text)
    held, ends = text.startswith("^"), text.endswith("$")
    text = text[1:] if held else text
    text = text[:-1] if ends else text
    # LeakSanitizer looks for the template anywhere, valgrind takes the whole name.
    return _whole(f"{'' if held else '*'}{text}{'' if ends else '*'}", questions=False)


def _whole(glob: str, *, questions: bool = True) -> Callable[[str], bool]:
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
    """Where a piece without ``*`` is first in text[start:end]; -1: nowhere."""
    if not questions or "?" not in piece:
        return lambda text, start, end: text.find(piece, start, end)
    compiled = re.compile(".".join(map(re.escape, piece.split("?"))), re.DOTALL)

    def find(text: str, start: int, end: int) -> int:
        found = compiled.search(text, start, end)
        return found.start() if found else -1

    return find
