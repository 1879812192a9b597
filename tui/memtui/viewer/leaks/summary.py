"""The text around the list: the report, the selected leak, how much passes a filter, or why there is no leak to show."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from memtui.display.figures import percent
from memtui.display.glyphs import Glyphs
from memtui.reports.answer import View
from memtui.reports.arrangement import Arrangement
from memtui.reports.changes import change_words, counted, growth_words, noun_of, sample_words, signed, was_words
from memtui.reports.icicle import Box, Icicle
from memtui.reports.names import bare, function_name, place
from memtui.reports.pane_state import Empty, EmptyKind, LeakPaneState
from memtui.reports.scope import ChipKind
from memtui.reports.table import Grouping, LeakTable, table_notes
from memtui.reports.tree import Node, Tree
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.widgets.line import fit
from memtui_parsers.clean_text import clean
from memtui_parsers.report.difference import Change
from memtui_parsers.values import LeakKind
from memtui_profiler.words import size_words


def report_line(state: LeakPaneState, arrangement: Arrangement, glyphs: Glyphs) -> str:
    """Return ``at exit · draconian · run 2 · 42.7 MiB in 11 130 objects · 2 notes``.

    A comparison begins with what has changed, focus and hide with how much is shown. What is still reachable has figures of
    its own.
    """
    table = arrangement.table
    report = table.report
    total = _totals(table, glyphs)
    run = [] if state.run is None else [f"run {state.run}"]
    parts = [state.moment, clean(report.mode), *run, total]
    if report.growth is not None:
        parts = [total, state.moment, *run]  # its moment says what made it, and its figures what it is of
    if table.difference is not None:
        changed = change_words(table.delta_bytes, table.delta_objects, glyphs, noun_of(report))
        parts = [f"{changed} {state.since}".rstrip(), total, *(part for part in parts if part != total)]
    if arrangement.query.scope.narrowing and not arrangement.error:
        parts.insert(0, filter_line(arrangement, glyphs))
    notes = len(table_notes(table))
    if notes:
        parts.append(counted(notes, "note", glyphs))
    return f" {glyphs.middot} ".join(part for part in parts if part)


def _totals(table: LeakTable, glyphs: Glyphs) -> str:
    if (growth := table.report.growth) is not None:
        return f"{growth_words(growth)}, {counted(growth.samples, 'sample', glyphs)}"
    total = f"{size_words(table.total_bytes)} in {counted(table.total_objects, 'object', glyphs)}"
    if LeakKind.STILL_REACHABLE.value not in table.kinds or len(table.kinds) == 1:
        return total
    size, objects = table.reachable_bytes, table.reachable_objects
    lost = f"{size_words(table.total_bytes - size)} lost in {counted(table.total_objects - objects, 'object', glyphs)}"
    return f"{lost}, {size_words(size)} still reachable in {glyphs.count(objects)}"


def nothing_shown(table: LeakTable) -> str:
    """Return why a view has no rows."""
    if table.names:
        return "No record passes the filter: esc clears it."
    return "No leaks were found." if table.report.growth is None else "Nothing has grown."


def filter_line(arrangement: Arrangement, glyphs: Glyphs) -> str:
    """Return ``3 of 128 records, 91 % of bytes``, or what is wrong with the pattern."""
    if arrangement.error:
        return arrangement.error
    share = arrangement.share(arrangement.size_bytes)
    total = len(arrangement.table.names)
    # Nearly all is not all, and hardly any is not none.
    rounded = f"{100 * share:.0f}"
    if rounded == "100" and len(arrangement.records) < total and share < 1:
        rounded = ">99"
    elif rounded == "0" and share > 0:
        rounded = "<1"
    how_much = f"{rounded} % of bytes"
    if arrangement.table.difference is not None:
        noun = noun_of(arrangement.table.report)
        how_much = change_words(arrangement.delta_bytes, arrangement.delta_objects, glyphs, noun)
    return f"{glyphs.count(len(arrangement.records))} of {glyphs.count(total)} records, {how_much}"


_CHIP = {ChipKind.FOCUS: "only", ChipKind.HIDE: "no", ChipKind.SKIP: "skip"}


def caption(arrangement: Arrangement, glyphs: Glyphs, aside: str = "", view: View = View.LIST) -> str:
    """Return how the list is grouped and sorted, for the tab bar: ``by stack · bytes▾``, after the chips and ``aside``."""
    query = arrangement.query
    parts = []
    if query.scope.chips:
        # The first part is cut last where room is short: the user must see that stacks are hidden.
        parts.append(", ".join(f"{_CHIP[chip.kind]} {clean(bare(chip.function), 24)}" for chip in query.scope.chips))
    parts += [aside] if aside else []
    if query.within is not None:
        parts.append(f"in {clean(query.within[1], 40) or 'unknown'}")
    if view is not View.LIST:
        parts.append(view.value)
    elif query.within is None or query.grouping is not Grouping.STACK:
        parts.append(f"by {query.grouping.value}")
    if view not in (View.ICICLE, View.ERRORS):
        parts.append(f"{query.order.value}{glyphs.dropdown}")
    return glyphs.plain(f" {glyphs.middot} ".join(parts))


def copied_head(table: LeakTable, index: int) -> str:
    """Return the line above a stack that is copied as text."""
    record = table.record(index)
    objects = f"{record.objects} {noun_of(table.report)}{'' if record.objects == 1 else 's'}"
    return f"{size_words(record.size_bytes)} in {objects} ({record.kind.value}), leak {record.leak_id}"


def node_heading(tree: Tree, node: Node, glyphs: Glyphs) -> tuple[str, ...]:
    """Return the heading of the stack beside a tree: which of the stacks through the node it is."""
    if len(node.records) < 2:
        return ()
    return (f"the largest of {counted(len(node.records), 'stack', glyphs)} through {bare(tree.name(node))}",)


def box_line(box: Box, shown: Icicle, glyphs: Glyphs, width: int) -> str:
    """Return a box's function, bytes, and share of the total, then its place and objects if they fit in ``width`` cells."""
    tree, node = shown.tree, box.node
    total = tree.table.total_bytes
    share = percent(box.size_bytes / total) if total > 0 else percent(0)
    if box.merged:
        what = f"{counted(box.merged, 'function', glyphs)} too narrow to draw, called by {bare(tree.name(node))}"
        return f" {glyphs.middot} ".join((what, size_words(box.size_bytes), share))
    name = tree.name(node)
    if box.folded > 1:
        name = f"{bare(tree.name(box.nodes[0]))} to {bare(name)}, {box.folded} runtime frames"
    parts = [name, size_words(box.size_bytes), f"{share} of total"]
    if tree.table.difference is not None:
        parts.insert(1, f"{signed(node.delta_bytes)} since, width is the newer report")
    where = tree.location(node) if node.function >= 0 else ""
    inlined = node.function >= 0 and tree.table.functions.all[node.function].inlined
    parts += [
        *([where] if where else []),
        *(["inlined"] if inlined else []),
        counted(node.objects, noun_of(tree.table.report), glyphs),
    ]
    joint = f" {glyphs.middot} "
    while len(parts) > 3 and cell_len(glyphs.plain(joint.join(parts))) > width:
        parts.pop()
    return joint.join(parts)


