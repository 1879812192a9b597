"""What a stack is called: the program's own frame in it, that frame's place, and C++ names that fit a column.

A library frame is one of a runtime module, or code of the C++ standard library that was compiled into the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from memtui_parsers.clean_text import clean
from memtui_parsers.leak_id import is_runtime_module
from memtui_parsers.values import Frame

UNKNOWN = "(no stack)"
NAME_LIMIT = 2048
CALLED_BY = " ← "
ANONYMOUS = "(anonymous namespace)::"
# What stands for it while a name is taken apart: brackets begin the arguments.
_UNNAMED = "\0::"

_STANDARD_SPACES = ("std::", "__gnu_cxx::", "__cxxabiv1::", "__gnu_debug::", "__gnu_parallel::")
# What the linker adds to every program before main.
_START_CODE = frozenset({"_start", "__libc_csu_init", "_init", "frame_dummy", "__do_global_dtors_aux"})
_STANDARD_FILE = re.compile(r"/include/c\+\+/|/c\+\+/v1/|/bits/[\w.]+$|/ext/[\w.]+$|/libstdc\+\+")
_TYPE_SPACES = re.compile(r"(?<=[<, ])(?:[A-Za-z_]\w*::)+(?=[A-Za-z_])")
_OPERATOR = re.compile(r"\boperator\s*(?:\(\)|<=>|<<=|>>=|->\*|<<|>>|<=|>=|->|<|>)")


def is_library_frame(frame: Frame) -> bool:
    """Whether the frame is the runtime's or the standard library's rather than the program's own code.

    The function decides where it is known: a program's function into which a header was inlined has the header's line.
    """
    if frame.module is not None and is_runtime_module(frame.module.path):
        return True
    in_header = frame.file is not None and _STANDARD_FILE.search(frame.file[-NAME_LIMIT:]) is not None
    if frame.function is None:
        return in_header or _is_bare_address(frame)
    # An inlined call often has its bare name alone, ``allocate``; its line is of its own code.
    return (frame.inlined and in_header) or frame.function in _START_CODE or _is_standard(frame.function[:NAME_LIMIT])


def _is_bare_address(frame: Frame) -> bool:
    """Unwinders that miss the end of a stack go on with what lies above it: ``0x2``, the arguments' addresses."""
    return frame.module is None and frame.file is None and not frame.function and not frame.linkage_name


def _is_standard(name: str) -> bool:
    head = name.partition("(")[0] or name
    if not any(space in head for space in _STANDARD_SPACES):
        return name.startswith(("operator new", "operator delete"))
    # A template function's name begins with its return type: what is std:: there says nothing of the function.
    return _qualified(_collapse(name, keep_templates=False)).startswith(_STANDARD_SPACES)


def program_index(stack: Sequence[Frame], library: Iterable[bool]) -> int | None:
    """The first frame of the program's own; with none, the first outside the runtime's modules; None for an empty stack."""
    for index, in_library in enumerate(library):
        if not in_library:
            return index
    for index, frame in enumerate(stack):
        if not (_is_bare_address(frame) or (frame.module is not None and is_runtime_module(frame.module.path))):
            return index
    return 0 if stack else None


def base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def module_name(frame: Frame) -> str:
    return base_name(frame.module.path) if frame.module is not None else ""


def place(frame: Frame, *, whole: bool = False) -> str:
    """``file:line``, else ``module+0xoffset``, else the address; base names, or ``whole`` paths."""
    if frame.file:
        file = frame.file if whole else base_name(frame.file)
        return clean(f"{file}:{frame.line}" if frame.line else file, NAME_LIMIT)
    if frame.module is not None:
        module = frame.module.path if whole else base_name(frame.module.path)
        return clean(module if frame.offset is None else f"{module}+{frame.offset:#x}", NAME_LIMIT)
    return f"{frame.address:#x}"


def function_name(frame: Frame) -> str:
    """The demangled function, else the linkage name, else where the code lies; whole and safe to print."""
    name = frame.function or frame.linkage_name
    if name:
        return clean(name, NAME_LIMIT)
    return module_name(frame) or f"{frame.address:#x}"


def title(stack: Sequence[Frame], program: int | None) -> str:
    """The program's function; ``strdup ← parse_peer`` where that called the library which allocated."""
    if program is None:
        return UNKNOWN
    own = function_name(stack[program])
    called = stack[program - 1] if program > 0 else None
    if called is None or not called.function:
        return own
    return f"{bare(clean(called.function, NAME_LIMIT))}{CALLED_BY}{own}"


