"""What each key costs over 200,000 leaks: the real viewer in a real terminal of 120x40, beside an empty Textual application.

Run by `make bench`, or alone: python tests/benchmarks/bench_leak_keys.py [RECORDS [ROUNDS]]; it takes 9 minutes.
Of each key: CPU of the thread that draws, until all is quiet again; the longest time for which that thread looked for nothing
new; how long a key that comes 5 to 300 ms later waits until it is looked at; and when the last byte reached the terminal.
The issue's bound is 50 ms of CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import pty
import selectors
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tests.fixtures.large_session import large_session
from tests.fixtures.screens import viewer

RECORDS = 200_000
BOUND_MS = 50.0
DEADLINE_S = 90.0
# A key that nothing is bound to: how long it waits is how long any would.
PROBE = b"\x1b[20~"
PROBE_KEY = "f9"
PROBES_MS = (5, 15, 30, 60, 100, 150, 200, 300)

BYTES = {
    "enter": b"\r", "escape": b"\x1b", "tab": b"\t", "shift+tab": b"\x1b[Z", "pagedown": b"\x1b[6~", "right": b"\x1b[C",
    "left": b"\x1b[D", "backspace": b"\x7f",
}  # fmt: skip
MOVES = ("j", "j", "k", "G", "k", "g", "pagedown", "pagedown", "n", "n", "p")
TYPED = ("/", *"method_12", "enter", "escape")
SCOPES = ("F", "escape", "H", "escape")
LIST = (*MOVES, *"oooooo", "enter", "j", "k", "escape", *TYPED, *SCOPES, "z", "j", "G", "z", "tab", "shift+tab")
GROUP = (*MOVES, "o", "enter", "j", "escape", *TYPED[:3], "escape")
TREE = (*MOVES, "enter", "j", "right", "j", "left", "*", "o", *TYPED, *SCOPES, "z", "z")
ICICLE = ("j", "j", "k", "G", "g", "n", "p", "right", "b", "b", "b", "j", "enter", "j", "backspace", *TYPED, *SCOPES)
GROUPS = ("function", "file", "library", "namespace")

# (what is on the screen, the key that brings it there, those that are pressed there)
PLAN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("list", "", LIST),
    *((f"by {name}", "b", GROUP) for name in GROUPS),
    ("list", "b", ()),
    ("callers", "v", TREE),
    ("callees", "v", TREE),
    ("icicle", "v", ICICLE),
    ("list", "v", ()),
)
PLAN_COMPARED = (
    ("compared", "", ("d", "escape", *MOVES, *"oooooo", *TYPED, *SCOPES)),
    ("compared, by function", "b", MOVES),
    *((f"compared, by {name}", "b", ("j",)) for name in GROUPS[1:]),
    ("compared", "b", ()),
    ("compared, callers", "v", TREE),
    ("compared, callees", "v", TREE),
    ("compared, icicle", "v", ICICLE),
    ("compared", "v", ()),
)

_SHARED = struct.Struct("=3d")  # longest hold, probes seen, when the last of them was


class Shared:
    """Three figures that the viewer writes and we read."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SHARED.size)

    def read(self) -> tuple[float, float, float]:
        held_s, seen, at_s = _SHARED.unpack_from(self._map)
        return held_s, seen, at_s

    def write(self, held_s: float, seen: float, at_s: float) -> None:
        _SHARED.pack_into(self._map, 0, held_s, seen, at_s)


class TimedSelector(selectors.EpollSelector):
    """Notes how long the event loop was busy between two looks at what has come."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self._woke_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        held_s, seen, at_s = self._shared.read()
        now_s = time.monotonic()
        if now_s - self._woke_s > held_s:
            self._shared.write(now_s - self._woke_s, seen, at_s)
        found = super().select(timeout)
        self._woke_s = time.monotonic()
        return found


class Empty(App[None]):
    """What Textual itself takes for a key: j changes a line of text, v shows one of two texts that fill the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("j", "line"), Binding("v", "other"), Binding("q", "quit")]
    CSS = "#line { height: 1; } .body { height: 1fr; } #b { display: none; }"

    def compose(self) -> ComposeResult:
        yield Static("0", id="line")
        for name in "ab":
            yield Static("\n".join(f"{name} {n} " * 12 for n in range(39)), id=name, classes="body")

    def action_line(self) -> None:
        line = self.query_one("#line", Static)
        line.update(f"{line.render()}"[-20:] + "1")

    def action_other(self) -> None:
        for name in "ab":
            body = self.query_one(f"#{name}")
            body.display = not body.display


