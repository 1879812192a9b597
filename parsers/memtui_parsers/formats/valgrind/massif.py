"""Reads massif's profiles (massif.out.PID, and memcheck's --xtree-memory-file=*.ms): the heap tree of one snapshot.

The format is that of coregrind/m_xtree.c (ms_output_group). A tree has the allocating function at its root and callers
below; ``n3: 384`` has three children. Massif counts bytes and no blocks. The snapshot is the peak, else the last with a
tree. The totals are its ``mem_heap_B``: what the allocator adds and stacks are told in a note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO

from memtui_parsers.clean_text import clean_lines_of
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.stack_table import MAX_DEPTH, StackTable
from memtui_parsers.formats.unread import Unread
from memtui_parsers.formats.valgrind.frames import Frames
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "massif"
MAX_LINE_CHARS = 16 << 10

_SNAPSHOT = re.compile(r"snapshot=(\d{1,9})")
_FIGURE = re.compile(r"(time|mem_heap_B|mem_heap_extra_B|mem_stacks_B)=(\d{1,19})(?:\.0)?")
_TREE = re.compile(r"heap_tree=(empty|detailed|peak)")
_NODE = re.compile(r"( *)n(\d{1,9}): (\d{1,19}) (.*)")
_BELOW = re.compile(r"in \d{1,9} places?, (?:all )?below massif's threshold")
_RULE = "#-----------"
# valgrind's --xtree-memory writes a snapshot for each event in place of times: curB, curBk, totB ... (m_xtmemory.c).
_EVENT = re.compile(r"(\w{1,20}) : ")
_BYTES_IN_USE = "curB"


@dataclass(slots=True)
class _Node:
    children: int
    own_bytes: int  # without what its children have
    steps: list[int]


@dataclass(slots=True)
class _Snapshot:
    number: int
    table: StackTable
    tree: str = "empty"
    figures: dict[str, int] = field(default_factory=dict)
    open_nodes: list[_Node] = field(default_factory=list)
    is_whole: bool = True
    counts_bytes_in_use: bool = True

    @property
    def total_bytes(self) -> int:
        return sum(size for name, size in self.figures.items() if name != "time")


class _Reader:
    def __init__(self) -> None:
        self._frames = Frames(StackTable())
        self._head: dict[str, str] = {}
        self._snapshot: _Snapshot | None = None
        self._chosen: _Snapshot | None = None
        self._largest: _Snapshot | None = None
        self._snapshots = 0
        self._unread = Unread()

    def report(self, stream: BinaryIO) -> LeakReport:
        """Return the report. Raises ParseError for what is no profile of massif."""
        for number, line in enumerate(clean_lines_of(stream, MAX_LINE_CHARS), start=1):
            if not self._take(line) and line.strip():
                self._unread.add(number, line)
        self._end_snapshot()
        if "time_unit" not in self._head or not self._snapshots:
            raise ParseError("no profile of massif: it has no snapshot")
        argv = tuple(self._frames.table.text(self._head.get("cmd", "")).split())
        chosen = self._chosen
        if chosen is None:
            note = f"None of the {self._snapshots} snapshots has a heap tree: run massif with --detailed-freq=1"
            notes = (note, *self._largest_note(), *self._unread.notes())
            return LeakReport(CHECKER, "", ReportStatus.NOT_RUN, argv=argv, notes=notes)
        total_bytes, _ = chosen.table.totals()
        status = ReportStatus.COMPLETE if chosen.is_whole else ReportStatus.TRUNCATED
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._unread.status(status),
            argv=argv,
            total_bytes=total_bytes,
            notes=(*self._notes(chosen), *chosen.table.notes(), *self._unread.notes()),
            leaks=chosen.table.records(),
        )

    def _notes(self, shown: _Snapshot) -> list[str]:
        figures = shown.figures
        which = "the peak" if shown.tree == "peak" else "the last with a heap tree"
        notes = [
            f"Snapshot {shown.number} of {self._snapshots} is shown, {which}, at {figures.get('time', 0)} "
            f"{self._frames.table.text(self._head['time_unit'])}: {figures.get('mem_heap_B', 0)} bytes in use. The allocator "
            f"added {figures.get('mem_heap_extra_B', 0)}, stacks had {figures.get('mem_stacks_B', 0)}: "
            f"{shown.total_bytes} in all"
        ]
        if self._largest is not None and self._largest.total_bytes > shown.total_bytes:
            notes += self._largest_note()
        if not shown.is_whole:
            notes.append("The file ends before the tree of this snapshot does, or parts of the tree do not add up")
        return notes

    def _largest_note(self) -> list[str]:
        if self._largest is None:
            return []
        return [f"Snapshot {self._largest.number} was the largest, {self._largest.total_bytes} bytes in all"]

    def _take(self, line: str) -> bool:
        """Take a line; return whether it was understood."""
        if self._snapshot is not None and (node := _NODE.fullmatch(line)):
            return self._on_node(self._snapshot, len(node[1]), int(node[2]), int(node[3]), node[4])
        if line == _RULE:
            return True
        if matched := _SNAPSHOT.fullmatch(line):
            self._end_snapshot()
            self._snapshots += 1
            self._snapshot = _Snapshot(int(matched[1]), StackTable(beside=self._frames.table))
        elif self._snapshot is None:
            name, colon, value = line.partition(": ")
            if not colon or name not in ("desc", "cmd", "time_unit"):
                return False
            self._head[name] = value
        elif matched := _FIGURE.fullmatch(line):
            self._snapshot.figures[matched[1]] = int(matched[2])
        elif matched := _TREE.fullmatch(line):
            self._snapshot.tree = matched[1]
        else:
            return False
        return True

    def _on_node(self, snapshot: _Snapshot, depth: int, children: int, size_bytes: int, text: str) -> bool:
        nodes = snapshot.open_nodes
        if depth > len(nodes) or depth > MAX_DEPTH:
            return False
        self._close(snapshot, depth)
        steps: list[int] = []
        if nodes:
            parent = nodes[-1]
            parent.children -= 1
            parent.own_bytes -= size_bytes
            number = self._frames.number(text)
            if number is None and not _BELOW.match(text):
                return False
            steps = parent.steps if number is None else [*parent.steps, number]
        elif event := _EVENT.match(text):
            snapshot.counts_bytes_in_use = event[1] == _BYTES_IN_USE
        nodes.append(_Node(children, size_bytes, steps))
        return True

    def _close(self, snapshot: _Snapshot, depth: int) -> None:
        """Close the nodes at ``depth`` and deeper: what no child has is theirs."""
        while len(snapshot.open_nodes) > depth:
            node = snapshot.open_nodes.pop()
            if node.children or node.own_bytes < 0:
                snapshot.is_whole = False
            if node.own_bytes > 0:
                snapshot.table.add(LeakKind.IN_USE, self._frames.steps(node.steps), node.own_bytes, 0)

    def _end_snapshot(self) -> None:
        ended, self._snapshot = self._snapshot, None
        if ended is None:
            return
        self._close(ended, 0)
        if not ended.counts_bytes_in_use:
            ended.table.clear_leaks()
            return
        if self._largest is None or ended.total_bytes > self._largest.total_bytes:
            self._largest = ended
        if ended.tree == "empty":
            return
        if self._chosen is not None and self._chosen.tree == "peak" and ended.tree != "peak":
            ended.table.clear_leaks()
            return
        if self._chosen is not None:
            self._chosen.table.clear_leaks()
        self._chosen = ended


def parse_massif(stream: BinaryIO) -> LeakReport:
    """Parse a whole profile. Raises ParseError for what is none."""
    return _Reader().report(stream)
