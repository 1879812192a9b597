"""The parts of demangled C++ and Rust names: without arguments, template arguments, return types; their namespaces."""

from __future__ import annotations

import re

NAME_LIMIT = 2048
ANONYMOUS = "(anonymous namespace)::"
# Its substitute while a name is parsed, since brackets begin the arguments.
_UNNAMED = "\0::"

_PATH = re.compile(r"[\w:]+(?:<.*>)?$")
# By how much deeper in brackets a text is behind each of them.
_DEEPER = {"<": 1, "{": 1, "(": 1, ">": -1, "}": -1, ")": -1}
_BRACKETS = re.compile(r"[<>{}()]")
# Text that collapse() takes as it is.
_PLAIN = re.compile(r"(?:[^<>{}()o]|o(?!perator))+")
_OPERATOR = re.compile(r"\boperator\s*(?:\(\)|<=>|<<=|>>=|->\*|<<|>>|<=|>=|->|<|>)")


def namespace_of(name: str) -> str:
    """Return the C++ namespaces (or Rust modules) of a demangled function, ``relay::codec``; '' for the global one.

    A name alone does not tell a namespace from a class: the first part that has template arguments, begins with a capital, or
    is repeated by the function itself (a constructor) is taken for a class.
    """
    if name.startswith("<"):
        # Rust's <Type as Trait>::function: the type's.
        name = f"{name[1:].partition(' as ')[0].partition('>::')[0]}::_"
    if any(mark in name for mark in ("<", "{", "operator", ANONYMOUS)):
        name = name[:NAME_LIMIT].replace(ANONYMOUS, _UNNAMED)
        parts = _parts(qualified(collapse(name, keep_templates=True)))
    else:
        parts = name.partition("(")[0].rpartition(" ")[2].split("::")
    own, spaces = parts[-1].lstrip("~"), []
    for part in parts[:-1]:
        if "<" not in part:
            part = part.rpartition(" ")[2]
        if part != "\0" and (not part or "<" in part or part[0].isupper() or part == own):
            break
        spaces.append(ANONYMOUS[:-2] if part == "\0" else part)
    return "::".join(spaces)


def _parts(name: str) -> list[str]:
    """Return the parts of a qualified name between its ``::``, except those inside brackets."""
    parts, depth, begin = [], 0, 0
    for index, char in enumerate(name):
        depth += _DEEPER.get(char, 0)
        if char == ":" and depth <= 0 and name.startswith("::", index):
            parts.append(name[begin:index])
            begin = index + 2
    return [*parts, name[begin:]]


def without_trait(name: str) -> str:
    """Return Rust's ``<Type as Trait>::function`` and ``<Type>::function`` as ``Type::function``; other names as they are."""
    if not name.startswith("<"):
        return name
    depth, trait = 0, 0
    for index, char in enumerate(name):
        depth += {"<": 1, ">": -1 if name[index - 1] != "-" else 0}.get(char, 0)
        if depth == 1 and not trait and name.startswith(" as ", index):
            trait = index
        if depth == 0:
            of = name[1 : trait or index].lstrip("&*")
            # Of a type that has no name the trait tells more.
            of = name[trait + 4 : index] if trait and not _PATH.match(of) else of
            return f"{of}{name[index + 1 :]}"
    return name


def last_parts(name: str, parts: int) -> str:
    """Return the last ``parts`` of a qualified name; ``::`` inside brackets does not count, nor a closure without its function."""
    if not _BRACKETS.search(name) and not name.endswith("::"):
        return "::".join(name.rsplit("::", parts)[-parts:])
    depth = 0
    for index in range(len(name) - 1, 0, -1):
        depth -= _DEEPER.get(name[index], 0)
        if depth == 0 and name.startswith("::", index - 1) and name[index + 1 : index + 2] not in ("<", ""):
            parts -= 0 if name.startswith("{", index + 1) else 1
            if parts == 0:
                return name[index + 1 :] or name
    return name


def collapse(name: str, *, keep_templates: bool) -> str:
    """Return ``name`` up to its call arguments, with its template arguments as they are or as ``<…>``."""
    out: list[str] = []
    templates = braces = index = 0
    while index < len(name):
        kept = keep_templates or templates == 0
        if plain := _PLAIN.match(name, index):
            index = plain.end()
            if kept:
                out.append(plain[0])
            continue
        char = name[index]
        token = _OPERATOR.match(name, index) if char == "o" else None
        if token or name.startswith(ANONYMOUS, index):
            operator = token[0] if token else ""
            index += len(operator or ANONYMOUS)
            if kept:
                out.append(operator)
            continue
        index += 1
        # Behind a point it is no argument, but the receiver of a method of Go: json.(*Decoder).Decode.
        if char == "(" and templates == braces == 0 and out and not out[-1].endswith("."):
            break
        if char in "{}":
            braces = max(0, braces + (1 if char == "{" else -1))
        if char == "<":
            templates += 1
            if templates == 1 and not keep_templates:
                if out:
                    out[-1] = out[-1].removesuffix("::")  # Rust's collect::<Vec<T>>
                out.append("<…>")
        if kept and (char != "<" or keep_templates):
            out.append(char)
        if char == ">":
            templates = max(0, templates - 1)
    return "".join(out).rstrip() or name


def qualified(name: str) -> str:
    """Return ``name`` without the return type that a template function's demangled name starts with."""
    if " " not in name or "operator" in name:
        return name
    depth = 0
    for index in range(len(name) - 1, -1, -1):
        char = name[index]
        depth -= _DEEPER.get(char, 0)
        if char == " " and depth <= 0:
            return name[index + 1 :] or name
    return name