def view(folder: str, shared_path: str) -> None:
    """Be the viewer; ``folder`` '': the empty application."""
    shared = Shared(Path(shared_path))
    app: App[str] | App[None] = viewer(Path(folder)) if folder else Empty()
    seen_by = app.on_event

    async def on_event(event: events.Event) -> None:
        if isinstance(event, events.Key) and event.key == PROBE_KEY:
            held_s, seen, _ = shared.read()
            shared.write(held_s, seen + 1, time.monotonic())
        await seen_by(event)

    app.on_event = on_event  # type: ignore[method-assign]
    app.run(loop=asyncio.SelectorEventLoop(TimedSelector(shared)))


@dataclass(slots=True)
class Cost:
    """In ms: CPU of the event loop's thread, the longest hold, the longest wait of a later key, until the last byte."""

    cpu: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)


class Viewer:
    """The viewer in a process and a terminal of its own."""

    def __init__(self, folder: str, scratch: Path) -> None:
        shared_path = scratch / "shared"
        shared_path.write_bytes(bytes(_SHARED.size))
        self.shared = Shared(shared_path)
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLORTERM": "truecolor"}
            argv = [sys.executable, __file__, "view", folder, str(shared_path)]
            os.execve(sys.executable, argv, environment)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.written = 0
        self.last_byte_s = time.monotonic()
        self.screen = b""
        self.idle_per_s = 0.0
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._master, 1 << 16):
                self.written += len(chunk)
                self.last_byte_s = time.monotonic()
                self.screen = (self.screen + chunk)[-(1 << 16) :]

    def cpu_s(self, *, loop_alone: bool) -> float:
        tasks = Path(f"/proc/{self.pid}/task")
        chosen: Iterable[Path] = [tasks / str(self.pid)] if loop_alone else tasks.iterdir()
        total = 0
        for task in chosen:
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def settle(self) -> None:
        """Wait until the process does no more than its clock's ticks."""
        deadline = time.monotonic() + DEADLINE_S
        quiet = 0
        before = self.cpu_s(loop_alone=False)
        while quiet < 3:
            if time.monotonic() > deadline:
                raise AssertionError(f"the viewer does not come to rest: {self.screen[-2000:]!r}")
            time.sleep(0.05)
            now = self.cpu_s(loop_alone=False)
            quiet = quiet + 1 if now - before < 0.004 else 0
            before = now

    def wait_for(self, mark: bytes) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while mark not in self.screen:
            if time.monotonic() > deadline:
                raise AssertionError(f"{mark!r} did not come: {self.screen[-2000:]!r}")
            time.sleep(0.1)
        self.settle()

    def measure_idle(self) -> None:
        """What the viewer takes when nobody does anything: that is no key's."""
        began, at_s = self.cpu_s(loop_alone=True), time.monotonic()
        time.sleep(3)
        self.idle_per_s = (self.cpu_s(loop_alone=True) - began) / (time.monotonic() - at_s)

    def send(self, key: str) -> None:
        os.write(self._master, BYTES.get(key) or key.encode())

    def press(self, key: str, cost: Cost | None = None) -> None:
        self.shared.write(0.0, 0.0, 0.0)
        began, at_s = self.cpu_s(loop_alone=True), time.monotonic()
        self.send(key)
        self.settle()
        if cost is not None:
            spent = self.cpu_s(loop_alone=True) - began - self.idle_per_s * (time.monotonic() - at_s)
            cost.cpu.append(max(0.0, spent) * 1e3)
            cost.held.append(self.shared.read()[0] * 1e3)
            cost.shown.append(max(0.0, self.last_byte_s - at_s) * 1e3)

    def probe(self, key: str, cost: Cost) -> None:
        """Press ``key`` and other keys soon after it."""
        self.shared.write(0.0, 0.0, 0.0)
        pressed_s = time.monotonic()
        self.send(key)
        longest = 0.0
        for number, after_ms in enumerate(PROBES_MS, 1):
            time.sleep(max(0.0, pressed_s + after_ms / 1e3 - time.monotonic()))
            sent_s = time.monotonic()
            os.write(self._master, PROBE)
            while self.shared.read()[1] < number:
                if time.monotonic() - sent_s > DEADLINE_S:
                    raise AssertionError(f"a key was never looked at after {key}")
                time.sleep(0.0005)
            longest = max(longest, self.shared.read()[2] - sent_s)
        cost.waited.append(longest * 1e3)
        self.settle()

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._master)


