"""Reads "memtui-report/1", which json_writer writes, with no more of the text in memory than one leak."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, BinaryIO, TypeVar

from memtui_parsers.errors import ParseError
from memtui_parsers.report.json_stream import EndsEarlyError, JsonStream
from memtui_parsers.values import (
    CheckerError,
    ErrorDetail,
    Frame,
    GrowthFacts,
    GrowthOutcome,
    LeakKind,
    LeakRecord,
    LeakReport,
    Module,
    ReportStatus,
    RunFacts,
)

SCHEMA = "memtui-report/1"
MAX_ADDRESS = (1 << 64) - 1

# Bounds against hostile files, far above what a checker finds.
MAX_LEAKS = 500_000
MAX_ERRORS = 100_000
MAX_STEPS = 20_000_000
MAX_FRAMES = 500_000
MAX_FRAME_CHARS = 64_000_000
MAX_MEMBERS = 1000

_GROWTH_FIGURES = (*(field.name for field in fields(GrowthFacts) if field.name.endswith("_bytes")), "samples", "lost")

# JSON can write single surrogates, which no encoding has; to_json() writes none.
_SURROGATE = re.compile("[\ud800-\udfff]")

T = TypeVar("T")
_NO_REPORT = f"no {SCHEMA}"
_CUT = "The file ends in the middle: what stood behind is missing"


def parse_report_json(stream: BinaryIO) -> LeakReport:
    """Read a report; of a truncated file what is complete, with a note. Raises ParseError."""
    text = JsonStream(stream)
    head: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {"leaks": [], "errors": []}
    pool = _Pool()
    try:
        for number, key in enumerate(text.members()):
            if key in lists:
                _read_items(text, key, lists[key], pool)
            else:
                head[key] = text.value()
            if number > MAX_MEMBERS:
                raise text.error("too many fields")
        text.end()
        if head.get("schema") != SCHEMA or "leaks" not in pool.seen:
            raise ParseError(_NO_REPORT)
        return _report(head, lists)
    except EndsEarlyError as error:
        if head.get("schema") != SCHEMA:
            raise
        try:
            report = _report(head, lists)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise error from None  # not even the head is complete
        return replace(report, status=ReportStatus.TRUNCATED, notes=(_CUT, *report.notes))
    except ParseError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise text.error(f"{_NO_REPORT}: {error}") from error


def _read_items(text: JsonStream, key: str, items: list[Any], pool: _Pool) -> None:
    read, limit = (_leak, MAX_LEAKS) if key == "leaks" else (_error, MAX_ERRORS)
    items.clear()
    pool.seen.add(key)
    for item in text.items():
        if len(items) >= limit:
            raise text.error(f"more than {limit} {key}")
        items.append(read(item, pool))


def _report(head: Mapping[str, Any], lists: Mapping[str, list[Any]]) -> LeakReport:
    target, run, total = head["target"], head["run"], head["total"]
    return LeakReport(
        checker=_text(head["checker"]),
        mode=_text(head["mode"]),
        status=ReportStatus(head["status"]),
        argv=tuple(_text(a) for a in target["argv"]),
        pid=_optional(_integer, target["pid"]),
        started=_optional(_text, head["started"]),
        run=RunFacts(
            exit_code=_optional(_integer, run["exit_code"]),
            signal=_optional(_text, run["signal"]),
            oom_killed=bool(run["oom_killed"]),
            seconds=_optional(float, run["seconds"]),
        ),
        total_bytes=_integer(total["bytes"]),
        total_objects=_integer(total["objects"]),
        seen_bytes=_optional(_integer, head.get("seen_bytes")),
        growth=_optional(_growth, head.get("growth")),
        notes=tuple(_text(n) for n in head["notes"]),
        leaks=tuple(lists["leaks"]),
        errors=tuple(lists["errors"]),
    )


def _growth(fields: Any) -> GrowthFacts:
    figures = {name: _integer(fields[name]) for name in _GROWTH_FIGURES}
    return GrowthFacts(seconds=float(fields["seconds"]), outcome=GrowthOutcome(fields["outcome"]), **figures)


class _Pool:
    """Makes each frame once, as stacks share most of theirs. ``seen`` are the lists that the file has."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._frames: dict[tuple[object, ...], Frame] = {}
        self._modules: dict[tuple[str, str], Module] = {}
        self._steps = 0
        self._chars = 0

    def stack(self, listed: Any) -> tuple[Frame, ...]:
        self._steps += len(listed)
        if self._steps > MAX_STEPS:
            raise ParseError(f"more than {MAX_STEPS} frames in all its stacks")
        return tuple([self._frame(fields) for fields in listed])

    def _frame(self, fields: Mapping[str, Any]) -> Frame:
        get = fields.get
        # With the type of the line, as True equals 1 in a dictionary and is no line number.
        key = (
            fields["address"],
            fields["module"],
            get("build_id"),
            fields["offset"],
            fields["function"],
            get("linkage_name"),
            fields["file"],
            fields["line"],
            type(fields["line"]),
            bool(fields["inlined"]),
        )
        frame = self._frames.get(key)
        if frame is None:
            self._chars += sum(len(value) for value in key if isinstance(value, str))
            if len(self._frames) >= MAX_FRAMES or self._chars > MAX_FRAME_CHARS:
                raise ParseError("more different frames than memtui holds")
            frame = self._frames[key] = Frame(
                address=_address(fields["address"]),
                module=self._module(fields),
                offset=_optional(_address, fields["offset"]),
                function=_optional(_text, fields["function"]),
                linkage_name=_optional(_text, get("linkage_name")),
                file=_optional(_text, fields["file"]),
                line=_optional(_integer, fields["line"]),
                inlined=bool(fields["inlined"]),
            )
        return frame

    def _module(self, fields: Mapping[str, Any]) -> Module | None:
        if fields["module"] is None:
            return None
        key = (_text(fields["module"]), _text(fields.get("build_id") or ""))
        return self._modules.setdefault(key, Module(*key))


def _leak(fields: Any, pool: _Pool) -> LeakRecord:
    return LeakRecord(
        leak_id=_text(fields["id"]),
        size_bytes=_integer(fields["bytes"]),
        objects=_integer(fields["objects"]),
        kind=LeakKind(fields["kind"]),
        stack=pool.stack(fields["stack"]),
        samples=_optional(_integer, fields.get("samples")),
    )


def _error(fields: Any, pool: _Pool) -> CheckerError:
    return CheckerError(
        kind=_text(fields["kind"]),
        what=_text(fields["what"]),
        stack=pool.stack(fields["stack"]),
        details=tuple(ErrorDetail(_text(of["what"]), pool.stack(of["stack"])) for of in fields["details"]),
        count=_integer(fields["count"]),
    )


def _optional(read: Callable[[Any], T], value: object) -> T | None:
    return None if value is None else read(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ParseError("text expected", excerpt=repr(value))
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParseError("a whole number expected", excerpt=repr(value))
    return value


def _address(value: object) -> int:
    address = int(_text(value), 16)
    if not 0 <= address <= MAX_ADDRESS:
        raise ParseError("no address of 64 bits", excerpt=repr(value))
    return address
