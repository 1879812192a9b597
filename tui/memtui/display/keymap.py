"""Every key of memtui, once: the bindings, the footer, the help screen and the README's table are made from this table."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from memtui_profiler.actions import Action


class Context(str, Enum):
    """Where a key counts. The values are the help screen's headings."""

    TARGET = "The target"
    VIEW = "The view"
    LEAKS = "The leaks"
    GRAPH = "The graph"
    LISTS = "Lists and panes"
    SLIDER = "The release rate, focused"


class Needs(Enum):
    """What must be there so that a key can mean anything."""

    NOTHING = 0
    RECORDER = 1
    PROCESS = 2
    LAUNCHER = 3  # a recorder that launches: not one that has only attached
    LAUNCHED = 4  # a process that memtui has launched


class Key(NamedTuple):
    """``keys`` as Textual names them, comma separated; ``written`` as people write them, where that differs.

    ``words`` are what the footer says, and ``footer`` is the key's place there, 0 for none.

    ``action`` is an action of the application; '' when the widget in focus has the key itself and it is listed here for help.
    In the tables below an action of target, leaks or graph is its last part alone; ``app.`` marks any other there.
    ``priority``: it counts even while a dialog or an input has the focus.
    """

    id: str
    keys: str
    words: str
    help: str
    action: str = ""
    footer: int = 0
    needs: Needs = Needs.NOTHING
    written: str = ""
    priority: bool = False
    context: Context = Context.VIEW

    @property
    def shown(self) -> str:
        """The key as people write it."""
        return self.written or self.keys

    def exists(self, *, live: bool, running: bool, attached: bool) -> bool:
        """Whether it can mean anything: ``live``, there is a recorder; ``running``, there is a process."""
        return {
            Needs.NOTHING: True,
            Needs.RECORDER: live,
            Needs.PROCESS: live and running,
            Needs.LAUNCHER: live and not attached,
            Needs.LAUNCHED: live and running and not attached,
        }[self.needs]


_TARGET = (
    Key("check", "m", "mode", "choose the heap check for the next launch", "pick_check", 12, Needs.LAUNCHER),
    Key(
        "rate-down",
        "minus,underscore",
        "rate",
        "release rate down to the next half",
        "rate_down",
        needs=Needs.RECORDER,
        written="-",
    ),
    Key(
        "rate-up",
        "plus,equals_sign",
        "rate",
        "release rate up to the next half",
        "rate_up",
        2,
        Needs.RECORDER,
        written="+",
    ),
    Key("rate-type", "R", "type a rate", "type a release rate, any decimal", "type_rate", needs=Needs.RECORDER),
    Key("relaunch", "r", "relaunch", "relaunch with the mode and rate shown", "relaunch", 1, Needs.LAUNCHER),
    Key("stop", "t", "stop", "stop the target; again: kill it", "stop_or_kill", 11, Needs.LAUNCHED),
    Key("set-live", "l", "set live", "set the rate shown, without a relaunch", "set_rate_now", 8, Needs.PROCESS),
    Key("release", "x", "release", "release free memory now", "release", 3, Needs.PROCESS),
    Key("check-now", "c", "check", "check for leaks now, without an exit", "check_now", 4, Needs.PROCESS),
    Key("snapshot", "s", "snapshot", "a heap snapshot, or what grows, by stack", "snapshot", 13, Needs.PROCESS),
)
_VIEW = (
    Key("tab-leaks", "1", "Leaks", "what leaked, and from which line", "show_tab('leaks')"),
    Key("tab-heap", "2", "Heap", "where the allocator has the memory", "show_tab('heap')"),
    Key("tab-output", "3", "Output", "what the target prints", "show_tab('output')"),
    Key("tab-events", "4", "Events", "what happened, and when", "show_tab('events')"),
    Key("tab-runs", "5", "Runs", "the launches of the target, side by side", "show_tab('runs')"),
    Key("regions", "M", "regions", "what the process has mapped, by region; again: the heap", "regions", 4),
    Key("why", "w", "why", "the evidence behind the diagnosis", "why", 10),
    Key("zoom-pane", "z", "zoom", "the focused pane alone, and back", "maximise", 7),
    Key("help", "question_mark", "help", "this help", "help", 90, written="?"),
    Key("back", "escape", "back", "close, go back, drop what is pending", "back", written="esc"),
    Key("focus", "tab,shift+tab", "next pane", "the next pane, shift: the one before", written="tab"),
    Key("quit", "q", "quit", "quit: stop it, leave it running, or stay", "quit", 99),
    Key("quit-now", "ctrl+q,ctrl+c", "quit", "", "quit", written="ctrl+q", priority=True),
)
_LEAKS = (
    Key("filter", "slash", "find", "filter the list and its totals", "filter", 5, written="/"),
    Key("compare", "d", "compare", "the reports in time: compare any two, show one", "app.compare", 5),
    Key("open", "enter", "stack", "the whole stack of the leak, or the whole event", "open", 6),
    Key("sort", "o", "sort", "sort by the next column", "sort", 14),
    Key(
        "group",
        "b",
        "group",
        "group by stack, function, file, library or namespace; colours of the icicle",
        "group",
        15,
    ),
    Key("view", "v", "view", "list, callers, callees, icicle, other errors", "view", 6),
    Key(
        "focus-function", "F", "focus", "only stacks through the selected function; esc takes it back", "focus_function"
    ),
    Key("hide-function", "H", "hide", "no stack through the selected function; esc takes it back", "hide_function"),
    Key(
        "skip-function",
        "K",
        "skip",
        "name leaks by the callers of the selected function; esc takes it back",
        "skip_function",
    ),
    Key("edit", "e", "edit", "the source line in $EDITOR", "edit", 16),
    Key("copy", "y", "copy", "copy the stack as text", "copy", 17),
    Key("suppress", "S", "suppress", "leave the leak out from now on, by a suppression file", "suppress", 18),
    Key("next-leak", "n", "next", "the next leak", "step(1)"),
    Key("previous-leak", "p", "previous", "the leak before", "step(-1)"),
)
_GRAPH = (
    Key("pause", "space", "pause", "pause the graph, and go on", "toggle_pause", 9),
    Key("zoom-out", "left_square_bracket", "zoom out", "more time on the graph", "zoom(1)", written="["),
    Key("zoom-in", "right_square_bracket", "zoom in", "less time on the graph", "zoom(-1)", written="]"),
    Key("crosshair-left", "left", "crosshair", "read the values a column earlier", "crosshair(-1)", written="←"),
    Key("crosshair-right", "right", "crosshair", "read the values a column later", "crosshair(1)", written="→"),
    Key("pan-left", "shift+left", "pan", "move to earlier times", "pan(-1)", written="shift ←"),
    Key("pan-right", "shift+right", "pan", "move to later times", "pan(1)", written="shift →"),
    Key("previous-mark", "comma", "previous mark", "the crosshair on the mark before", "mark(-1)", written=","),
    Key("next-mark", "full_stop", "next mark", "the crosshair on the next mark", "mark(1)", written="."),
    Key("whole", "0", "all", "the whole session", "whole_session"),
    Key("follow", "end", "now", "follow the present", "follow"),
    Key("ghost", "G", "ghost", "hide or show the run before", "toggle_ghost"),
)
_LISTS = (
    Key("down-up", "", "down, up", "down and up, as the arrows do", written="j k"),
    Key("first-last", "", "first, last", "the first and the last row", written="g G"),
    Key("page", "", "page", "a page down, a page up", written="pgdn pgup"),
    Key("branch", "", "open, close", "open and close a branch of a tree; a box beside in the icicle", written="→ ←"),
    Key("hottest", "", "hottest", "open the hottest path of a tree", written="*"),
    Key("zoom-box", "", "zoom out", "out of a box of the icicle; enter goes in", written="backspace"),
    Key("ask", "", "ask", "on Heap: ask a process of one thread", needs=Needs.PROCESS, written="enter"),
)
_SLIDER = (
    Key("slide", "", "by 0.5", "the rate by 0.5; with ctrl by 0.1", written="← →"),
    Key("slide-ends", "", "0, 10", "0 (never) and 10", written="home end"),
)
_TABLES = (_TARGET, _VIEW, _LEAKS, _GRAPH, _LISTS, _SLIDER)

