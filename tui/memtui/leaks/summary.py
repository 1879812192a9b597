"""The words around the list: what the report is of, the leak in hand in one line, what a filter leaves. Pure text."""

from __future__ import annotations

from rich.cells import cell_len

from memtui.figures import percent, prose
from memtui.leaks.arrange import Arrangement
from memtui.leaks.changes import change_words, signed, was_words
from memtui.leaks.icicle import Box, Icicle
from memtui.leaks.look import Look
from memtui.leaks.model import Grouping, LeakTable
from memtui.leaks.names import bare, function_name, place
from memtui.leaks.scope import ChipKind
from memtui.leaks.source import Sources
from memtui.leaks.state import LeakPaneState, notes_of
from memtui.leaks.tree import Node, Tree
from memtui.leaks.tree_lines import location
from memtui.leaks.views import View
from memtui_parsers.clean_text import clean
from memtui_parsers.report_diff import Change
from memtui_parsers.values import LeakKind


def report_line(state: LeakPaneState, arrangement: Arrangement, look: Look) -> str:
    """``at exit · draconian · run 2 · 42.7 MiB in 11 130 objects · 2 notes``, what has changed before it where compared.

    What is still reachable stands apart from what is lost. What a scope leaves is said before all of it.
    """
    table = arrangement.table
    report = table.report
    total = _totals(table, look)
    parts = [state.moment, clean(report.mode), *([] if state.run is None else [f"run {state.run}"]), total]
    if table.difference is not None:
        changed = change_words(table.delta_bytes, table.delta_objects, look)
        parts = [f"{changed} {state.since}".rstrip(), total, *parts[:-1]]
    if arrangement.query.scope.chips and not arrangement.error:
        parts.insert(0, filter_line(arrangement, look))
    notes = len(table_notes(table))
    if notes:
        parts.append(_counted(notes, "note", look))
    return f" {look.dot} ".join(part for part in parts if part)


def _totals(table: LeakTable, look: Look) -> str:
    total = f"{prose(table.total_bytes)} in {_counted(table.total_objects, 'object', look)}"
    if LeakKind.STILL_REACHABLE.value not in table.kinds or len(table.kinds) == 1:
        return total
    size, objects = table.reachable_bytes, table.reachable_objects
    lost = f"{prose(table.total_bytes - size)} lost in {_counted(table.total_objects - objects, 'object', look)}"
    return f"{lost}, {prose(size)} still reachable in {look.count(objects)}"


def table_notes(table: LeakTable) -> tuple[str, ...]:
    """The report's notes; before them what makes a comparison less than it looks."""
    return (*(() if table.difference is None else table.difference.notes), *notes_of(table.report))


def nothing_shown(table: LeakTable) -> str:
    """Why a view has no rows."""
    return "No record passes the filter: esc clears it." if table.names else "No leaks were found."


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
    if arrangement.table.difference is not None:
        said = change_words(arrangement.delta_bytes, arrangement.delta_objects, look)
    else:
        said = f"{percent} % of bytes"
    return f"{look.count(arrangement.record_count)} of {look.count(total)} records, {said}"


_CHIP = {ChipKind.FOCUS: "only", ChipKind.HIDE: "no"}


def caption(arrangement: Arrangement, look: Look, aside: str = "", view: View = View.LIST) -> str:
    """How the list is grouped and sorted, for the tab bar: ``by stack · bytes▾``; before it chips, and what ``aside`` says."""
    query = arrangement.query
    parts = []
    if query.scope.chips:
        # The first part is the last to go where room is short: what is left out must not be forgotten.
        parts.append(", ".join(f"{_CHIP[chip.kind]} {clean(bare(chip.function), 24)}" for chip in query.scope.chips))
    parts += [aside] if aside else []
    if query.within is not None:
        parts.append(f"in {clean(query.within[1], 40) or 'unknown'}")
    if view is not View.LIST:
        parts.append(view.value)
    elif query.within is None or query.grouping is not Grouping.STACK:
        parts.append(f"by {query.grouping.value}")
    if view not in (View.ICICLE, View.ERRORS):
        parts.append(f"{query.order.value}{look.sorted_by}")
    return look.text(f" {look.dot} ".join(parts))


