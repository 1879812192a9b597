"""A leak report as JSON, and back: the contract "memtui-report/1" that others build on (DESIGN.md, section 5).

Addresses are hex strings, what is not known is null. Fields may be added, never renamed; unknown ones are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from memtui_parsers.errors import ParseError
from memtui_parsers.report_diff import ReportDifference
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, Module, ReportStatus, RunFacts

SCHEMA = "memtui-report/1"
MAX_ADDRESS = (1 << 64) - 1

T = TypeVar("T")


def to_json(report: LeakReport, version: str) -> str:
    """``version`` is memtui's own. A line for each frame, for people and for diff; text beyond ASCII stays readable."""
    return _document(report.leaks, _head(report, version), lambda _: {})


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

    return _document(difference.joined().leaks, head, delta)


def _document(leaks: Sequence[LeakRecord], head: Mapping[str, Any], more: Callable[[int], dict[str, Any]]) -> str:
    """``more``: what else is known of the leak with that index."""
    frames: dict[int, str] = {}

    def frame(of: Frame) -> str:
        # Stacks share their frames: each is written once. The report keeps them alive, so their ids stay theirs.
        written = frames.get(id(of))
        if written is None:
            written = frames[id(of)] = "\n        " + _dumps(_frame(of))
        return written

    def leak(index: int, of: LeakRecord) -> str:
        fields = {"id": of.leak_id, "bytes": of.size_bytes, "objects": of.objects, "kind": of.kind.value, **more(index)}
        stack = ",".join([frame(f) for f in of.stack])
        return f'\n    {_dumps(fields)[:-1]}, "stack": [{stack}]}}'

    lines = ",\n".join(f"  {_dumps(key)}: {_dumps(value)}" for key, value in head.items())
    listed = ",".join(leak(index, of) for index, of in enumerate(leaks))
    text = f'{{\n{lines},\n  "leaks": [{listed}]\n}}\n'
    # A path may hold bytes that are no UTF-8, as surrogates; JSON that others read may not.
    return text.encode("utf-8", "replace").decode("utf-8")


def from_json(text: str | bytes) -> LeakReport:
    """Raises ParseError. Reads what to_json() wrote, whatever fields a later memtui added."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ParseError(f"no {SCHEMA}")
        return _read_report(document)
    except ParseError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ParseError(f"no {SCHEMA}", excerpt=str(error)) from error


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


def _read_report(document: Mapping[str, Any]) -> LeakReport:
    target, run, total = document["target"], document["run"], document["total"]
    modules: dict[tuple[str, str], Module] = {}
    return LeakReport(
        checker=_text(document["checker"]),
        mode=_text(document["mode"]),
        status=ReportStatus(document["status"]),
        argv=tuple(_text(a) for a in target["argv"]),
        pid=_maybe(_integer, target["pid"]),
        started=_maybe(_text, document["started"]),
        run=RunFacts(
            exit_code=_maybe(_integer, run["exit_code"]),
            signal=_maybe(_text, run["signal"]),
            oom_killed=bool(run["oom_killed"]),
            seconds=_maybe(float, run["seconds"]),
        ),
        total_bytes=_integer(total["bytes"]),
        total_objects=_integer(total["objects"]),
        notes=tuple(_text(n) for n in document["notes"]),
        leaks=tuple(
            LeakRecord(
                leak_id=_text(leak["id"]),
                size_bytes=_integer(leak["bytes"]),
                objects=_integer(leak["objects"]),
                kind=LeakKind(leak["kind"]),
                stack=tuple(_read_frame(f, modules) for f in leak["stack"]),
            )
            for leak in document["leaks"]
        ),
    )


def _read_frame(fields: Mapping[str, Any], modules: dict[tuple[str, str], Module]) -> Frame:
    module = None
    if fields["module"] is not None:
        key = (_text(fields["module"]), _text(fields.get("build_id") or ""))
        module = modules.setdefault(key, Module(*key))
    return Frame(
        address=_address(fields["address"]),
        module=module,
        offset=_maybe(_address, fields["offset"]),
        function=_maybe(_text, fields["function"]),
        linkage_name=_maybe(_text, fields.get("linkage_name")),
        file=_maybe(_text, fields["file"]),
        line=_maybe(_integer, fields["line"]),
        inlined=bool(fields["inlined"]),
    )


def _maybe(read: Callable[[Any], T], value: object) -> T | None:
    return None if value is None else read(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ParseError("text expected", excerpt=repr(value))
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParseError("a whole number expected", excerpt=repr(value))
    return value


def _address(value: object) -> int:
    address = int(_text(value), 16)
    if not 0 <= address <= MAX_ADDRESS:
        raise ParseError("no address of 64 bits", excerpt=repr(value))
    return address
