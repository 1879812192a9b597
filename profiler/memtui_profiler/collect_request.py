"""What a collector is asked for. Apart from collect.py, so that the recorder needs none of what reads reports."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """One report to read: ``dump`` is a .heap file, ``log`` the captured stderr; None: there is none.

    ``extra_maps`` are lines of /proc/PID/maps seen earlier in the run, oldest first: for what was unloaded before the dump.
    ``files``: where to read what a path of the maps, as it stands there, leads to no more.
    ``bare``: the report was opened by itself, as collect() finds where no checker is named: the files it names may have
    changed or moved since, and ``sysroot`` is where a user says they are.
    ``live``: the process was asked; a check that left neither dump nor log found nothing.
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

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CollectRequest:
        fields = json.loads(text)
        return cls(**{**fields, "argv": tuple(fields["argv"]), "extra_maps": tuple(fields["extra_maps"])})
