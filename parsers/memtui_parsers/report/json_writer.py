"""Writes a leak report as JSON in the format "memtui-report/1", on which other tools build (SESSION-FORMAT.md, "A report as JSON").

Addresses are hex strings, unknown values are null. Fields may be added, never renamed; readers skip unknown ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from memtui_parsers.report.difference import ReportDifference
from memtui_parsers.report.json_reader import SCHEMA
from memtui_parsers.values import CheckerError, Frame, GrowthFacts, LeakRecord, LeakReport


def to_json(report: LeakReport, version: str) -> str:
    """Return what json_of() writes as one text."""
    return "".join(json_of(report, version))


def json_of(report: LeakReport, version: str) -> Iterator[str]:
    """Write a report, a piece for each leak: as one text, that of 300,000 leaks takes gigabytes.

    ``version`` is memtui's. Each frame has a line, for diff; text beyond ASCII is not escaped.
    """
    return _document(report, _head(report, version), lambda _: {})


def json_of_difference(difference: ReportDifference, version: str) -> Iterator[str]:
    """Write the newer report with ``delta`` in all and for each leak, and ``compared`` for the older report.

    Leaks that are gone follow at the end with 0 bytes in 0 objects, so that every reader of a report can read this,
    too.
    """
    old = _head(difference.old, version)
    head = {
        **_head(difference.new, version),
        "notes": [*difference.new.notes, *difference.notes],
        "compared": {key: old[key] for key in ("started", "status", "checker", "mode", "target", "run", "total")},
        "delta": {"bytes": difference.delta_bytes, "objects": difference.delta_objects},
    }

    def delta(index: int) -> dict[str, Any]:
        of = difference.deltas[index]
        return {"delta": {"bytes": of.delta_bytes, "objects": of.delta_objects, "state": of.change.value}}

    return _document(difference.joined(), head, delta)


def _document(report: LeakReport, head: Mapping[str, Any], more: Callable[[int], dict[str, Any]]) -> Iterator[str]:
    """Write the document. ``more`` returns additional fields of the leak with that index."""
    frames: dict[int, str] = {}

    def frame(of: Frame) -> str:
        # Stacks share their frames, so each is formatted once. The report keeps them alive, so their id() stays unique.
        written = frames.get(id(of))
        if written is None:
            written = frames[id(of)] = "\n        " + _dumps(_frame(of))
        return written

    def stack(of: Sequence[Frame]) -> str:
        return '"stack": [' + ",".join([frame(f) for f in of]) + "]"

    def leak(index: int, of: LeakRecord) -> str:
        fields = {"id": of.leak_id, "bytes": of.size_bytes, "objects": of.objects, "kind": of.kind.value}
        if of.samples is not None:
            fields |= {"samples": of.samples, "few_samples": of.few_samples}
        fields |= more(index)
        return f"\n    {_dumps(fields)[:-1]}, {stack(of.stack)}}}"

    def error(of: CheckerError) -> str:
        fields = {"kind": of.kind, "what": of.what, "count": of.count}
        details = ",".join(f'\n      {{"what": {_dumps(d.what)}, {stack(d.stack)}}}' for d in of.details)
        return f'\n    {_dumps(fields)[:-1]}, {stack(of.stack)}, "details": [{details}]}}'

    lines = ",\n".join(f"  {_dumps(key)}: {_dumps(value)}" for key, value in head.items())
    yield _encodable(f'{{\n{lines},\n  "leaks": [')
    yield from _joined(leak(index, of) for index, of in enumerate(report.leaks))
    yield '],\n  "errors": ['
    yield from _joined(map(error, report.errors))
    yield "]\n}\n"


def _joined(items: Iterable[str]) -> Iterator[str]:
    separator = ""
    for item in items:
        yield separator + _encodable(item)
        separator = ","


def _encodable(text: str) -> str:
    """A path may contain bytes that are not UTF-8, as surrogates, which valid JSON cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _head(report: LeakReport, version: str) -> dict[str, Any]:
    run = report.run
    return {
        "schema": SCHEMA,
        "memtui": version,
        "started": report.started,
        "status": report.status.value,
        "checker": report.checker,
        "mode": report.mode,
        "target": {"argv": list(report.argv), "pid": report.pid},
        "run": {
            "exit_code": run.exit_code,
            "signal": run.signal,
            "oom_killed": run.oom_killed,
            "seconds": None if run.seconds is None else round(run.seconds, 3),
        },
        "total": {"bytes": report.total_bytes, "objects": report.total_objects},
        **({} if report.seen_bytes is None else {"seen_bytes": report.seen_bytes}),
        **({} if report.growth is None else {"growth": _growth(report.growth)}),
        "notes": list(report.notes),
    }


def _growth(growth: GrowthFacts) -> dict[str, Any]:
    return {**asdict(growth), "seconds": round(growth.seconds, 3), "bytes_per_s": round(growth.bytes_per_s)}


def _frame(frame: Frame) -> dict[str, Any]:
    module = frame.module
    return {
        "address": hex(frame.address),
        "module": module.path if module else None,
        "build_id": (module.build_id or None) if module else None,
        "offset": None if frame.offset is None else hex(frame.offset),
        "function": frame.function,
        "linkage_name": frame.linkage_name,
        "file": frame.file,
        "line": frame.line,
        "inlined": frame.inlined,
    }
