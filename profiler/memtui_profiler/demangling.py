"""Demangles names that nobody vouches for, in processes whose memory and time are limited."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence

from memtui_parsers import demangle as demangler

# Ordinary names take 4 us each; what is not answered in this time stays mangled.
DEADLINE_S = 10.0
# How many names may kill a demangler before the rest of them stay mangled too; each costs 0.3 s.
MAX_DEATHS = 8
# c++filt knows Rust's v0 names, and with -r C++ names beyond libstdc++'s limit of 2048 components.
CXXFILT = ("c++filt", "-r")
CXXFILT_DEADLINE_S = 1.0

# A demangler is asked in lines, and c++filt in words.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f]")


def demangled(names: Collection[str]) -> dict[str, str]:
    """Each name's readable form; as it is where no demangler knows it, or the name is made to hurt one."""
    plain = {name: demangler.strip_version(name) for name in names}
    asked = sorted({p for p in plain.values() if demangler.is_mangled(p) and _is_one_word(p)})
    answers = _by_libstdcxx(asked)
    unknown = [name for name in asked if answers.get(name) == ""]
    cxxfilt = shutil.which(CXXFILT[0])
    if unknown and cxxfilt:
        answers |= zip(unknown, _ask([cxxfilt, *CXXFILT[1:]], unknown, CXXFILT_DEADLINE_S), strict=False)
    return {name: demangler.tidy(name, _other(answers.get(p), p)) for name, p in plain.items()}


def _by_libstdcxx(names: Sequence[str]) -> dict[str, str]:
    """An empty answer: not known. None at all: the name ended its demangler, or no demangler was left for it."""
    # -I -S: neither the user's environment nor site-packages have a say, and it starts in 15 ms.
    command = [sys.executable, "-I", "-S", demangler.__file__]
    lines = _ask(command, names, DEADLINE_S)
    answers = dict(zip(names, lines, strict=False))
    # Where a name ended it, answers that were under way are lost with it: the rest is asked for one by one.
    start = len(lines)
    for _ in range(MAX_DEATHS):
        if start >= len(names):
            break
        lines = _ask([*command, demangler.CAREFUL], names[start:], DEADLINE_S)
        answers |= zip(names[start:], lines, strict=False)
        start += len(lines) + 1
    return answers


def _ask(command: Sequence[str], names: Sequence[str], deadline_s: float) -> list[str]:
    """One line for each name, in order, until the child died or its time was over."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return []
    with child:
        _limit_memory(child.pid)
        text = "\n".join(names).encode("utf-8", "surrogateescape") + b"\n"
        try:
            output, _ = child.communicate(text, timeout=deadline_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
    # A last line without its end was cut by a death: it answers nothing.
    return [line.decode("utf-8", "replace") for line in output.split(b"\n")[:-1]]


def _limit_memory(pid: int) -> None:
    """Python's child limits itself as well, c++filt does not."""
    size = demangler.CHILD_MEMORY_BYTES
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))


def _other(answer: str | None, name: str) -> str | None:
    return None if not answer or answer == name else answer


def _is_one_word(name: str) -> bool:
    return _BREAKS.search(name) is None
