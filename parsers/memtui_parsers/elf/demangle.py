"""Demangles C++ and legacy Rust names with libstdc++'s __cxa_demangle, in a process of its own.

__cxa_demangle handles 230,000 names a second, but a hostile name of 240 bytes can take 240 MB, and a longer one any
time. This file is therefore run as a program with limited memory and time (see memtui_profiler.symbols.demangling), and imports
only the standard library. Of the packages, cxxfilt calls the same function without limits, and itanium_demangler fails
on two names in three.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable

MAX_NAME_CHARS = 16 * 1024
MAX_DEMANGLED_CHARS = 4096

# The child's whole address space: 100 MB over what a bare interpreter takes.
CHILD_MEMORY_BYTES = 160 << 20
# CPU time for one name; an ordinary one takes 4 us. libstdc++ continues when it is out of memory, so only time ends it.
CHILD_NAME_S = 0.25
# The child's argument for a flush after each name, which costs more than the name: for use after a child was killed.
CAREFUL = "careful"

_RUST_HASH = re.compile(r"::h[0-9a-f]{16}$")
_RUST_ESCAPE = re.compile(r"\$(LT|GT|RF|BP|C|LP|RP|u[0-9a-f]{1,6})\$")
_RUST_ESCAPES = {"LT": "<", "GT": ">", "RF": "&", "BP": "*", "C": ",", "LP": "(", "RP": ")"}


def strip_version(name: str) -> str:
    """Remove the symbol version: ``malloc@@GLIBC_2.2.5`` is ``malloc``. A leading ``@`` is part of the name."""
    at = name.find("@", 1)
    return name if at < 0 else name[:at]


def is_mangled(name: str) -> bool:
    """Whether a C++ demangler may know the name: ``_Z``, and ``_R`` of Rust, which c++filt knows."""
    return name.startswith(("_Z", "___Z", "_R", "_GLOBAL__")) and len(name) <= MAX_NAME_CHARS


def tidy(name: str, demangled: str | None) -> str:
    """Return the text to show for ``name``, at most 4096 characters, by a demangler's answer (None: unknown name)."""
    if demangled is None:
        return strip_version(name)[:MAX_DEMANGLED_CHARS]
    text = demangled
    if _RUST_HASH.search(text):
        text = _RUST_ESCAPE.sub(_unescape, _RUST_HASH.sub("", text)).replace("..", "::")
    return text if len(text) <= MAX_DEMANGLED_CHARS else text[: MAX_DEMANGLED_CHARS - 1] + "…"


def cxa_demangler() -> Callable[[bytes], bytes | None] | None:
    """Load __cxa_demangle of libstdc++, or of libc++abi; None on a machine with neither."""
    for library in ("libstdc++.so.6", "libc++abi.so.1"):
        try:
            return _bound(ctypes.CDLL(library).__cxa_demangle)
        except (OSError, AttributeError):
            continue
    return None


def _bound(function: ctypes._NamedFuncPointer) -> Callable[[bytes], bytes | None]:
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    libc = ctypes.CDLL(None)
    free, strnlen, text_at = libc.free, libc.strnlen, ctypes.string_at
    free.argtypes = [ctypes.c_void_p]
    free.restype = None
    strnlen.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    strnlen.restype = ctypes.c_size_t
    # A character has at most four bytes; one more character shows that the text was cut.
    max_bytes = 4 * (MAX_DEMANGLED_CHARS + 1)

    def call(name: bytes) -> bytes | None:
        # C would take a name with a NUL for its beginning.
        if b"\0" in name:
            return None
        result = function(name, None, None, None)
        if not result:
            return None
        try:
            return text_at(result, strnlen(result, max_bytes))
        finally:
            free(result)

    return call


def _unescape(match: re.Match[str]) -> str:
    escape = match[1]
    if escape in _RUST_ESCAPES:
        return _RUST_ESCAPES[escape]
    code = int(escape[1:], 16)
    return chr(code) if 0x20 <= code < 0x110000 and chr(code).isprintable() else match[0]


def main() -> None:
    """Demangle the names on stdin, one per line, to stdout; an unknown name gives an empty line.

    SIGPROF ends the process when a name takes too long. With CAREFUL each answer is written before the next name is
    read, so that the number of answers tells which name it was.
    """
    import resource
    import signal

    demangler = cxa_demangler()
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    careful = CAREFUL in sys.argv
    output = sys.stdout.buffer
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, CHILD_NAME_S)
        answer = demangler(line.rstrip(b"\n")) if demangler else None
        output.write((answer or b"").replace(b"\n", b" ") + b"\n")
        if careful:
            output.flush()


if __name__ == "__main__":
    main()
