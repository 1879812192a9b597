"""What a checker left, and what the end of a run means for its report: which files to collect, or why there is none.

Never a bare "no leaks". Of the folder that the target writes to, only regular files count, whatever else lies there.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.clean_text import clean
from memtui_profiler.actions import Action

MAX_FILES = 100_000
CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"})


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a checker left, of the process ``pid`` (as that sees itself; 0: of the one that was launched).

    ``whole_program`` False: of a check that the program makes by itself, of a part of its run.
    """

    path: Path
    pid: int
    whole_program: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """All that is known at the end of a run's last process; ``followed``: it is not the one that was launched.

    ``exit_code`` and ``signal`` (SIGSEGV) are None together when nobody learned how it ended. ``outputs``: what the
    checker left and no report was made of yet; ``reported``: a report was made of others while it ran. ``script``: what
    was launched is run by an interpreter. ``preloaded``: the name of the library that memtui put into LD_PRELOAD.
    ``oom_unsure``: no figure tells whether the OOM killer has killed it.
    """

    pid: int
    mode: str
    exit_code: int | None
    signal: str | None
    oom_killed: bool
    stopped_by_memtui: bool
    stderr: bytes
    follow_children: bool
    followed: bool = False
    attached: bool = False
    outputs: tuple[Output, ...] = ()
    reported: bool = False
    script: bool = False
    preloaded: str = ""
    oom_unsure: bool = False

    @property
    def crashed_preloaded(self) -> bool:
        """Whether it crashed with a library of memtui's in it, which may be what crashed it."""
        return bool(self.preloaded) and self.signal in CRASHES and not self.stopped_by_memtui


@dataclass(frozen=True, slots=True)
class Source:
    """One report to collect: a dump, or with ``dump`` None what the log alone says."""

    pid: int
    dump: Path | None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """``sources`` largest claim first; with none and a check asked for, ``no_report`` is the sentence that says why.

    ``action``: what ``no_report`` calls for; None for what no front end can do.
    """

    sources: tuple[Source, ...] = ()
    no_report: str = ""
    notes: tuple[str, ...] = ()
    action: Action | None = None


def conclude_by_files(
    ended: Ended, no_report: str, notes: tuple[str, ...] = (), *, action: Action | None = None
) -> Conclusion:
    """The conclusion for a checker that only writes files; ``no_report`` and ``action``: where it wrote none."""
    own = [output for output in ended.outputs if output.pid in (0, ended.pid)]
    others = [output for output in ended.outputs if output not in own]
    if others and not ended.follow_children:
        children = f"child processes left reports of their own, {len(others)} in all: --follow-children shows them"
        notes = (*notes, children)
        others = []
    sources = tuple(Source(output.pid or ended.pid, output.path) for output in (*own, *others))
    return Conclusion(sources, "", notes) if own or ended.reported else Conclusion(sources, no_report, notes, action)


# How the loaders of glibc and musl refuse a program (elf/dl-load.c, elf/dl-version.c; ldso/dynlink.c).
_NO_LIBRARY = re.compile(
    rb"[^\n]{0,4000}?(?:error while loading shared libraries|Error loading shared library)"
    rb"[: ] ?(?P<library>[^:\n]{1,1000}): (?P<why>[^\n]{1,1000})"
)
_NO_VERSION = re.compile(rb"[^\n]{0,4000}?(?P<library>[^:\s]{1,1000}): version `(?P<version>[^'\n]{1,200})' not found")
# What may come before that: valgrind's own lines, and of libraries that could not be preloaded.
_BEFORE = re.compile(rb"(?:(?:==[^\n]*|ERROR: ld\.so: [^\n]*)?\r?\n)*")


def why_not_loaded(ended: Ended) -> str:
    """Why the loader refused the program, so that no check of it means anything; '' where it did not."""
    if ended.exit_code not in (1, 127) or ended.script:
        return ""
    before = _BEFORE.match(ended.stderr)
    start = before.end() if before else 0
    refused = "the loader could not start the program"
    if missing := _NO_LIBRARY.match(ended.stderr, start):
        library, why = clean(missing["library"], 200), clean(missing["why"].strip(), 200)
        return f"{refused}: {library}: {why}. Install the package that has {library}, or name its folder in LD_LIBRARY_PATH"
    if old := _NO_VERSION.match(ended.stderr, start):
        library, version = clean(old["library"], 200), clean(old["version"], 200)
        return f"{refused}: {library} has no {version}. Install a newer one, or run the program where it was built for"
    return ""


def why_killed(ended: Ended) -> str:
    """Why a program that was killed left no report; '' for one that ended by itself."""
    if ended.oom_killed:
        return "the OOM killer took it before the check at exit could run: give it more memory, or a smaller load"
    if ended.signal in ("SIGTERM", "SIGINT", "SIGHUP"):
        return (
            f"{ended.signal} ended it before the check at exit could run: it has no handler for it. "
            "Let it end by itself, or have it call exit() on a signal"
        )
    if ended.signal == "SIGKILL":
        by = "memtui killed it" if ended.stopped_by_memtui else "SIGKILL ended it"
        return f"{by} before the check at exit was done: nothing can be reported after that. Let it end by itself"
    if ended.signal is not None:
        crashed = f"it crashed with {ended.signal} before the check at exit could run"
        if ended.crashed_preloaded:
            return f"{crashed}, {may_be_the_preload(ended)}"
        return f"{crashed}: mend the crash first"
    return ""


def may_be_the_preload(ended: Ended) -> str:
    """What to know of a crash with a library of memtui's in the program, as the rest of a sentence."""
    return (
        f"with {ended.preloaded} preloaded by memtui: --check off --tcmalloc off launches it without, which tells whether"
        " it crashes by itself"
    )


def matching_files(folder: Path, name: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """The regular files whose whole name matches, with the match, oldest first; empty when the folder is gone.

    Only they count for the bound: the folder may be one that others write to, such as /tmp. Raises OSError when it cannot be
    read, as where no descriptor is free: then nobody knows what the program has left.
    """
    files: list[tuple[int, Path, re.Match[str]]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if (matched := name.fullmatch(entry.name)) is None or len(files) >= MAX_FILES:
                    continue
                with contextlib.suppress(OSError):  # one that goes meanwhile must not hide the others
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode):
                        files.append((facts.st_mtime_ns, Path(entry.path), matched))
    except FileNotFoundError:
        return []
    return [(path, matched) for _, path, matched in sorted(files, key=lambda file: file[:2])]


def numbered_by_pid(folder: Path, name: re.Pattern[str]) -> list[Output]:
    """Files whose name matches and has a group ``pid``, oldest first. Raises OSError."""
    return [Output(path, int(matched["pid"])) for path, matched in matching_files(folder, name)]
