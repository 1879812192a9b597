"""Suppression files in both syntaxes: what is read, what matches, and that what is written takes out the leak it is of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.report.suppress import suppress
from memtui_parsers.report.suppressions import (
    Part,
    Pattern,
    Rule,
    Syntax,
    matcher,
    parse_suppressions,
    suppression_text,
    syntax_of,
)
from memtui_parsers.values import CheckerError, Frame, LeakKind, LeakRecord, LeakReport, Module, ReportStatus

SERVER, SSL = Module("/srv/rpc_server"), Module("/usr/lib/libssl.so.3")


def frame(linkage: str | None, function: str | None = None, module: Module = SERVER, *, inlined: bool = False) -> Frame:
    return Frame(1, module, 1, function or linkage, linkage, "/srv/src/server.cpp", 88, inlined)


OPEN = frame("_Z12open_sessionR4Conn", "open_session(Conn&)")
HANDLE = frame("_Z10handle_rpci", "handle_rpc(int)")
MAIN = frame("main")
STRDUP = frame("strdup", module=Module("/lib/libc.so.6"))
BARE = Frame(5, SSL, 5)


def leak(*stack: Frame, kind: LeakKind = LeakKind.DEFINITELY_LOST, size: int = 40) -> LeakRecord:
    return LeakRecord(f"{len(stack)}{kind.value}", size, 2, kind, stack)


def report(*leaks: LeakRecord, errors: tuple[CheckerError, ...] = ()) -> LeakReport:
    total = sum(one.size_bytes for one in leaks)
    return LeakReport(
        "memcheck", "memcheck", ReportStatus.COMPLETE, total_bytes=total, total_objects=2 * len(leaks), leaks=leaks,
        errors=errors,
    )  # fmt: skip


def hidden(text: str, *leaks: LeakRecord) -> list[bool]:
    left = suppress(report(*leaks), parse_suppressions(text)).leaks
    return [one not in left for one in leaks]


def block(*callers: str, kinds: str = "") -> str:
    lines = ["a name", "Memcheck:Leak", *([f"match-leak-kinds: {kinds}"] if kinds else []), *callers]
    return "{\n" + "".join(f"   {line}\n" for line in lines) + "}\n"


@pytest.mark.parametrize(
    ("callers", "hit"),
    [
        (("fun:malloc", "fun:_Z12open_sessionR4Conn"), True),
        (("fun:_Znwm", "fun:_Z12open_*", "fun:_Z10handle_rpci"), True),
        (("fun:*alloc", "...", "fun:main"), True),
        (("...", "fun:_Z10handle_rpci"), True),
        (("fun:_Z12open_sessionR4Conn",), True),
        (("obj:*vgpreload_memcheck*", "obj:/srv/rpc_server"), True),
        (("fun:malloc", "src:server.cpp:88"), True),
        (("fun:malloc", "fun:_Z1?open_sessionR4Conn"), True),
        (("fun:malloc", "fun:_Z10handle_rpci"), False),
        (("fun:malloc", "...", "fun:worker"), False),
        (("fun:_Z12open_session",), False),
        (("obj:/srv/other",), False),
        (("fun:open_session",), True),  # as the checkers call it that know no linkage name
        (("...", "fun:main", "fun:_start"), False),
    ],
)
def test_valgrinds_callers_match_from_the_leaf_on(callers: tuple[str, ...], hit: bool) -> None:
    assert hidden(block(*callers), leak(OPEN, HANDLE, MAIN)) == [hit]


@pytest.mark.parametrize(
    ("kinds", "hit"),
    [
        ("", [True, True, True, True]),
        ("all", [True, True, True, True]),
        ("none", [False, False, False, False]),
        ("definite", [True, False, False, True]),
        ("indirect,possible", [False, True, False, False]),
        ("reachable", [False, False, True, True]),
    ],
)
def test_leak_kinds(kinds: str, hit: list[bool]) -> None:
    kind = (LeakKind.DEFINITELY_LOST, LeakKind.INDIRECT, LeakKind.STILL_REACHABLE, LeakKind.NOT_FREED)
    assert hidden(block("...", "fun:main", kinds=kinds), *(leak(OPEN, MAIN, kind=one) for one in kind)) == hit


@pytest.mark.parametrize(
    ("template", "hit"),
    [
        ("open_session", True),
        ("open_session(Conn&)", True),
        ("_Z12open", True),
        ("^open_session*Conn&)$", True),
        ("server.cpp", True),
        ("rpc_server", True),
        ("^session", False),
        ("session$", False),
        ("libssl", False),
        ("open?session", False),  # only valgrind knows ?
    ],
)
def test_lsans_templates_match_anywhere(template: str, hit: bool) -> None:
    assert hidden(f"# mine\n\nleak:{template}\n", leak(STRDUP, OPEN, MAIN)) == [hit]


def test_a_report_says_what_was_taken_out_of_it() -> None:
    before = report(leak(OPEN, MAIN), leak(HANDLE, MAIN, size=8))
    left = suppress(before, parse_suppressions("leak:open_session\n"))
    gone = before.total_bytes - left.total_bytes, before.total_objects - left.total_objects
    assert (len(before.leaks) - len(left.leaks), *gone) == (1, 40, 2)
    assert (left.total_bytes, left.total_objects) == (8, 2)
    assert left.notes == ("suppressed: 1 record of 40 bytes",)
    untouched = report(leak(HANDLE))
    assert suppress(untouched, parse_suppressions("leak:nothing\n")) is untouched


def test_other_errors_are_suppressed_by_their_kind_and_size() -> None:
    read = CheckerError("InvalidRead", "Invalid read of size 4", (OPEN, MAIN))
    jump = CheckerError("UninitCondition", "Conditional jump depends", (HANDLE, MAIN))

    def left(kind: str) -> list[str]:
        rules = parse_suppressions("{\n x\n Memcheck:" + kind + "\n ...\n fun:main\n}\n")
        return [error.kind for error in suppress(report(errors=(read, jump)), rules).errors]

    assert left("Addr4") == ["UninitCondition"] and left("Addr8") == ["InvalidRead", "UninitCondition"]
    assert left("Cond") == ["InvalidRead"] and left("Leak") == ["InvalidRead", "UninitCondition"]


def test_rules_of_other_tools_are_passed_over() -> None:
    text = "# c\n{\n a\n Helgrind:Race\n fun:f\n}\n{\n b\n Memcheck,Addrcheck:Leak\n fun:g\n}\n"
    assert [rule.name for rule in parse_suppressions(text)] == ["b"]
    assert parse_suppressions("interceptor_via_fun:f\nleak:g\n") == (Rule("g", "Leak", (Pattern(Part.ANY, "g"),)),)
    param = parse_suppressions("{\n p\n Memcheck:Param\n write(buf)\n fun:f\n}\n")
    assert param[0].patterns == (Pattern(Part.FUNCTION, "f"),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{\n a\n", 1),
        ("{\n a\n}\n", 1),
        ("{\n a\n Memcheck\n fun:f\n}\n", 3),
        ("{\n a\n Memcheck:Leak\n}\n", 1),
        ("{\n a\n Memcheck:Leak\n f\n}\n", 4),
        ("{\n a\n Memcheck:Leak\n match-leak-kinds: big\n fun:f\n}\n", 4),
        ("{\n a\n Memcheck:Leak\n fun:f\n}\nleak:f\n", 6),
        ("leak:f\nnothing\n", 2),
        ("leak:\n", 1),
    ],
)
def test_a_file_that_is_none_says_where(text: str, line: int) -> None:
    with pytest.raises(ParseError) as refused:
        parse_suppressions(text)
    assert refused.value.line == line


def test_whose_file_it_is() -> None:
    assert syntax_of("# c\n\n  {\n") is Syntax.VALGRIND and syntax_of("# c\nleak:x") is Syntax.LSAN
    assert syntax_of("\n # c\n") is None and parse_suppressions("") == ()


@pytest.mark.parametrize("syntax", list(Syntax))
@pytest.mark.parametrize(
    "record",
    [
        leak(OPEN, HANDLE, MAIN),
        leak(STRDUP, OPEN, MAIN, kind=LeakKind.POSSIBLY_LOST),
        leak(BARE, BARE, OPEN),
        leak(BARE),
        leak(*([HANDLE] * 100)),
        leak(frame(None, "ns::inline_one<char const*>(int)", inlined=True), OPEN, MAIN, kind=LeakKind.STILL_REACHABLE),
        leak(frame(None, "void std::vector<int>::push_back(int)"), OPEN, kind=LeakKind.NOT_FREED),
    ],
)
def test_what_is_written_takes_out_the_leak_it_is_of(record: LeakRecord, syntax: Syntax) -> None:
    text = suppression_text(record, syntax)
    other = leak(frame("another", module=Module("/srv/elsewhere")), kind=record.kind)
    assert hidden(text, record, other) == [True, False]
    assert syntax_of(text) is syntax


def test_valgrinds_own_form() -> None:
    assert suppression_text(leak(STRDUP, OPEN, HANDLE, MAIN), Syntax.VALGRIND).splitlines() == [
        "{",
        "   memtui: open_session(Conn&), 40 bytes in 2 objects",
        "   Memcheck:Leak",
        "   match-leak-kinds: definite",
        "   ...",
        "   fun:strdup",
        "   fun:_Z12open_sessionR4Conn",
        "   fun:_Z10handle_rpci",
        "   fun:main",
        "}",
    ]
    assert suppression_text(leak(STRDUP, OPEN), Syntax.LSAN).splitlines()[1] == "leak:open_session(Conn&)"
    assert suppression_text(leak(), Syntax.VALGRIND) == suppression_text(leak(), Syntax.LSAN) == ""


def test_hostile_names_stay_on_their_line() -> None:
    evil = replace(OPEN, function="f\n}\n{\x1b[2J", linkage_name="f\n}")
    for syntax in Syntax:
        text = suppression_text(leak(evil, MAIN), syntax)
        assert "\x1b" not in text and len(parse_suppressions(text)) == 1


def like_fnmatch(glob: str, text: str) -> bool:
    if not glob:
        return not text
    if glob[0] == "*":
        return any(like_fnmatch(glob[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and glob[0] in ("?", text[0]) and like_fnmatch(glob[1:], text[1:])


@given(st.text("ab*?", max_size=7), st.text("ab", max_size=8))
def test_globs_match_as_globs_do(glob: str, text: str) -> None:
    assert matcher(Pattern(Part.FUNCTION, glob))(text) is like_fnmatch(glob, text)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    matches = matcher(Pattern(Part.FUNCTION, "*a" * 400 + "b"))
    assert not any(matches("a" * 4000) for _ in range(20))


@given(st.text(max_size=200))
def test_any_text_is_rules_or_a_parse_error(text: str) -> None:
    try:
        rules = parse_suppressions(text)
    except ParseError:
        return
    suppress(report(leak(OPEN, MAIN)), rules)
