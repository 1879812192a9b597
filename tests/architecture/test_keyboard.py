"""The profiler knows no keyboard: what it writes names an action, and only the front ends say by which key or command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from memtui.display.keymap import KEYS

# Single characters by which people write keys, without the marks of punctuation and arithmetic.
_LETTERS = "".join(sorted(key.shown for key in KEYS if re.fullmatch("[A-Za-z1-9]", key.shown)))
_NAMES = "|".join(
    sorted({word for key in KEYS for word in re.findall(r"[a-z]{3,}", key.shown)} - {"end", "home", "tab"})
)
_LETTER = rf"[{re.sub('[0-9]', '', _LETTERS)}jkg]"
_IN_A_SENTENCE = re.compile(
    rf"(?:^|[;:,.(] ?|\b(?:then|on|press|with|and|or|by|key) )(?:{_LETTER}|{_NAMES})(?=[ ;,.)]|$)(?! =)"
    r"|\btab \d| \([1-9]\)|\bpress(?:es|ed)?\b|\b(?:this|the) screen\b|\bkeyboard\b|\b(?:the|a) key\b"
)
# Whose arguments may be one letter: modes of files, names of type variables.
_LETTER_IS_NO_KEY = frozenset({"open", "fdopen", "TypeVar", "TemporaryFile", "format", "array"})


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each string that is no docstring; {} stands for what is formatted into it."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _LETTER_IS_NO_KEY:
                skipped |= {id(argument) for argument in node.args}
        elif isinstance(node, ast.Compare):  # the state of a process, as the kernel writes it
            skipped |= {id(part) for side in (node.left, *node.comparators) for part in ast.walk(side)}
        elif isinstance(node, ast.Tuple):  # a unit and its size
            pairs = zip(node.elts, node.elts[1:], strict=False)
            skipped |= {id(unit) for unit, size in pairs if isinstance(getattr(size, "value", None), int)}
        elif isinstance(node, ast.JoinedStr) and id(node) not in skipped:
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
            skipped |= {id(part) for part in node.values}
            specs = (p.format_spec for p in node.values if isinstance(p, ast.FormattedValue) and p.format_spec)
            skipped |= {id(part) for spec in specs for part in ast.walk(spec)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def keys_named_in(source: str) -> list[str]:
    return [
        f"{line}: {text}"
        for line, text in texts(source)
        if (len(text) == 1 and text in _LETTERS) or (len(text) > 1 and _IN_A_SENTENCE.search(text))
    ]


def test_no_string_of_the_profiler_names_a_key_or_a_tab(repository: Path) -> None:
    files = sorted((repository / "profiler").rglob("*.py"))
    assert len(files) > 50
    found = {str(path.relative_to(repository)): keys_named_in(path.read_text()) for path in files}
    assert {path: lines for path, lines in found.items() if lines} == {}


# What the profiler said before it knew no keyboard.
@pytest.mark.parametrize(
    "planted",
    [
        'UserError("cannot stop", "the target has ended", "r launches it again")',
        'UserError("relaunch dropped", "a stop was asked for meanwhile", "r relaunches")',
        'TODO = "start it with HEAPCHECK=normal (m and r do, where memtui launched it)"',
        'TODO = "stop it first: `memtui resume`, then t"',
        'TEXT = "heap profiler begun: it sees what is allocated from now on; s again takes a snapshot of that"',
        'WHY = "no snapshot was written: the program ended by _exit() or exec before the first; s takes one while it runs"',
        'WHY = "valgrind itself gave up before its leak check; what it said is in Output (3)"',
        'SUMMARY = "a snapshot every minute, at 100 MiB more in use, at exit, and on s"',
        'SUMMARY = "The one for servers that never exit: d shows what grew between two snapshots."',
        'SUMMARY = "what no pointer reaches, directly and indirectly; c asks while it runs"',
        'evidence.append(f"{size} free: the size classes on tab 2 tell whose objects lie free")',
        'EVIDENCE = "everything else on this screen is of the one process memtui follows"',
        'NOT_ASKED = "it has one thread, and is asked only when you want it: enter on tab 2"',
        'return Diagnosis(Verdict.NO_LEAKS, f"{found}; {caveat}", "1", "show", evidence)',
        'return ("x", words) if facts.can.release else (None, "")',
        'MARKS = {EventKind.RELAUNCH: "r"}',
        """evidence.append(f"free: {'press x' if able else ''}")""",
    ],
)
def test_a_planted_key_is_found(planted: str) -> None:
    assert keys_named_in(planted)


@pytest.mark.parametrize(
    "innocent",
    [
        'text = f"stays at {size} for {level_s:.0f} s, within {spread:g}"',
        'TODO = f"chmod +r {path}"',
        'TODO = "apt-get install g++ (Fedora: dnf install gcc-c++)"',
        'T = TypeVar("R")',
        'UNITS = (("s", 1), ("min", 60))',
        'stream = open(path, "w")',
        'asleep = state == "s"',
        'address = f"{number:x}"',
    ],
)
def test_a_unit_or_a_command_is_no_key(innocent: str) -> None:
    assert keys_named_in(innocent) == []
