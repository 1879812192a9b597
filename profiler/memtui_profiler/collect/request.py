"""What a collector is asked to read. Apart from collect.py, so that the recorder loads none of what reads reports."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from memtui_parsers.values import GrowthFacts, GrowthOutcome
from memtui_profiler.process.file_user import FileUser, author_of
from memtui_profiler.symbols.file_finder import FileFinder


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """One report to read: ``dump`` is the path of a .heap file, ``log`` of the captured stderr; None: there is none.

    ``extra_maps``: lines of /proc/PID/maps seen earlier in the run, oldest first, for libraries unloaded before the dump.
    ``files``: where to read a file whose path, as it stands in the maps, no longer leads to it.
    ``bare``: the report was opened by itself (collect() sets it where no checker is named): the files it names may have
    changed or moved since, and ``sysroot`` is where a user says they are.
    ``sample_type``: which column of a profile of pprof or DHAT is wanted; '': the one that shows best what is in use.
    ``cwd``: where the target was started, for libraries that it has loaded by a relative path.
    ``held_bytes``: what the malloc that was checked held of the ``anonymous_bytes`` of the process, at the check where it is
    ``live``, else at a moment before; None where not known. Without it ``anonymous_bytes`` is the most that there was.
    ``unseen``: why the check sees nothing of what the program allocates, '' where it sees some.
    ``live``: the report is of a running process; a check that left neither dump nor log has found nothing.
    ``growth``: what a report on growth is of; its dump counts samples in the place of objects. ``notes``: what whoever made
    the dump says of it.
    """

    report: int
    checker: str
    mode: str
    pid: int | None = None
    argv: tuple[str, ...] = ()
    dump: str | None = None
    log: str | None = None
    sysroot: str | None = None
    extra_maps: tuple[str, ...] = ()
    live: bool = False
    files: dict[str, str] = field(default_factory=dict)
    bare: bool = False
    sample_type: str = ""
    cwd: str | None = None
    held_bytes: int | None = None
    anonymous_bytes: int | None = None
    unseen: str = ""
    growth: GrowthFacts | None = None
    notes: tuple[str, ...] = ()

    @property
    def file_finder(self) -> FileFinder:
        """What finds the files that the report names."""
        sysroot = None if self.sysroot is None else Path(self.sysroot)
        return FileFinder(sysroot, self.files, self.bare and sysroot is not None)

    @property
    def author(self) -> FileUser | None:
        """As whom the source files are opened that the report itself names: its owner, or the user of an attached process."""
        try:
            if self.bare:
                return author_of(os.stat(self.dump or ""))
            return None if self.log is not None or self.pid is None else author_of(os.stat(f"/proc/{self.pid}"))
        except OSError:
            return None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CollectRequest:
        fields = json.loads(text)
        words = {name: tuple(fields[name]) for name in ("argv", "extra_maps", "notes")}
        growth = None
        if (facts := fields["growth"]) is not None:
            growth = GrowthFacts(**{**facts, "outcome": GrowthOutcome(facts["outcome"])})
        return cls(**{**fields, **words, "growth": growth})