_OWNERS = {Context.TARGET: "target", Context.LEAKS: "leaks", Context.GRAPH: "graph"}


def _whole_action(action: str, context: Context) -> str:
    if not action or context not in _OWNERS or action.startswith("app."):
        return action.removeprefix("app.")
    return f"{_OWNERS[context]}('{action}')"


KEYS = tuple(
    key._replace(context=context, action=_whole_action(key.action, context))
    for context, keys in zip(Context, _TABLES, strict=True)
    for key in keys
)

KEYS_BY_ID = {key.id: key for key in KEYS}
# The key for each thing that a sentence of the recorder's can call for.
ACTION_KEYS: dict[Action, Key] = {
    Action.LAUNCH: KEYS_BY_ID["relaunch"],
    Action.STOP: KEYS_BY_ID["stop"],
    Action.CHOOSE_CHECK: KEYS_BY_ID["check"],
    Action.CHECK: KEYS_BY_ID["check-now"],
    Action.SNAPSHOT: KEYS_BY_ID["snapshot"],
    Action.RELEASE: KEYS_BY_ID["release"],
    Action.SET_RATE: KEYS_BY_ID["set-live"],
    Action.ASK: KEYS_BY_ID["ask"],
    Action.SHOW_LEAKS: KEYS_BY_ID["tab-leaks"],
    Action.SHOW_HEAP: KEYS_BY_ID["tab-heap"],
    Action.SHOW_OUTPUT: KEYS_BY_ID["tab-output"],
    Action.SHOW_REPORTS: KEYS_BY_ID["compare"],
}


class Place(str, Enum):
    """The part of the leaks that has the focus: some keys do something else there, or nothing. FOLDED: a stack with folded frames.

    EMPTY: there are no leaks, and a sentence says why.
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
    unable: frozenset[str] = frozenset(),
) -> tuple[tuple[str, str], ...]:
    """(key, words) for the footer, in their order, as many as fit in ``width`` columns; help and quit always stay.

    ``graph`` False: there is none, so that its keys mean nothing, nor the one that gives the pane the whole screen.
    ``comparable``: there are reports to choose from. ``place`` counts on the tab of the leaks. ``unable``: the ids of those
    that would only be refused, or show nothing. The rest is as in Key.exists().
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
        and k.id not in unable
        and (comparable or k.id != "compare")
        and (tab == "heap" or k.id != "regions")
        and (graph or (k.context is not Context.GRAPH and k.id != "zoom-pane"))
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
