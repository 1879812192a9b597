"""The functions of a report: every frame belongs to one, whatever line the call is on. Computed once for a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from memtui.reports.names import function_name, module_name, place
from memtui_parsers.report.function_names import namespace_of
from memtui_parsers.values import Frame


class Function(NamedTuple):
    """A function: its whole ``name``, or where its code lies if it is not ``named``. ``library``: not the program's own code.

    ``inlined``: the report has no call of it that is not inlined.
    """

    name: str
    module: str
    named: bool
    library: bool
    inlined: bool


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Functions:
    """All functions of a report, known by their number; ``of`` gives the number of a frame's function by the frame's id()."""

    all: tuple[Function, ...]
    of: Mapping[int, int]
    _namespaces: dict[int, str] = field(default_factory=dict)

    def namespace(self, number: int) -> str:
        """Return the namespace of a function, '' for the global one. Parsing names is slow: it is done when first wanted."""
        namespace = self._namespaces.get(number)
        if namespace is None:
            function = self.all[number]
            namespace = self._namespaces[number] = namespace_of(function.name) if function.named else ""
        return namespace

    def frames_of(self, name: str) -> frozenset[int]:
        """Return the id()s of the frames of every function of that name."""
        wanted = {number for number, function in enumerate(self.all) if function.name == name}
        return frozenset(identity for identity, number in self.of.items() if number in wanted)

    def of_frame(self, frame: Frame) -> Function:
        return self.all[self.of[id(frame)]]


def functions_of(frames: Mapping[int, Frame], library: Iterable[int]) -> Functions:
    """Return the functions of ``frames``, which are by their id(); ``library``: the ids of those that are not the program's own."""
    numbers: dict[tuple[str, str], int] = {}
    functions: list[Function] = []
    of: dict[int, int] = {}
    not_own = frozenset(library)
    for identity, frame in frames.items():
        named = bool(frame.function or frame.linkage_name)
        name = function_name(frame) if named else place(frame)
        key = (name, frame.module.path if frame.module is not None else "")
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(functions)
            functions.append(
                Function(
                    name=name,
                    module=module_name(frame),
                    named=named,
                    library=identity in not_own,
                    inlined=frame.inlined,
                )
            )
        elif functions[number].inlined and not frame.inlined:
            functions[number] = functions[number]._replace(inlined=False)
        of[identity] = number
    return Functions(tuple(functions), of)
