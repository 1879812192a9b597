"""Source lines in colour: what is told apart, and that no text is lost or slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.viewer.leaks.source.syntax import language_of, spans


def parts(text: str, language: str = "c") -> list[tuple[str, str]]:
    return [(words.strip(), part) for words, part in spans(text, language) if part]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        (
            'auto *s = new Session(c, "a // b", 0x1F); // gone',
            "c",
            [("auto", "keyword"), ("new", "keyword"), ('"a // b"', "string"), ("0x1F", "number"), ("// gone", "comment")],
        ),
        ("#include <vector>", "c", [("#include <vector>", "directive")]),
        (" * of a comment", "c", [("* of a comment", "comment")]),
        ("*p = 3;", "c", [("3", "number")]),
        ("x = 'a'; /* b */ int y;", "c", [("'a'", "string"), ("/* b */", "comment"), ("int", "type")]),
        ("renewed = newest;", "c", []),
        ("let b: Box<u8> = Box::new(1u8);", "rust", [
            ("let", "keyword"), ("Box", "type"), ("u8", "type"), ("Box", "type"), ("1u8", "number"),
        ]),
        ("fn f<'a>(x: &'a str) {", "rust", [("fn", "keyword"), ("str", "type")]),
        ("return f'{x}'  # why", "python", [("return", "keyword"), ("f'{x}'", "string"), ("# why", "comment")]),
        ("new int", "", []),
    ],
)  # fmt: skip
def test_words_have_their_parts(text: str, language: str, found: list[tuple[str, str]]) -> None:
    assert parts(text, language) == found


@pytest.mark.parametrize(
    ("file", "language"),
    [
        ("/srv/server.cpp", "c"),
        ("/srv/codec.H", "c"),
        ("/usr/include/c++/12/vector", "c"),
        ("/src/main.rs", "rust"),
        ("/src/a.py", "python"),
        ("/src/README", ""),
        ("", ""),
    ],
)
def test_the_language_of_a_file(file: str, language: str) -> None:
    assert language_of(file) == language


@given(st.text(max_size=120), st.sampled_from(["c", "rust", "python", ""]))
def test_nothing_is_lost(text: str, language: str) -> None:
    assert "".join(words for words, _ in spans(text, language)) == text


def test_lines_made_to_be_slow_are_not() -> None:
    for text in ('"' * 400, "\\" * 400, "/*" * 200, "'" * 400, "0x" * 200, "#[" * 200):
        for _ in range(50):
            spans(text, "c")
