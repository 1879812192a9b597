"""Every key of memtui, once: the bindings, the footer, the help screen and the README's table are made from this table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.binding import BindingType


class Context(str, Enum):
    """Where a key counts. The values are the help screen's headings."""

    TARGET = "The target"
    VIEW = "The view"
    LEAKS = "The leaks"
    GRAPH = "The graph"
    LISTS = "Lists and panes"
    SLIDER = "The release rate, focused"


@dataclass(frozen=True, slots=True)
class Key:
    """``keys`` as Textual names them, comma separated, ``shown`` as people write them. ``footer``: its place there, 0 for none.

    ``action`` is an action of the application; '' when the widget in focus has the key itself and it is listed here for help.
    ``needs_recorder``: it acts on the target, so it means nothing in a finished session; ``needs_process``: it asks the process,
    so there must be one; ``launches``: it starts or stops the target, which is not for memtui where it has only attached.
    ``priority``: it counts even while a dialog or an input has the focus.
    """

    id: str
    keys: str
    shown: str
    words: str
    help: str
    context: Context
    action: str = ""
    footer: int = 0
    needs_recorder: bool = False
    priority: bool = False
    needs_process: bool = False
    launches: bool = False

    def exists(self, *, live: bool, running: bool, attached: bool) -> bool:
        """Whether it can mean anything: ``live``, there is a recorder; ``running``, there is a process."""
        if self.launches and attached:
            return False
        return (live or not self.needs_recorder) and (running or not self.needs_process)


