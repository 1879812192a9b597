"""What a stack is called, and how a C++ name gets shorter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.reports.names import bare, place, program_index, shorten, title
from memtui.reports.table import build_table
from memtui_parsers.report.passing_code import is_library_frame
from memtui_parsers.values import Frame
from tests.fixtures.leak_reports import LIBC, SERVER, frame, record, sample_report


@pytest.mark.parametrize(
    ("function", "library"),
    [
        ("open_session(Conn&)", False),
        ("std::vector<int>::push_back(int&&)", True),
        ("void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)", True),
        ("std::string make<int>(std::string)", False),
        ("handle_all<int, std::string>(int)", False),
        ("parse(std::string const&)", False),
        ("__gnu_cxx::new_allocator<int>::allocate(unsigned long)", True),
        ("stdlike::run()", False),
        ("operator new(unsigned long)", True),
    ],
)
def test_the_standard_library_is_told_from_the_program(function: str, library: bool) -> None:
    assert is_library_frame(frame(function)) is library


def test_a_module_decides_first_then_the_function_then_the_file() -> None:
    assert is_library_frame(frame("strdup", module=LIBC))
    assert is_library_frame(frame(None, "/usr/include/c++/12/bits/basic_string.tcc", 153))
    assert not is_library_frame(frame("grow()", "/usr/include/c++/12/bits/stl_vector.h", 1287))
    assert not is_library_frame(frame("run", "/srv/include/run.h", 5))
    assert is_library_frame(frame("_start"))


def test_the_titles_of_the_mock_up() -> None:
    table = build_table(sample_report())
    assert [(name.function, name.location) for name in table.names] == [
        ("open_session(Conn&)", "server.cpp:88"),
        ("relay::codec::Frame::decode<relay::codec::Hello>(char const*, unsigned long)", "codec.h:210"),
        ("vector::_M_realloc_insert ← Relay::add_peer(Peer const&)", "relay.cpp:41"),
        ("strdup ← parse_peer(char const*)", "peer.cpp:19"),
        ("libssl.so.3", "libssl.so.3+0x3f12c"),
    ]


def test_a_stack_of_library_frames_alone_is_named_by_the_first_outside_the_runtime() -> None:
    stack = (frame("strdup", module=LIBC), frame("std::thread::_M_run()"), frame("clone3", module=LIBC))
    assert program_index(stack) == 1
    runtime = (frame("strdup", module=LIBC),)
    assert program_index(runtime) == 0
    assert program_index(()) is None
    # What an unwinder takes for frames above the end of the stack.
    bare = Frame(address=0x2)
    assert program_index((*runtime, bare)) == 0
    assert program_index((bare,)) == 0
    below_main = (bare, frame("main"))
    assert program_index(below_main) == 1
    assert title((), None) == "(no stack)"


def test_places_from_best_to_least_known() -> None:
    assert place(frame("f", "/a/b.cpp", 7)) == "b.cpp:7"
    assert place(frame("f", "/a/b.cpp", 7), whole=True) == "/a/b.cpp:7"
    assert place(frame("f", "/a/b.cpp")) == "b.cpp"
    assert place(frame("f", at=0x1F)) == "rpc_server+0x1f"
    assert place(Frame(address=0x7F00, module=SERVER)) == "rpc_server"
    assert place(Frame(address=0x7F00)) == "0x7f00"


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("open_session(Conn&)", 19, "open_session(Conn&)"),
        ("open_session(Conn&)", 18, "open_session"),
        ("relay::codec::Frame::decode<relay::Hello, 3>(char const*)", 30, "Frame::decode<Hello, 3>"),
        ("relay::codec::Frame::decode<relay::Hello, 3>(char const*)", 38, "relay::codec::Frame::decode<Hello, 3>"),
        ("relay::codec::Frame::decode<relay::Hello, 3>(char const*)", 20, "Frame::decode<…>"),
        ("std::map<int, std::string> build<int>(int)", 20, "build<int>"),
        ("a::b::operator<< <int>(x, y)", 24, "a::b::operator<< <int>"),
        ("(anonymous namespace)::Pool::take(int)", 12, "Pool::take"),
        ("main::{lambda(int)#1}::operator()(int) const", 36, "main::{lambda(int)#1}::operator()"),
        ("strdup ← parse_peer(char const*)", 20, "strdup ← parse_peer"),
        ("vector::_M_realloc_insert ← Relay::add_peer(Peer const&)", 28, "_M_realloc_insert ← add_peer"),
        ("vector::_M_realloc_insert ← Relay::add_peer(Peer const&)", 16, "Relay::add_peer"),
        ("std::panicking::catch_unwind::<isize, std::rt::init::{closure#0}>", 40, "std::panicking::catch_unwind<…>"),
        ("<alloc::alloc::Global as core::alloc::Allocator>::allocate", 20, "Global::allocate"),
        ("<&dyn Fn<(), Output = i32> + Sync as core::ops::FnOnce<()>>::call_once", 24, "FnOnce<()>::call_once"),
        ("<fn() -> i32 as core::ops::FnOnce<()>>::call_once", 20, "FnOnce<…>::call_once"),
        ("<rleak::store::Cache<T>>::fill", 18, "Cache<T>::fill"),
        ("rleak::main::{{closure}}", 12, "main::{{closure}}"),
        ("encoding/json.(*decodeState).object", 28, "json.(*decodeState).object"),
        ("encoding/json.(*decodeState).object", 24, "(*decodeState).object"),
        ("encoding/json.(*decodeState).object", 9, "object"),
        ("main.(*Pool[...]).Add", 16, "(*Pool[...]).Add"),
        ("github.com/acme/relay.Open.func1", 16, "relay.Open.func1"),
        ("rleak::work::{{closure}}::{{closure}}", 12, "work::{{closure}}::{{closure}}"),
    ],
)
def test_names_lose_what_matters_least_first(name: str, width: int, shown: str) -> None:
    assert shorten(name, width) == shown


def test_a_bare_name_keeps_its_class_only() -> None:
    assert bare("void std::vector<int>::push_back(int&&)") == "vector::push_back"
    assert bare("foo[abi:cxx11](int)") == "foo[abi:cxx11]"
    assert bare("<alloc::raw_vec::RawVecInner>::grow_one") == "RawVecInner::grow_one"
    assert bare("a::b::main::{{closure}}") == "b::main::{{closure}}"


@given(st.text(st.sampled_from("ab:<>(){} &,*~oprt←"), max_size=60), st.integers(0, 40))
def test_any_name_can_be_shortened(name: str, width: int) -> None:
    assert len(shorten(name, width)) <= max(width, len(name))
    assert isinstance(bare(name), str)
    is_library_frame(frame(name))


def test_hostile_names_are_made_safe_and_bounded() -> None:
    hostile = frame("\x1b[31mred\u202e[bold]" + "x" * 100_000, "/tmp/\x1b]0;t\x07a.cpp", 3)
    table = build_table(replace(sample_report(), leaks=(record("1", 5, 1, hostile),)))
    name = table.names[0]
    assert name.function.startswith("red[bold]xx") and len(name.function) <= 2048
    assert name.location == "a.cpp:3"