def leak_line(table: LeakTable, index: int, sources: Sources, glyphs: Glyphs, width: int) -> tuple[str, str, str]:
    """Return (place, source text, callers) of a record for ``width`` cells: ``server.cpp:88  new S;  ◀ handle_rpc ◀ …``"""
    name = table.names[index]
    if name.program is None:
        nothing = (
            "no stack was recorded" if table.report.growth is None else "nobody was seen to touch this memory first"
        )
        return (fit(nothing, width, glyphs.ellipsis), "", "")
    frame = table.record(index).stack[name.program]
    where = fit(glyphs.plain(place(frame)), max(0, width // 2), glyphs.ellipsis)
    source = sources.line(frame.file, frame.line) if frame.file and frame.line else None
    code = glyphs.plain(clean((source or "").strip(), 200))
    room = width - len(where) - 2
    callers = _callers(table, index, glyphs, max(room - min(len(code), room // 2) - 2, 0))
    code = fit(code, room - len(callers) - (2 if callers else 0), glyphs.ellipsis)
    gap = max(0, room - len(code) - len(callers))
    return (where, f"  {code}{' ' * gap}", callers)


def _callers(table: LeakTable, index: int, glyphs: Glyphs, width: int) -> str:
    """Return ``◀ handle_rpc ◀ worker ◀ …``: as many of the program's callers as fit."""
    callers = [glyphs.plain(bare(function_name(frame))) for frame in table.callers(index)]
    text = ""
    for number, caller in enumerate(callers):
        step = f"{' ' if text else ''}{glyphs.caller} {caller}"
        more = f" {glyphs.caller} {glyphs.ellipsis}" if number + 1 < len(callers) else ""
        if len(text) + len(step) + len(more) > width:
            last = f"{' ' if text else ''}{glyphs.caller} {glyphs.ellipsis}"
            return text + last if len(text) + len(last) <= width else text
        text += step
    return text


def heading(arrangement: Arrangement, position: int, glyphs: Glyphs, was_at: str = "") -> tuple[str, ...]:
    """Return the heading of a stack that is open alone: its position, size, share and kind, and what it was ``was_at``."""
    table, index = arrangement.table, arrangement.row(position).record
    record, delta = table.record(index), table.delta(index)
    parts = [f"{glyphs.count(position + 1)} of {glyphs.count(len(arrangement))}"]
    if not table.is_gone(index):
        noun = noun_of(table.report)
        parts.append(f"{size_words(record.size_bytes)} in {counted(record.objects, noun, glyphs)}")
        parts.append(percent(arrangement.share(record.size_bytes)))
    below = _lines_below(arrangement, position, glyphs, was_at)
    if delta is not None and delta.change in (Change.GROWN, Change.SHRUNK):
        below[0] = f"{change_words(delta.delta_bytes, delta.delta_objects, glyphs, noun_of(table.report))}: {below[0]}"
    return (f" {glyphs.middot} ".join([*parts, record.kind.value]), *below)


def short_heading(arrangement: Arrangement, position: int, glyphs: Glyphs, was_at: str = "") -> tuple[str, ...]:
    """Return the heading of a stack beside its list: the kind where kinds differ, what it was, which stack of a group."""
    table = arrangement.table
    kind = (table.record(arrangement.row(position).record).kind.value,) if len(table.kinds) > 1 else ()
    return (*kind, *_lines_below(arrangement, position, glyphs, was_at))


def _lines_below(arrangement: Arrangement, position: int, glyphs: Glyphs, was_at: str) -> list[str]:
    """Return what the leak was before, in a comparison, what its figures rest on, and which stack of a group is shown."""
    row = arrangement.row(position)
    delta = arrangement.table.delta(row.record)
    was = [] if delta is None else [was_words(delta, was_at, glyphs, noun_of(arrangement.table.report))]
    several = [f"the largest of {counted(row.stacks, 'stack', glyphs)} in {row.function}"] if row.stacks > 1 else []
    estimated = [words] if (words := sample_words(arrangement.table.record(row.record), glyphs)) else []
    return was + estimated + several


_COLOURS = {EmptyKind.NONE_FOUND: "$good", EmptyKind.CANNOT: "$warn", EmptyKind.KILLED: "$bad"}


class SummaryLines(Static):
    """A line about the report; where the stack is not beside the list, another about the selected leak."""

    def __init__(self, *, sources: Sources, glyphs: Glyphs, id: str) -> None:
        super().__init__("", id=id, markup=False)
        self._sources = sources
        self._glyphs = glyphs
        self._shown = Content("")

    def show(
        self,
        state: LeakPaneState,
        arrangement: Arrangement,
        below: str | int | None,
        width: int,
        *,
        one_line: bool,
    ) -> None:
        """``below``: the selection, as a record or as text. It is the second line, or with ``one_line`` the only one."""
        room = max(10, width - 2)
        about_report = self._glyphs.plain(report_line(state, arrangement, self._glyphs))
        report = Content.styled(fit(about_report, room, self._glyphs.ellipsis), "$muted")
        if below is None:
            self._put(report)
            return
        if isinstance(below, str):
            leak = Content.styled(fit(self._glyphs.plain(below), room, self._glyphs.ellipsis), "$foreground")
        else:
            where, code, callers = leak_line(arrangement.table, below, self._sources, self._glyphs, room)
            leak = Content.assemble((where, "$muted"), (code, "$foreground"), (callers, "$muted"))
        self._put(leak if one_line else Content.assemble(report, "\n", leak))

    def _put(self, content: Content) -> None:
        if not content.is_same(self._shown):
            self._shown = content
            # Its height is fixed: nothing else moves.
            self.update(content, layout=False)


class EmptyView(Static):
    """The text that says why there is nothing to list, and what to do."""

    def __init__(self, *, glyphs: Glyphs, id: str) -> None:
        super().__init__("", id=id, markup=False)
        self._glyphs = glyphs

    def show(self, empty: Empty) -> None:
        """Show this reason."""
        parts = [(self._glyphs.plain(empty.headline), f"bold {_COLOURS.get(empty.kind, '$strong')}")]
        parts += [(f"\n{self._glyphs.plain(line)}", "$muted") for line in empty.lines]
        self.update(Content.assemble(*parts))