KEYS: tuple[Key, ...] = (
    Key(
        "check",
        "m",
        "m",
        "mode",
        "choose the heap check for the next launch",
        Context.TARGET,
        "check_picker",
        12,
        needs_recorder=True,
        launches=True,
    ),
    Key(
        "rate-down",
        "minus,underscore",
        "-",
        "rate",
        "release rate down to the next half",
        Context.TARGET,
        "rate_step(-1)",
        needs_recorder=True,
    ),
    Key(
        "rate-up",
        "plus,equals_sign",
        "+",
        "rate",
        "release rate up to the next half",
        Context.TARGET,
        "rate_step(1)",
        2,
        needs_recorder=True,
    ),
    Key(
        "rate-type",
        "R",
        "R",
        "type a rate",
        "type a release rate, any decimal",
        Context.TARGET,
        "rate_input",
        needs_recorder=True,
    ),
    Key(
        "relaunch",
        "r",
        "r",
        "relaunch",
        "relaunch with the mode and rate shown",
        Context.TARGET,
        "relaunch",
        1,
        needs_recorder=True,
        launches=True,
    ),
    Key(
        "stop",
        "t",
        "t",
        "stop",
        "stop the target; again: kill it",
        Context.TARGET,
        "stop_target",
        11,
        needs_recorder=True,
        needs_process=True,
        launches=True,
    ),
    Key(
        "set-live",
        "l",
        "l",
        "set live",
        "set the rate shown, without a relaunch",
        Context.TARGET,
        "set_live",
        8,
        needs_recorder=True,
        needs_process=True,
    ),
    Key(
        "release",
        "x",
        "x",
        "release",
        "release free memory now",
        Context.TARGET,
        "release",
        3,
        needs_recorder=True,
        needs_process=True,
    ),
    Key(
        "check-now",
        "c",
        "c",
        "check",
        "check for leaks now, without an exit",
        Context.TARGET,
        "check_now",
        4,
        needs_recorder=True,
        needs_process=True,
    ),
    Key(
        "snapshot",
        "s",
        "s",
        "snapshot",
        "write a heap snapshot",
        Context.TARGET,
        "snapshot",
        13,
        needs_recorder=True,
        needs_process=True,
    ),
    Key("tab-leaks", "1", "1", "Leaks", "what leaked, and from which line", Context.VIEW, "show_tab('leaks')"),
    Key("tab-heap", "2", "2", "Heap", "where the allocator has the memory", Context.VIEW, "show_tab('heap')"),
    Key("tab-output", "3", "3", "Output", "what the target prints", Context.VIEW, "show_tab('output')"),
    Key("tab-events", "4", "4", "Events", "what happened, and when", Context.VIEW, "show_tab('events')"),
    Key("tab-runs", "5", "5", "Runs", "the launches of the target, side by side", Context.VIEW, "show_tab('runs')"),
    Key("why", "w", "w", "why", "the evidence behind the diagnosis", Context.VIEW, "why", 10),
    Key("zoom-pane", "z", "z", "zoom", "the focused pane alone, and back", Context.VIEW, "maximise", 7),
    Key("help", "question_mark", "?", "help", "this help", Context.VIEW, "help", 90),
    Key("back", "escape", "esc", "back", "close, go back, drop what is pending", Context.VIEW, "back"),
    Key("focus", "tab,shift+tab", "tab", "next pane", "the next pane, shift: the one before", Context.VIEW),
    Key(
        "quit",
        "q",
        "q",
        "quit",
        "quit: stop it, leave it running, or stay",
        Context.VIEW,
        "quit",
        99,
    ),
    Key("quit-now", "ctrl+q,ctrl+c", "ctrl+q", "quit", "", Context.VIEW, "quit", priority=True),
    Key("filter", "slash", "/", "find", "filter the list and its totals", Context.LEAKS, "leaks('filter')", 5),
    Key(
        "compare",
        "d",
        "d",
        "compare",
        "the reports in time: compare any two, show one",
        Context.LEAKS,
        "compare",
        5,
    ),
    Key(
        "open",
        "enter",
        "enter",
        "stack",
        "the whole stack of the leak, or the whole event",
        Context.LEAKS,
        "leaks('open')",
        6,
    ),
    Key("sort", "o", "o", "sort", "sort by the next column", Context.LEAKS, "leaks('sort')", 14),
    Key(
        "group",
        "b",
        "b",
        "group",
        "group by stack, function, file, library or namespace; colours of the icicle",
        Context.LEAKS,
        "leaks('group')",
        15,
    ),
    Key("view", "v", "v", "view", "list, callers, callees, icicle, other errors", Context.LEAKS, "leaks('view')", 6),
    Key(
        "focus-function",
        "F",
        "F",
        "focus",
        "only stacks through the function in hand; esc takes it back",
        Context.LEAKS,
        "leaks('focus_function')",
    ),
    Key(
        "hide-function",
        "H",
        "H",
        "hide",
        "no stack through the function in hand; esc takes it back",
        Context.LEAKS,
        "leaks('hide_function')",
    ),
    Key("edit", "e", "e", "edit", "the source line in $EDITOR", Context.LEAKS, "leaks('edit')", 16),
    Key("copy", "y", "y", "copy", "copy the stack as text", Context.LEAKS, "leaks('copy')", 17),
    Key(
        "suppress",
        "S",
        "S",
        "suppress",
        "leave the leak out from now on, by a suppression file",
        Context.LEAKS,
        "leaks('suppress')",
        18,
    ),
    Key("next-leak", "n", "n", "next", "the next leak", Context.LEAKS, "leaks('next_leak')"),
    Key("previous-leak", "p", "p", "previous", "the leak before", Context.LEAKS, "leaks('previous_leak')"),
    Key("pause", "space", "space", "pause", "pause the graph, and go on", Context.GRAPH, "graph('toggle_pause')", 9),
    Key(
        "zoom-out", "left_square_bracket", "[", "zoom out", "more time on the graph", Context.GRAPH, "graph('zoom_out')"
    ),
    Key("zoom-in", "right_square_bracket", "]", "zoom in", "less time on the graph", Context.GRAPH, "graph('zoom_in')"),
    Key(
        "crosshair-left",
        "left",
        "←",
        "crosshair",
        "read the values a column earlier",
        Context.GRAPH,
        "graph('crosshair_left')",
    ),
    Key(
        "crosshair-right",
        "right",
        "→",
        "crosshair",
        "read the values a column later",
        Context.GRAPH,
        "graph('crosshair_right')",
    ),
    Key("pan-left", "shift+left", "shift ←", "pan", "move to earlier times", Context.GRAPH, "graph('pan_left')"),
    Key("pan-right", "shift+right", "shift →", "pan", "move to later times", Context.GRAPH, "graph('pan_right')"),
    Key(
        "previous-mark",
        "comma",
        ",",
        "previous mark",
        "the crosshair on the mark before",
        Context.GRAPH,
        "graph('previous_mark')",
    ),
    Key(
        "next-mark",
        "full_stop",
        ".",
        "next mark",
        "the crosshair on the next mark",
        Context.GRAPH,
        "graph('next_mark')",
    ),
    Key("whole", "0", "0", "all", "the whole session", Context.GRAPH, "graph('whole_session')"),
    Key("follow", "end", "end", "now", "follow the present", Context.GRAPH, "graph('follow')"),
    Key("ghost", "G", "G", "ghost", "hide or show the run before", Context.GRAPH, "graph('toggle_ghost')"),
    Key("down-up", "", "j k", "down, up", "down and up, as the arrows do", Context.LISTS),
    Key("first-last", "", "g G", "first, last", "the first and the last row", Context.LISTS),
    Key("page", "", "pgdn pgup", "page", "a page down, a page up", Context.LISTS),
    Key(
        "branch",
        "",
        "→ ←",
        "open, close",
        "open and close a branch of a tree; a box beside in the icicle",
        Context.LISTS,
    ),
    Key("hottest", "", "*", "hottest", "open the hottest path of a tree", Context.LISTS),
    Key("zoom-box", "", "backspace", "zoom out", "out of a box of the icicle; enter goes in", Context.LISTS),
    Key("ask", "", "enter", "ask", "on Heap: ask a process of one thread", Context.LISTS),
    Key("slide", "", "← →", "by 0.5", "the rate by 0.5; with ctrl by 0.1", Context.SLIDER),
    Key("slide-ends", "", "home end", "0, 10", "0 (never) and 10", Context.SLIDER),
)


