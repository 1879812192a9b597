"""The lines of a session as JSON, one object a line, in the format "memtui-lines/1": SESSION-FORMAT.md, "A session as lines"."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from memtui import __version__
from memtui.session.argv import argv_in
from memtui.session.state import SessionState, event_detail
from memtui.session.status_line import StatusLine
from memtui.session.ways import without_key
from memtui.text.plain_form import no_figures, not_asked, parts_of
from memtui_parsers.clean_text import clean
from memtui_parsers.values import LeakReport
from memtui_profiler.events import EventKind
from memtui_profiler.session.region_looks import RecordedLook
from memtui_profiler.session.rows import Event, GuestRow, RegionRow, Run, RunEnd, Sample

SCHEMA = "memtui-lines/1"
_REFUSALS = (EventKind.REFUSED.value, EventKind.FAILED.value)


class JsonForm:
    """An object for each; what is not known is null."""

    def begin(self, meta: dict[str, str]) -> list[str]:
        started = datetime.fromtimestamp(float(meta["started"]), timezone.utc).isoformat(timespec="milliseconds")
        argv = [clean(word) for word in argv_in(meta.get("argv", ""))]
        return [_line("session", 0.0, memtui=__version__, started=started, argv=argv, attached="attached" in meta)]

    def run(self, run: Run) -> list[str]:
        allocator, mode = run.allocator, run.mode
        return [_line("run", run.at_s, run=run.id, pid=run.pid, allocator=allocator, mode=mode)]

    def run_end(self, end: RunEnd) -> list[str]:
        how = {"exit_code": end.exit_code, "signal": end.signal, "oom_killed": bool(end.oom_killed)}
        return [_line("run-end", end.at_s, run=end.run, **how)]

    def sample(self, sample: Sample, pid: int, bytes_per_s: float) -> list[str]:
        fields = sample._asdict()
        del fields["id"], fields["at_s"]
        # Of the time of RSS, so that the parts add up, as in the text.
        fields["anon_bytes"], fields["file_bytes"] = parts_of(sample)
        return [_line("sample", sample.at_s, pid=pid, bytes_per_s=round(bytes_per_s), **fields)]

    def event(self, event: Event) -> list[str]:
        detail = event_detail(event)
        if event.kind in _REFUSALS:
            phrases = {name: clean(str(detail.get(name, ""))) for name in ("verb", "what", "why", "todo")}
            return [_line("refusal", event.at_s, run=event.run, state=event.kind, **phrases)]
        text = clean(event.text)
        return [_line("event", event.at_s, run=event.run, kind=clean(event.kind, 40), text=text, detail=detail)]

    def guest(self, guest: GuestRow) -> list[str]:
        reason = not_asked(guest)
        if reason is None:
            return []
        why, todo = map(clean, reason)
        return [
            _line(
                "refusal",
                guest.at_s,
                run=guest.run,
                state=guest.state,
                verb="ask",
                what="no figures" if no_figures(guest) else "not asked",
                why=why,
                todo=todo,
            )
        ]

    def regions(self, look: RecordedLook) -> list[str]:
        whole = look.whole
        return [
            _line(
                "regions",
                look.at_s,
                run=whole.run,
                threads=whole.threads,
                cost_s=whole.cost_s,
                total=_sizes(whole),
                regions=[{"kind": row.kind, "name": clean(row.name), **_sizes(row)} for row in look.regions],
            )
        ]

    def report(self, at_s: float, number: int, report: LeakReport) -> list[str]:
        from memtui_parsers.report.json_writer import to_json

        # Line feeds are between the values alone: within a string JSON has none.
        text = to_json(report, __version__).replace("\n", "")
        return [f'{_line("report", at_s, id=number)[:-1]}, "report": {text}}}']

    def verdict(self, verdict: StatusLine, at_s: float, state: SessionState) -> list[str]:
        return [
            _line(
                "verdict",
                at_s,
                run=None if state.run is None else state.run.number,
                verdict=verdict.word,
                sentence=clean(verdict.sentence),
                evidence=[clean(line) for line in verdict.evidence],
                action=None if verdict.action is None else verdict.action.value,
                todo=without_key(verdict.action, state) or None,
            )
        ]


def _sizes(row: RegionRow) -> dict[str, int]:
    names = ("mappings", "size_bytes", "rss_bytes", "pss_bytes", "swap_bytes", "dirty_bytes", "huge_bytes")
    return {name: getattr(row, name) for name in names}


def _line(type_of_line: str, at_s: float, /, **fields: Any) -> str:
    return json.dumps({"schema": SCHEMA, "type": type_of_line, "at_s": round(at_s, 3), **fields})
