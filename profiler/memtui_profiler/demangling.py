"""Demangles names that nobody vouches for, in processes whose memory and time are limited."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence

from memtui_parsers import demangle as demangler

# Ordinary names take 4 us each; what is not answered in this time stays mangled.
DEADLINE_S = 10.0
# How many names may kill a demangler before the rest of them stay mangled too; each costs 0.3 s.
MAX_DEATHS = 8
# c++filt knows Rust's v0 names, and with -r C++ names beyond libstdc++'s limit of 2048 components. With -i it leaves std::string
# short, as libstdc++ does: the same answer, and for 8,000 names in 25 ms instead of 80.
CXXFILT = ("c++filt", "-i", "-r")
CXXFILT_DEADLINE_S = 1.0

# A hundred times what 10,000 ordinary names say; c++filt spells out any name that fits its memory.
MAX_OUTPUT_BYTES = 64 << 20
READ_BYTES = 1 << 16

# What c++filt takes for one word.
_WORD = re.compile(r"[A-Za-z0-9_.$]+")
# A demangler is asked in lines.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f]")


def demangled(names: Collection[str]) -> dict[str, str]:
    """Each name's readable form; as it is where no demangler knows it, or the name is made to hurt one."""
    plain = {name: demangler.strip_version(name) for name in names}
    asked = sorted(name for name in set(plain.values()) if demangler.is_mangled(name))
    answers = _by_cxxfilt(asked)
    # All, where there is no c++filt, and those that it was ended over.
    answers |= _by_libstdcxx([name for name in asked if name not in answers and not _BREAKS.search(name)])
    return {name: demangler.tidy(name, _other(answers.get(p), p)) for name, p in plain.items()}


def _by_cxxfilt(names: Sequence[str]) -> dict[str, str]:
    """A name that is not known is its own answer. None for what ended it, and what came after that."""
    cxxfilt = shutil.which(CXXFILT[0])
    words = list(filter(_WORD.fullmatch, names))
    if cxxfilt is None or not words:
        return {}
    return dict(zip(words, _ask([cxxfilt, *CXXFILT[1:]], words, CXXFILT_DEADLINE_S), strict=False))


def _by_libstdcxx(names: Sequence[str]) -> dict[str, str]:
    """An empty answer: not known. None at all: the name ended its demangler, or no demangler was left for it."""
    # -I -S: neither the user's environment nor site-packages have a say, and it starts in 15 ms.
    command = [sys.executable, "-I", "-S", demangler.__file__]
    answers: dict[str, str] = {}
    start = 0
    for death in range(MAX_DEATHS + 1):
        if start >= len(names):
            break
        # Where a name ended it, answers that were under way are lost with it: the rest is asked for one by one.
        lines = _ask([*command, demangler.CAREFUL] if death else command, names[start:], DEADLINE_S)
        answers |= zip(names[start:], lines, strict=False)
        start += len(lines) + (death > 0)
    return answers


def _ask(command: Sequence[str], names: Sequence[str], deadline_s: float) -> list[str]:
    """One line for each name, in order, until the child died, its time was over, or it said too much."""
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
    # A last line without its end was cut by a death: it answers nothing.
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
    """Python's child limits itself as well, c++filt does not."""
    size = demangler.CHILD_MEMORY_BYTES
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))


def _other(answer: str | None, name: str) -> str | None:
    return None if not answer or answer == name else answer
