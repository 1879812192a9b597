"""C++ (and legacy Rust) names as people write them, by the demangler that libstdc++ carries.

__cxa_demangle answers 230,000 names a second, but a name of 240 bytes can demand 240 MB and longer ones any time at all:
a name that is not trusted goes through a process of its own whose memory is limited, which is what running this file as a
program is for (see memtui_profiler.demangling). Only the standard library is imported here, so that it starts alone.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterable

MAX_NAME_CHARS = 16 * 1024
MAX_DEMANGLED_CHARS = 4096

# The child's whole address space: 100 MB over what a bare interpreter takes.
CHILD_MEMORY_BYTES = 160 << 20
# CPU time for one name, of which an ordinary one takes 4 us. libstdc++ goes on when memory has run out, so time ends it.
CHILD_NAME_S = 0.25
# The child's argument: a flush for each name costs more than the name, so it is asked for once a name has killed a child.
CAREFUL = "careful"

_RUST_HASH = re.compile(r"::h[0-9a-f]{16}$")
_RUST_ESCAPE = re.compile(r"\$(LT|GT|RF|BP|C|LP|RP|u[0-9a-f]{1,6})\$")
_RUST_ESCAPES = {"LT": "<", "GT": ">", "RF": "&", "BP": "*", "C": ",", "LP": "(", "RP": ")"}


def strip_version(name: str) -> str:
    """``malloc@@GLIBC_2.2.5`` is ``malloc``; a leading ``@`` is part of the name."""
    at = name.find("@", 1)
    return name if at < 0 else name[:at]


def is_mangled(name: str) -> bool:
    """Whether a C++ demangler may have something to say: ``_Z``, and ``_R`` of Rust, which c++filt knows."""
    return name.startswith(("_Z", "___Z", "_R", "_GLOBAL__")) and len(name) <= MAX_NAME_CHARS


def demangle(names: Iterable[str]) -> dict[str, str]:
    """Each name's readable form, at most 4096 characters of it; a name that is not mangled, or not well, as it is."""
    demangler = cxa_demangler()

    def read(name: str) -> str | None:
        if demangler is None or not is_mangled(name):
            return None
        found = demangler(strip_version(name).encode("utf-8", "surrogateescape"))
        return None if found is None else found.decode("utf-8", "replace")

    return {name: tidy(name, read(name)) for name in names}


def tidy(name: str, demangled: str | None) -> str:
    """What is shown for ``name`` once a demangler has spoken (None: it did not know)."""
    if demangled is None:
        return strip_version(name)[:MAX_DEMANGLED_CHARS]
    text = demangled
    if _RUST_HASH.search(text):
        text = _RUST_ESCAPE.sub(_unescape, _RUST_HASH.sub("", text)).replace("..", "::")
    return text if len(text) <= MAX_DEMANGLED_CHARS else text[: MAX_DEMANGLED_CHARS - 1] + "…"


def cxa_demangler() -> Callable[[bytes], bytes | None] | None:
    """libstdc++'s __cxa_demangle, or libc++abi's; None on a machine with neither."""
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
    # Four bytes a character at the most, and one more character, to see that it was cut.
    most = 4 * (MAX_DEMANGLED_CHARS + 1)

    def call(name: bytes) -> bytes | None:
        # A bare "i" would come back as "int": only whole mangled names are asked for, and none with a NUL inside.
        if b"\0" in name:
            return None
        result = function(name, None, None, None)
        if not result:
            return None
        try:
            return text_at(result, strnlen(result, most))
        finally:
            free(result)

    return call


def _unescape(match: re.Match[str]) -> str:
    word = match[1]
    if word in _RUST_ESCAPES:
        return _RUST_ESCAPES[word]
    code = int(word[1:], 16)
    return chr(code) if 0x20 <= code < 0x110000 and chr(code).isprintable() else match[0]


def main() -> None:
    """Names come in on stdin, one a line; an answer goes out for each, an empty line where there is none.

    SIGPROF ends the process over a name that takes too long. With CAREFUL each answer goes out before the next name is looked
    at: whoever counts them knows which one that was.
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
