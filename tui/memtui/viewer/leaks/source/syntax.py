"""Source lines in colour: the keywords, strings, numbers and comments of C, C++, Rust and Python. Pure.

A session records only the lines around a frame, so each line is parsed by itself, and a line within a comment is recognised by
its looks. Pygments 2.21 was measured in place of the regular expressions here: its import and its first line take 51 ms, which
the first key that shows a line would wait for; each line takes 106 µs, here 6 µs; hostile lines of 400 characters up to 1.8 ms,
here 0.17 ms; and alone, `` * of a comment`` is an operator and three names to it, ``// gone`` at the end two operators.
"""

from __future__ import annotations

import re
from functools import lru_cache

Span = tuple[str, str]

_C = (
    "alignas alignof asm auto break case catch class co_await co_return co_yield const consteval constexpr constinit const_cast"
    " continue decltype default delete do dynamic_cast else enum explicit export extern final for friend goto if inline mutable"
    " namespace new noexcept nullptr operator override private protected public register reinterpret_cast requires return sizeof"
    " static static_assert static_cast struct switch template this thread_local throw try typedef typeid typename union using"
    " virtual volatile while true false NULL"
)
_C_TYPES = (
    "bool char char8_t char16_t char32_t double float int long short signed size_t ssize_t unsigned void wchar_t int8_t int16_t"
    " int32_t int64_t uint8_t uint16_t uint32_t uint64_t uintptr_t string string_view vector map set unique_ptr shared_ptr"
)
_RUST = (
    "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref"
    " return self Self static struct super trait true type unsafe use where while"
)
_RUST_TYPES = (
    "bool char f32 f64 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize Box Option Rc Arc Result String Vec"
)
_PYTHON = (
    "and as assert async await break class continue def del elif else except finally for from global if import in is lambda"
    " nonlocal not or pass raise return try while with yield True False None self"
)
_PYTHON_TYPES = "bool bytes dict float int list object set str tuple"

_STRING = r"""(?:[uUL]8?|[rbf]{1,2})?"(?:[^"\\]|\\.)*"?"""
# Rust's lifetimes begin with the quote of a character.
_CHARACTER = r"""'(?:[^'\\]|\\[^'][^'\\]{0,8}|\\')'"""
_PYTHON_STRING = r"""[rbf]{0,2}'(?:[^'\\]|\\.)*'?"""
_NUMBER = r"\b(?:0[xX][0-9a-fA-F_']+|\d[\d_']*(?:\.\d+)?(?:[eE][+-]?\d+)?)[uUlLfF0-9i]*\b"
_ENDINGS = {
    **dict.fromkeys(
        ("c", "h", "cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "inl", "ipp", "tcc", "tpp", "cu"), "c"
    ),
    "rs": "rust",
    "py": "python",
    "pyx": "python",
}


def language_of(file: str) -> str:
    """Return 'c' (C and C++), 'rust', 'python', or '' where it is not known. The headers of C++ itself have no ending."""
    base = file.rpartition("/")[2]
    ending = base.rpartition(".")[2].lower() if "." in base else ""
    if not ending and "/c++/" in file:
        return "c"
    return _ENDINGS.get(ending, "")


def spans(text: str, language: str) -> list[Span]:
    """Return a line as (text, part): 'keyword', 'type', 'string', 'number', 'comment', 'directive', or '' for the rest."""
    if not language:
        return [(text, "")] if text else []
    if language != "python" and re.match(r"\s*(?:/?\*(?:\s|/|$)|\*+/)", text):
        return [(text, "comment")]
    parts: list[Span] = []
    at = 0
    for match in _tokens(language).finditer(text):
        part = match.lastgroup or ""
        if part == "word":
            part = _words(language).get(match[0], "")
            if not part:
                continue
        if match.start() > at:
            parts.append((text[at : match.start()], ""))
        parts.append((match[0], part))
        at = match.end()
    if at < len(text):
        parts.append((text[at:], ""))
    return parts


@lru_cache(maxsize=4)
def _words(language: str) -> dict[str, str]:
    keywords, types = {"c": (_C, _C_TYPES), "rust": (_RUST, _RUST_TYPES), "python": (_PYTHON, _PYTHON_TYPES)}[language]
    return {**dict.fromkeys(types.split(), "type"), **dict.fromkeys(keywords.split(), "keyword")}


@lru_cache(maxsize=4)
def _tokens(language: str) -> re.Pattern[str]:
    comment = r"\#.*" if language == "python" else r"//.*|/\*.*?(?:\*/|$)"
    directive = r"^\s*\#\s*include\s*<[^>]*>?|^\s*\#\s*\w+|\#!?\[[^\]]*\]?" if language != "python" else r"^\s*@[\w.]+"
    string = f"{_STRING}|{_PYTHON_STRING if language == 'python' else _CHARACTER}"
    return re.compile(
        rf"(?P<comment>{comment})|(?P<directive>{directive})|(?P<string>{string})|(?P<number>{_NUMBER})|(?P<word>[A-Za-z_]\w*)"
    )