def bindings(keys: Iterable[Key] = KEYS) -> list[BindingType]:
    """Textual bindings of all keys that the application answers itself, each with an id by which a user can remap it."""
    from textual.binding import Binding

    return [
        Binding(
            k.keys, k.action, k.words, show=False, key_display=k.shown, priority=k.priority, tooltip=k.help, id=k.id
        )
        for k in keys
        if k.action
    ]


class Place(str, Enum):
    """What of the leaks has the keys: some of them do another thing there, or none. FOLDED is a stack with folded frames.

    EMPTY: there are none, and words stand in their place.
    """

    EMPTY = "empty"
    LIST = "list"
    GROUPS = "groups"
    TREE = "tree"
    ICICLE = "icicle"
    ERRORS = "errors"
    STACK = "stack"
    FOLDED = "folded"
    TYPING = "typing"


# What the footer calls a key, by its id, where that is not what the table says; '' where it does nothing.
_CALLED: dict[Place, dict[str, str]] = {
    Place.EMPTY: {k.id: "" for k in KEYS if k.context is Context.LEAKS and k.id != "compare"},
    Place.GROUPS: {"open": "open"},
    Place.TREE: {"open": "open", "group": ""},
    Place.ICICLE: {"open": "zoom in", "back": "out", "sort": "", "group": "colour"},
    Place.ERRORS: {"back": "back", "sort": "", "group": "", "suppress": ""},
    Place.STACK: {"open": "", "back": "back", "sort": "", "group": ""},
    Place.FOLDED: {"open": "unfold", "back": "back", "sort": "", "group": ""},
}
# All others are letters while one types.
_WHILE_TYPING = (("enter", "keep"), ("esc", "clear"))
# Where esc stands in a footer that names it: after enter.
_BACK = 6.5

# With a report alone on the screen there is no verdict to explain, and the pane has all of the screen.
_BESIDE_GRAPH = ("why", "zoom-pane")


def footer_keys(
    *,
    live: bool,
    tab: str,
    width: int,
    graph: bool = True,
    running: bool = True,
    attached: bool = False,
    comparable: bool = False,
    place: Place = Place.LIST,
) -> tuple[tuple[str, str], ...]:
    """(key, words) for the footer, in their order, as many as fit in ``width`` columns; help and quit always stay.

    ``graph`` False: a report alone is shown, so the keys of what is above it mean nothing. ``comparable``: there are reports to
    choose from. ``place`` counts on the tab of the leaks. The rest is as in Key.exists().
    """
    if tab == "leaks" and place is Place.TYPING:
        return _WHILE_TYPING
    called = _CALLED.get(place, {}) if tab == "leaks" else {}
    named = [k for k in KEYS if called.get(k.id, k.footer)]
    chosen = [
        k
        for k in sorted(named, key=lambda k: k.footer or _BACK)
        if k.exists(live=live, running=running, attached=attached)
        and (tab == "leaks" or k.context is not Context.LEAKS)
        and (comparable or k.id != "compare")
        and (graph or (k.context is not Context.GRAPH and k.id not in _BESIDE_GRAPH))
    ]
    pairs = [("-+" if k.id == "rate-up" else k.shown, called.get(k.id, k.words), k.footer >= 90) for k in chosen]

    def columns(pair: tuple[str, str, bool]) -> int:
        return len(pair[0]) + len(pair[1]) + 3

    room = width - 1 - sum(columns(p) for p in pairs if p[2])
    fitting: list[tuple[str, str]] = []
    for pair in pairs:
        if not pair[2]:
            if columns(pair) > room:
                room = 0
                continue
            room -= columns(pair)
        fitting.append(pair[:2])
    return tuple(fitting)


def help_sections() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """(heading, (key, what it does) ...) for the help screen."""
    return tuple(
        (context.value, tuple((k.shown, k.help) for k in KEYS if k.context is context and k.help))
        for context in Context
    )


def markdown_table() -> str:
    """The table of keys as README has it."""
    rows = [f"| `{shown}` | {words} |" for _, keys in help_sections() for shown, words in keys]
    return "\n".join(["| key | does |", "|---|---|", *rows]) + "\n"