Costs = dict[tuple[str, str], Cost]


def walk(screen: Viewer, plan: Iterable[tuple[str, str, tuple[str, ...]]], costs: Costs, *, probing: bool) -> None:
    def press(where: str, key: str) -> None:
        cost = costs.setdefault((where, key), Cost())
        if probing:
            screen.probe(key, cost)
        else:
            screen.press(key, cost)

    for where, way, keys in plan:
        if way:
            press(f"to {where}", way)
        typing = False
        for key in keys:
            # A letter that is typed is another thing than a key of that name.
            name = "(typed)" if typing and len(key) == 1 else key
            typing = (typing or key == "/") and key not in ("enter", "escape")
            if name == "(typed)":
                cost = costs.setdefault((where, name), Cost())
                screen.probe(key, cost) if probing else screen.press(key, cost)
            else:
                press(where, key)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def figures(values: list[float]) -> str:
    if not values:
        return f"{'':>7}{'':>8}"
    return f"{statistics.median(values):7.1f}{max(values):8.1f}"


def table(costs: Costs) -> None:
    say(f"{'':32}   {'CPU ms':>15}  {'held ms':>15}  {'next key ms':>15}  {'shown ms':>15}")
    say(f"{'':32}  n{'median':>7}{'max':>8}  {'median':>7}{'max':>8}  {'median':>7}{'max':>8}  {'median':>7}{'max':>8}")
    for (where, key), cost in costs.items():
        mark = " *" if cost.cpu and statistics.median(cost.cpu) > BOUND_MS else ""
        columns = "  ".join(map(figures, (cost.cpu, cost.held, cost.waited, cost.shown)))
        say(f"{where:22} {key:9}{len(cost.cpu):3}{columns}{mark}")
    medians = sorted(statistics.median(cost.cpu) for cost in costs.values() if cost.cpu)
    over = sum(median > BOUND_MS for median in medians)
    say(f"{len(medians)} keys in their views: median {statistics.median(medians):.1f} ms, {over} over {BOUND_MS:g} ms")


def measured(folder: str, scratch: Path, rounds: int, *, probing: bool) -> Costs:
    costs: Costs = {}
    screen = Viewer(folder, scratch)
    try:
        if not folder:
            screen.wait_for(b"a 38")
            screen.measure_idle()
            for key in "jvjv":
                screen.press(key)
            for _ in range(10):
                walk(screen, [("empty", "", ("j", "v"))], costs, probing=False)
            return costs
        screen.wait_for(b"method_")
        screen.measure_idle()
        say(f"idle: {screen.idle_per_s * 1e3:.1f} ms of CPU a second, taken off below")
        # The first look at a view pays for widgets and styles that are then kept: it is told apart.
        first: Costs = {}
        walk(screen, [(f"first {where}", way, ("j",)) for where, way, _ in PLAN], first, probing=False)
        costs |= {key: cost for key, cost in first.items() if key[1] in "vb"}
        for _ in range(rounds):
            walk(screen, PLAN, costs, probing=False)
        if probing:
            walk(screen, PLAN, costs, probing=True)
        for key in ("d", "enter"):
            screen.press(key)
        screen.wait_for(b"change")
        for _ in range(rounds):
            walk(screen, PLAN_COMPARED, costs, probing=False)
        return costs
    finally:
        screen.end()


def main() -> None:
    if sys.argv[1:2] == ["view"]:
        view(*sys.argv[2:4])
        return
    records = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        floor = measured("", here, 1, probing=False)
        say("the floor: an empty Textual application; j changes a line of text, v the whole screen")
        table(floor)
        costs = measured(str(large_session(here / "session", records)), here, rounds, probing=True)
        say(f"the leak browser over {records} stacks, 120x40")
        table(costs)


if __name__ == "__main__":
    main()