def bare(name: str) -> str:
    """A function's name with its class at most: no return type, namespaces, template or call arguments."""
    parts = _qualified(_collapse(name, keep_templates=False)).replace("<…>", "").split("::")
    return "::".join(parts[-2:] if len(parts) > 2 or parts[0] not in ("std", "__gnu_cxx") else parts[1:])


@lru_cache(maxsize=1024)
def shorten(name: str, width: int) -> str:
    """The fullest form of a C++ name that fits ``width`` columns; the shortest form when none does (the caller cuts it).

    In order: as it is, without arguments, template arguments without namespaces, the name with its class, template
    arguments folded, the name alone.
    """
    if len(name) <= width:
        return name
    called, joint, own = name.rpartition(CALLED_BY)
    if joint:
        # The program's own function is what matters: what it called goes first.
        for left in (f"{called}{joint}", f"{called.rpartition('::')[2]}{joint}", ""):
            form = f"{left}{shorten(own, max(width - len(left), 0))}"
            if len(form) <= width:
                return form
        return shorten(own, width)
    folded = _collapse(name, keep_templates=True)
    bare_types = _TYPE_SPACES.sub("", _qualified(folded))
    plain = _collapse(name, keep_templates=False)
    qualified = _qualified(plain)
    forms = (folded, _qualified(folded), bare_types, _last(bare_types, 2), plain, qualified, _last(qualified, 2))
    shortest = min(_last(qualified, 1), name, key=len)
    return next((form for form in forms if len(form) <= width), shortest)


def namespace_of(name: str) -> str:
    """The C++ namespaces (or Rust modules) that a demangled function is in, ``relay::codec``; '' for the global one.

    Names alone do not tell a namespace from a class: the first part that has template arguments, begins with a capital, or
    is repeated by the function's own (a constructor) is taken for a class.
    """
    if name.startswith("<"):
        # Rust's <Type as Trait>::function: the type's.
        name = f"{name[1:].partition(' as ')[0].partition('>::')[0]}::_"
    if any(mark in name for mark in ("<", "{", "operator", ANONYMOUS)):
        name = name[:NAME_LIMIT].replace(ANONYMOUS, _UNNAMED)
        parts = _parts(_qualified(_collapse(name, keep_templates=True)))
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
    """A qualified name at its ``::``, but for those inside brackets."""
    parts, depth, begin = [], 0, 0
    for index, char in enumerate(name):
        depth += {"<": 1, "{": 1, "(": 1, ">": -1, "}": -1, ")": -1}.get(char, 0)
        if char == ":" and depth <= 0 and name.startswith("::", index):
            parts.append(name[begin:index])
            begin = index + 2
    return [*parts, name[begin:]]


def _last(name: str, parts: int) -> str:
    """The last ``parts`` of a qualified name; ``::`` inside brackets parts nothing."""
    depth = 0
    for index in range(len(name) - 1, 0, -1):
        depth += {">": 1, "}": 1, ")": 1, "<": -1, "{": -1, "(": -1}.get(name[index], 0)
        if depth == 0 and name.startswith("::", index - 1):
            parts -= 1
            if parts == 0:
                return name[index + 1 :] or name
    return name


def _collapse(name: str, *, keep_templates: bool) -> str:
    """``name`` without its call arguments (and what follows them), its template arguments as they are or as ``<…>``."""
    out: list[str] = []
    templates = braces = index = 0
    while index < len(name):
        kept = keep_templates or templates == 0
        char = name[index]
        token = _OPERATOR.match(name, index) if char == "o" else None
        if token or name.startswith(ANONYMOUS, index):
            word = token[0] if token else ""
            index += len(word or ANONYMOUS)
            if kept:
                out.append(word)
            continue
        index += 1
        if char == "(" and templates == braces == 0 and out:
            break
        if char in "{}":
            braces = max(0, braces + (1 if char == "{" else -1))
        if char == "<":
            templates += 1
            if templates == 1 and not keep_templates:
                out.append("<…>")
        if kept and (char != "<" or keep_templates):
            out.append(char)
        if char == ">":
            templates = max(0, templates - 1)
    return "".join(out).rstrip() or name


def _qualified(name: str) -> str:
    """``name`` without the return type that a template function's demangled name starts with."""
    if "operator" in name:
        return name
    depth = 0
    for index in range(len(name) - 1, -1, -1):
        char = name[index]
        depth += {">": 1, "}": 1, ")": 1, "<": -1, "{": -1, "(": -1}.get(char, 0)
        if char == " " and depth <= 0:
            return name[index + 1 :] or name
    return name
