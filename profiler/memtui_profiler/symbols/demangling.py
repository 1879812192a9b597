"""Demangles untrusted names, in child processes whose memory and time are limited.

c++filt first, then ``__cxa_demangle`` of libstdc++ through ctypes (230,000 names a second): no package needed, and a name that
makes a demangler overflow its stack ends a child, not the worker. itanium_demangler (PyPI) fails on two names in three.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence

from memtui_parsers.elf import demangle as demangler
from memtui_profiler.helper_process import find_program

# Ordinary names take 4 us each; names without an answer after this time stay mangled.
DEADLINE_S = 10.0
# How many names may end a demangler, at 0.3 s each, before the rest stay mangled too.
MAX_DEATHS = 8
# c++filt knows Rust's v0 names, and with -r C++ names beyond libstdc++'s limit of 2048 components. With -i it leaves std::string
# short, as libstdc++ does: the same answer, and for 8,000 names in 25 ms instead of 80.
CXXFILT = ("c++filt", "-i", "-r")
CXXFILT_DEADLINE_S = 1.0

# A hundred times the answers to 10,000 ordinary names; c++filt spells out any name that fits its memory.
MAX_OUTPUT_BYTES = 64 << 20
READ_BYTES = 1 << 16

# What c++filt reads as one name.
_WORD = re.compile(r"[A-Za-z0-9_.$]+")
# A name goes to a demangler as one line.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f]")


def demangled(names: Collection[str]) -> dict[str, str]:
    """The readable form of each name; the name itself where no demangler knows it, or the name ended one."""
    plain = {name: demangler.strip_version(name) for name in names}
    asked = sorted(name for name in set(plain.values()) if demangler.is_mangled(name))
    answers = _by_cxxfilt(asked)
    # All of them where there is no c++filt, else those that c++filt ended before.
    answers |= _by_libstdcxx([name for name in asked if name not in answers and not _BREAKS.search(name)])
    return {name: demangler.tidy(name, _other(answers.get(p), p)) for name, p in plain.items()}


def _by_cxxfilt(names: Sequence[str]) -> dict[str, str]:
    """Answers by name, an unknown name being its own; none for the name that ended c++filt and those after it."""
    cxxfilt = find_program(CXXFILT[0])
    askable = list(filter(_WORD.fullmatch, names))
    if cxxfilt is None or not askable:
        return {}
    return dict(zip(askable, _ask([cxxfilt, *CXXFILT[1:]], askable, CXXFILT_DEADLINE_S), strict=False))


def _by_libstdcxx(names: Sequence[str]) -> dict[str, str]:
    """Answers by name, '' for an unknown one; none for names that ended their demangler, and those left over after too many."""
    # -I -S: without the user's environment and site-packages it is safe, and starts in 15 ms.
    command = [sys.executable, "-I", "-S", demangler.__file__]
    answers: dict[str, str] = {}
    start = 0
    for death in range(MAX_DEATHS + 1):
        if start >= len(names):
            break
        # A demangler that ends loses the answers it had not written: after the first such end each name is flushed alone.
        lines = _ask([*command, demangler.CAREFUL] if death else command, names[start:], DEADLINE_S)
        answers |= zip(names[start:], lines, strict=False)
        start += len(lines) + (death > 0)
    return answers


def _ask(command: Sequence[str], names: Sequence[str], deadline_s: float) -> list[str]:
    """One line for each name, in order, until the child ended, its time was over, or its output too long."""
    with tempfile.TemporaryFile() as asked:
        asked.write("\n".join(names).encode("utf-8", "surrogateescape") + b"\n")
        asked.seek(0)
        try:
            child = subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError:
            return []
    with child:
        _limit_memory(child.pid)
        assert child.stdout is not None
        output = _output(child.stdout.fileno(), time.monotonic() + deadline_s)
        child.kill()
    # A last line without its end is not an answer: the child ended while it wrote.
    return [line.decode("utf-8", "replace") for line in output.split(b"\n")[:-1]]


def _output(descriptor: int, deadline: float) -> bytearray:
    output = bytearray()
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    while len(output) < MAX_OUTPUT_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not ready.poll(1000 * left_s):
            break
        chunk = os.read(descriptor, READ_BYTES)
        if not chunk:
            break
        output += chunk
    return output


def _limit_memory(pid: int) -> None:
    """For c++filt; the Python child also limits itself."""
    size = demangler.CHILD_MEMORY_BYTES
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))


def _other(answer: str | None, name: str) -> str | None:
    return None if not answer or answer == name else answer
