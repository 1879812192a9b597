"""A leak report as JSON, and back: the contract "memtui-report/1" that others build on (DESIGN.md, section 5).

Addresses are hex strings, what is not known is null. Fields may be added, never renamed; unknown ones are passed over.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memtui_parsers.report_diff import ReportDifference
from memtui_parsers.report_json_reader import SCHEMA, read_whole_report
from memtui_parsers.values import CheckerError, Frame, LeakRecord, LeakReport


def to_json(report: LeakReport, version: str) -> str:
    """``version`` is memtui's own. A line for each frame, for people and for diff; text beyond ASCII stays readable."""
    return _document(report, _head(report, version), lambda _: {})


def difference_to_json(difference: ReportDifference, version: str) -> str:
    """The newer report with what has changed: ``delta`` in all and for each leak, ``compared`` for the older report.

    Leaks that are gone stand at the end with 0 bytes in 0 objects, so that what reads a report reads this, too.
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


def _document(report: LeakReport, head: Mapping[str, Any], more: Callable[[int], dict[str, Any]]) -> str:
    """``more``: what else is known of the leak with that index."""
    frames: dict[int, str] = {}

    def frame(of: Frame) -> str:
        # Stacks share their frames: each is written once. The report keeps them alive, so their ids stay theirs.
        written = frames.get(id(of))
        if written is None:
            written = frames[id(of)] = "\n        " + _dumps(_frame(of))
        return written

    def stack(of: Sequence[Frame]) -> str:
        return '"stack": [' + ",".join([frame(f) for f in of]) + "]"

    def leak(index: int, of: LeakRecord) -> str:
        fields = {"id": of.leak_id, "bytes": of.size_bytes, "objects": of.objects, "kind": of.kind.value, **more(index)}
        return f"\n    {_dumps(fields)[:-1]}, {stack(of.stack)}}}"

    def error(of: CheckerError) -> str:
        fields = {"kind": of.kind, "what": of.what, "count": of.count}
        details = ",".join(f'\n      {{"what": {_dumps(d.what)}, {stack(d.stack)}}}' for d in of.details)
        return f'\n    {_dumps(fields)[:-1]}, {stack(of.stack)}, "details": [{details}]}}'

    lines = ",\n".join(f"  {_dumps(key)}: {_dumps(value)}" for key, value in head.items())
    leaks = ",".join(leak(index, of) for index, of in enumerate(report.leaks))
    errors = ",".join(map(error, report.errors))
    text = f'{{\n{lines},\n  "leaks": [{leaks}],\n  "errors": [{errors}]\n}}\n'
    # A path may hold bytes that are no UTF-8, as surrogates; JSON that others read may not.
    return text.encode("utf-8", "replace").decode("utf-8")


def from_json(text: str | bytes) -> LeakReport:
    """Raises ParseError. Reads what to_json() wrote, whatever fields a later memtui added."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return read_whole_report(io.BytesIO(raw))


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
        "notes": list(report.notes),
    }


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
