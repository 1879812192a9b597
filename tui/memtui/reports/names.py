"""The name of a stack: the program's own frame in it and that frame's place; C++ names shortened to fit a column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from memtui_parsers.clean_text import clean
from memtui_parsers.report.function_names import NAME_LIMIT, collapse, last_parts, qualified, without_trait
from memtui_parsers.report.leak_id import is_runtime_module
from memtui_parsers.report.passing_code import Code, code_of, is_bare_address
from memtui_parsers.values import Frame

UNKNOWN = "(no stack)"
CALLED_BY = " ← "
# Go's path of a package, its name, and the function with its receiver.
_GO = re.compile(r"(?:[\w.~-]+/)*([\w-]+)\.((?:\(\*?\w+(?:\[[^\]]*\])?\)\.)?\w+(?:\[[^\]]*\])?(?:\.func\d+|\.\d+)*)")
_TYPE_SPACES = re.compile(r"(?<=[<, ])(?:[A-Za-z_]\w*::)+(?=[A-Za-z_])")


def program_index(stack: Sequence[Frame], code: Callable[[Frame], Code] = code_of) -> int | None:
    """Return the index of the frame that a stack is named by: the program's first one; None for an empty stack.

    Without one of the program's: the first of a library that the program brings, else the first outside the runtime's modules.
    """
    if not stack:
        return None
    for index, frame in enumerate(stack):
        if code(frame) is Code.PROGRAM:
            return index
    outside = [
        index
        for index, frame in enumerate(stack)
        if not (is_bare_address(frame) or (frame.module is not None and is_runtime_module(frame.module.path)))
    ]
    return next((index for index in outside if code(stack[index]) is Code.LIBRARY), outside[0] if outside else 0)


def base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def module_name(frame: Frame) -> str:
    return base_name(frame.module.path) if frame.module is not None else ""


def place(frame: Frame, *, whole: bool = False) -> str:
    """Return ``file:line``, else ``module+0xoffset``, else the address; with base names, or ``whole`` paths."""
    if frame.file:
        file = frame.file if whole else base_name(frame.file)
        return clean(f"{file}:{frame.line}" if frame.line else file, NAME_LIMIT)
    if frame.module is not None:
        module = frame.module.path if whole else base_name(frame.module.path)
        return clean(module if frame.offset is None else f"{module}+{frame.offset:#x}", NAME_LIMIT)
    return f"{frame.address:#x}"


def is_unchecked(frame: Frame) -> bool:
    """Return whether a frame has its name from a file that may be another build than the one that ran."""
    return frame.module is not None and frame.module.unchecked and bool(frame.function or frame.linkage_name)


def function_name(frame: Frame) -> str:
    """Return the demangled function, else the linkage name, else the module or the address; whole and safe to print."""
    name = frame.function or frame.linkage_name
    if name:
        return clean(name, NAME_LIMIT)
    return module_name(frame) or f"{frame.address:#x}"


def title(stack: Sequence[Frame], program: int | None, code: Callable[[Frame], Code] = code_of) -> str:
    """Return the program's function; ``strdup ← parse_peer`` where that called the library which allocated."""
    if program is None:
        return UNKNOWN
    own = function_name(stack[program])
    called = stack[program - 1] if program > 0 else None
    if called is None or not called.function or code(called) is not Code.LIBRARY:
        return own
    return f"{bare(clean(called.function, NAME_LIMIT))}{CALLED_BY}{own}"


@lru_cache(maxsize=1024)
def bare(name: str) -> str:
    """Return a function's name with its class at most: without return type, namespaces, template and call arguments."""
    path = qualified(collapse(without_trait(name), keep_templates=False)).replace("<…>", "")
    parts = path.split("::")
    return last_parts(path, 2) if len(parts) > 2 or parts[0] not in ("std", "__gnu_cxx") else "::".join(parts[1:])


@lru_cache(maxsize=1024)
def shorten(name: str, width: int) -> str:
    """Return the longest form of a C++ name that fits ``width`` columns; the shortest form when none does (the caller cuts it).

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
    if go := _GO.fullmatch(name):
        shorter = (f"{go[1]}.{go[2]}", go[2], go[2].rpartition(".")[2])
        return next((form for form in shorter if len(form) <= width), shorter[-1])
    folded = collapse(without_trait(name), keep_templates=True)
    bare_types = _TYPE_SPACES.sub("", qualified(folded))
    plain = collapse(without_trait(name), keep_templates=False)
    path = qualified(plain)
    forms = (
        folded,
        qualified(folded),
        bare_types,
        last_parts(bare_types, 2),
        plain,
        path,
        last_parts(path, 2),
    )
    shortest = min(last_parts(path, 1), name, key=len)
    return next((form for form in forms if len(form) <= width), shortest)
