"""The words around the list: what the report is of, the leak in hand in one line, what a filter leaves. Pure text."""

from __future__ import annotations

from memtui.figures import percent, prose
from memtui.leaks.arrange import Arrangement
from memtui.leaks.look import Look
from memtui.leaks.model import Grouping, LeakTable
from memtui.leaks.names import bare, function_name, place
from memtui.leaks.source import Sources
from memtui.leaks.state import LeakPaneState, notes_of
from memtui_parsers.clean_text import clean


def report_line(state: LeakPaneState, table: LeakTable, look: Look) -> str:
    """``at exit · draconian · run 2 · 42.7 MiB in 11 130 objects · 2 notes``"""
    report = table.report
    parts = [state.moment, clean(report.mode)]
    if state.run is not None:
        parts.append(f"run {state.run}")
    parts.append(f"{prose(table.total_bytes)} in {_counted(table.total_objects, 'object', look)}")
    notes = len(notes_of(report))
    if notes:
        parts.append(_counted(notes, "note", look))
    return f" {look.dot} ".join(part for part in parts if part)


def filter_line(arrangement: Arrangement, look: Look) -> str:
    """``3 of 128 records, 91 % of bytes``, or what is wrong with the pattern."""
    if arrangement.error:
        return arrangement.error
    share = arrangement.share(arrangement.size_bytes)
    total = len(arrangement.table.names)
    # Nearly all is not all, and hardly any is not none.
    percent = f"{100 * share:.0f}"
    if percent == "100" and arrangement.record_count < total and share < 1:
        percent = ">99"
    elif percent == "0" and share > 0:
        percent = "<1"
    return f"{look.count(arrangement.record_count)} of {look.count(total)} records, {percent} % of bytes"


def caption(arrangement: Arrangement, look: Look) -> str:
    """How the list is grouped and sorted, for the tab bar: ``by stack · bytes▾``."""
    query = arrangement.query
    within = ""
    if query.within is not None:
        within = f"in {clean(query.within[1], 40) or 'unknown'} {look.dot} "
    grouping = "" if query.within is not None and query.grouping is Grouping.STACK else f"by {query.grouping.value}"
    return look.text(f"{within}{grouping}{f' {look.dot} ' if grouping else ''}{query.order.value}{look.sorted_by}")


def leak_line(table: LeakTable, index: int, sources: Sources, look: Look, width: int) -> tuple[str, str, str]:
    """(place, source text, callers) of a record on one line of ``width`` cells: ``server.cpp:88  new S;  ◀ handle_rpc ◀ …``"""
    name = table.names[index]
    if name.program is None:
        return (look.cut("no stack was recorded", width), "", "")
    frame = table.record(index).stack[name.program]
    where = look.cut(look.text(place(frame)), max(0, width // 2))
    source = sources.line(frame.file, frame.line) if frame.file and frame.line else None
    code = look.text(clean((source or "").strip(), 200))
    room = width - len(where) - 2
    callers = _callers(table, index, look, max(room - min(len(code), room // 2) - 2, 0))
    code = look.cut(code, room - len(callers) - (2 if callers else 0))
    gap = max(0, room - len(code) - len(callers))
    return (where, f"  {code}{' ' * gap}", callers)


def _callers(table: LeakTable, index: int, look: Look, width: int) -> str:
    """``◀ handle_rpc ◀ worker ◀ …``: as many of the program's callers as fit."""
    callers = [look.text(bare(function_name(frame))) for frame in table.callers(index)]
    text = ""
    for number, caller in enumerate(callers):
        step = f"{' ' if text else ''}{look.caller} {caller}"
        more = f" {look.caller} {look.ellipsis}" if number + 1 < len(callers) else ""
        if len(text) + len(step) + len(more) > width:
            last = f"{' ' if text else ''}{look.caller} {look.ellipsis}"
            return text + last if len(text) + len(last) <= width else text
        text += step
    return text


def heading(arrangement: Arrangement, position: int, look: Look) -> tuple[str, ...]:
    """What stands over a stack that is open whole: which leak it is, how much, of what kind."""
    row = arrangement.row(position)
    record = arrangement.table.record(row.record)
    parts = (
        f"{look.count(position + 1)} of {look.count(len(arrangement))}",
        f"{prose(record.size_bytes)} in {_counted(record.objects, 'object', look)}",
        percent(arrangement.share(record.size_bytes)),
        record.kind.value,
    )
    group = (group_line(arrangement, position, look),) if row.stacks > 1 else ()
    return (f" {look.dot} ".join(parts), *group)


def short_heading(arrangement: Arrangement, position: int, look: Look) -> tuple[str, ...]:
    """What the list beside the stack does not say: its kind where kinds differ, and which stack of a group it is."""
    row = arrangement.row(position)
    kind = (arrangement.table.record(row.record).kind.value,) if len(arrangement.table.kinds) > 1 else ()
    return (*kind, group_line(arrangement, position, look)) if row.stacks > 1 else kind


def group_line(arrangement: Arrangement, position: int, look: Look) -> str:
    """Which stack of a group is shown."""
    row = arrangement.row(position)
    return f"the largest of {_counted(row.stacks, 'stack', look)} in {row.function}"


def _counted(number: int, noun: str, look: Look) -> str:
    return f"{look.count(number)} {noun}{'' if number == 1 else 's'}"
