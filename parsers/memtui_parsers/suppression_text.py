"""One leak as a suppression, in valgrind's words or LeakSanitizer's."""

from __future__ import annotations

from memtui_parsers.clean_text import clean
from memtui_parsers.leak_id import is_runtime_module
from memtui_parsers.suppressions import MAX_LINE_CHARS, Syntax
from memtui_parsers.values import Frame, LeakKind, LeakRecord

# Valgrind takes 24 callers at most.
CALLERS = 20
MEMCHECK = "memcheck"
_KINDS = {
    LeakKind.DEFINITELY_LOST: "definite",
    LeakKind.INDIRECTLY_LOST: "indirect",
    LeakKind.POSSIBLY_LOST: "possible",
    LeakKind.STILL_REACHABLE: "reachable",
}
_NAME_CHARS = MAX_LINE_CHARS - 16


def suppression_text(record: LeakRecord, syntax: Syntax) -> str:
    """The lines that leave ``record`` out, with a line feed at the end; '' where nothing is known to name it by."""
    if syntax is Syntax.LSAN:
        pattern = lsan_pattern(record)
        return f"# {_size(record)}\nleak:{pattern}\n" if pattern else ""
    callers = _callers(record)
    if not callers:
        return ""
    own = own_frame(record)
    name = clean((own.function or own.linkage_name or "") if own is not None else "", 80) or record.leak_id
    kind = _KINDS.get(record.kind)
    lines = [f"memtui: {name}, {_size(record)}", "Memcheck:Leak"]
    if kind is not None:
        lines.append(f"match-leak-kinds: {kind}")
    return "".join(["{\n", *(f"   {line}\n" for line in (*lines, *callers)), "}\n"])


def lsan_pattern(record: LeakRecord) -> str:
    """The program's own function, whole; where none has a name, the file that the code is in."""
    own = own_frame(record)
    if own is None:
        return ""
    name = own.function or own.linkage_name or (own.module.path if own.module is not None else "")
    return clean(name, _NAME_CHARS)


def own_frame(record: LeakRecord) -> Frame | None:
    """The innermost frame outside the runtime's modules that has a name; with none, the innermost outside; else the first."""
    outside = [f for f in record.stack if f.module is None or not is_runtime_module(f.module.path)]
    named = (f for f in outside if (f.function or f.linkage_name) and not _is_standard(f))
    return next(named, None) or next(iter(outside), None) or next(iter(record.stack), None)


def _is_standard(frame: Frame) -> bool:
    """Code of the C++ library that was compiled into the program: its name is everybody's."""
    name = (frame.function or "").partition("(")[0].rpartition(" ")[2]
    return name.startswith(("std::", "__gnu_cxx::")) or (frame.function or "").startswith("operator new")


def _callers(record: LeakRecord) -> list[str]:
    """From the allocation on: what records have lost of the stack, and what has no name that valgrind would know, is a gap."""
    callers = ["..."]
    for frame in record.stack:
        if len(callers) >= CALLERS:
            break
        line = _caller(frame)
        if line != "..." or callers[-1] != "...":
            callers.append(line)
    while callers and callers[-1] == "...":
        callers.pop()
    return callers


def _caller(frame: Frame) -> str:
    # Inlined functions have no linkage name for valgrind, and whether they are frames depends on its options.
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