def copied_head(table: LeakTable, index: int) -> str:
    """The line above a stack that is copied as text."""
    record = table.record(index)
    objects = f"{record.objects} object{'' if record.objects == 1 else 's'}"
    return f"{prose(record.size_bytes)} in {objects} ({record.kind.value}), leak {record.leak_id}"


def node_heading(tree: Tree, node: Node, look: Look) -> tuple[str, ...]:
    """What stands over the stack beside a tree: which of those through the node it is."""
    if len(node.records) < 2:
        return ()
    return (f"the largest of {_counted(len(node.records), 'stack', look)} through {bare(tree.name(node))}",)


def box_line(box: Box, shown: Icicle, look: Look, width: int) -> str:
    """The box in hand: its function, bytes, share of the total, place, objects; of the last what fits in ``width`` cells."""
    tree, node = shown.tree, box.node
    total = tree.table.total_bytes
    share = percent(box.size_bytes / total) if total > 0 else percent(0)
    if box.merged:
        what = f"{_counted(box.merged, 'function', look)} too narrow to draw, called by {bare(tree.name(node))}"
        return f" {look.dot} ".join((what, prose(box.size_bytes), share))
    name = tree.name(node)
    if box.folded > 1:
        outer = node.path()[-box.folded]
        name = f"{bare(tree.name(outer))} to {bare(name)}, {box.folded} runtime frames"
    parts = [name, prose(box.size_bytes), f"{share} of total"]
    if tree.table.difference is not None:
        parts.insert(1, f"{signed(node.delta_bytes)} since, width is the newer report")
    where = location(tree, node) if node.function >= 0 else ""
    inlined = node.function >= 0 and tree.table.functions.all[node.function].inlined
    parts += [*([where] if where else []), *(["inlined"] if inlined else []), _counted(node.objects, "object", look)]
    joint = f" {look.dot} "
    while len(parts) > 3 and cell_len(look.text(joint.join(parts))) > width:
        parts.pop()
    return joint.join(parts)


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


def heading(arrangement: Arrangement, position: int, look: Look, was_at: str = "") -> tuple[str, ...]:
    """What stands over a stack that is open whole: which leak it is, how much, of what kind, and what it was ``was_at``."""
    row = arrangement.row(position)
    record = arrangement.table.record(row.record)
    size = (
        f"{prose(record.size_bytes)} in {_counted(record.objects, 'object', look)}",
        percent(arrangement.share(record.size_bytes)),
    )
    delta = arrangement.table.delta(row.record)
    was = _was(arrangement, row.record, look, was_at)
    if delta is not None and delta.change in (Change.GROWN, Change.SHRUNK):
        was = (f"{change_words(delta.delta_bytes, delta.delta_objects, look)}: {was[0]}",)
    parts = (
        f"{look.count(position + 1)} of {look.count(len(arrangement))}",
        *(() if arrangement.table.is_gone(row.record) else size),
        record.kind.value,
    )
    group = (group_line(arrangement, position, look),) if row.stacks > 1 else ()
    return (f" {look.dot} ".join(parts), *was, *group)


def short_heading(arrangement: Arrangement, position: int, look: Look, was_at: str = "") -> tuple[str, ...]:
    """What the list beside the stack does not say: its kind where kinds differ, which stack of a group, what it was before."""
    row = arrangement.row(position)
    kind = (arrangement.table.record(row.record).kind.value,) if len(arrangement.table.kinds) > 1 else ()
    group = (group_line(arrangement, position, look),) if row.stacks > 1 else ()
    return (*kind, *_was(arrangement, row.record, look, was_at), *group)


def _was(arrangement: Arrangement, record: int, look: Look, was_at: str) -> tuple[str, ...]:
    delta = arrangement.table.delta(record)
    return () if delta is None else (was_words(delta, was_at, look),)


def group_line(arrangement: Arrangement, position: int, look: Look) -> str:
    """Which stack of a group is shown."""
    row = arrangement.row(position)
    return f"the largest of {_counted(row.stacks, 'stack', look)} in {row.function}"


def _counted(number: int, noun: str, look: Look) -> str:
    return f"{look.count(number)} {noun}{'' if number == 1 else 's'}"
