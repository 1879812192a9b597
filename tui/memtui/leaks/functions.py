"""The functions of a report: every frame belongs to one, whichever line of it the call is on. Computed once for a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from memtui.leaks.names import function_name, module_name, namespace_of, place
from memtui_parsers.values import Frame


class Function(NamedTuple):
    """``name`` as it is shown whole; without ``named``, where its code lies. ``library``: none of the program's own code.

    ``inlined``: it has no call of its own anywhere in the report. ``location`` is that of one of its frames.
    """

    name: str
    module: str
    named: bool
    location: str
    library: bool
    inlined: bool


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Functions:
    """``of`` gives the number of a frame's function by the frame's id()."""

    all: tuple[Function, ...]
    of: Mapping[int, int]
    _namespaces: dict[int, str] = field(default_factory=dict)

    def namespace(self, number: int) -> str:
        """'' for the global one. Found when it is asked for: taking names apart is slow."""
        known = self._namespaces.get(number)
        if known is None:
            function = self.all[number]
            known = self._namespaces[number] = namespace_of(function.name) if function.named else ""
        return known

    def frames_of(self, name: str) -> frozenset[int]:
        """The ids of the frames of every function of that name."""
        wanted = {number for number, function in enumerate(self.all) if function.name == name}
        return frozenset(identity for identity, number in self.of.items() if number in wanted)

    def of_frame(self, frame: Frame) -> Function:
        return self.all[self.of[id(frame)]]


def functions_of(frames: Mapping[int, Frame], library: Iterable[int]) -> Functions:
    """``frames`` by their id(); ``library`` the ids of those that are not the program's own."""
    numbers: dict[tuple[str, str], int] = {}
    found: list[Function] = []
    of: dict[int, int] = {}
    not_own = frozenset(library)
    for identity, frame in frames.items():
        named = bool(frame.function or frame.linkage_name)
        name = function_name(frame) if named else place(frame)
        key = (name, frame.module.path if frame.module is not None else "")
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(found)
            found.append(
                Function(
                    name=name,
                    module=module_name(frame),
                    named=named,
                    location=place(frame),
                    library=identity in not_own,
                    inlined=frame.inlined,
                )
            )
        elif found[number].inlined and not frame.inlined:
            found[number] = found[number]._replace(inlined=False)
        of[identity] = number
    return Functions(tuple(found), of)
