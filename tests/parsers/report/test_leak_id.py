"""A leak keeps its id where the program stays the same, and no two leaks of a report share one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.report.leak_id import is_allocator_module, is_runtime_module, leak_ids, strip_clone
from memtui_parsers.values import Frame, Module

PROGRAM = Module("/srv/rpc_server", "aa" * 20)
PLUGIN = Module("/srv/plugins/codec.so", "bb" * 20)
LIBC = Module("/lib/x86_64-linux-gnu/libc.so.6", "cc" * 20)
STDCXX = Module("/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30")


def frame(name: str | None, offset: int, module: Module | None = PROGRAM, **more: object) -> Frame:
    base = Frame(0x5500_0000_0000 + offset, module, offset, name, name)
    return replace(base, **more)  # type: ignore[arg-type]


STACK = (frame("_Z4openv", 0x1234, file="a.cpp", line=7), frame("_Z6handlev", 0x2000), frame("main", 0x3000))


def test_an_id_is_sixteen_hex_digits() -> None:
    (found,) = leak_ids([STACK])
    assert len(found) == 16 and int(found, 16) >= 0


def test_it_survives_another_run_an_edit_and_another_machine() -> None:
    elsewhere = tuple(
        replace(
            f, address=f.address + 0x1000, offset=(f.offset or 0) + 64, line=99, module=Module("/home/me/rpc_server")
        )
        for f in STACK
    )
    assert leak_ids([STACK]) == leak_ids([elsewhere])


def test_runtime_and_inlined_frames_and_clones_have_no_part() -> None:
    shown = (
        frame("_Znwm", 0x10, STDCXX),
        frame("_ZSt4movev", 0x1234, inlined=True),
        frame("_Z4openv.isra.0", 0x1234),
        frame("_Z6handlev.part.1.cold", 0x2000),
        frame("main", 0x3000),
        frame("__libc_start_main@@GLIBC_2.34", 0x99, LIBC),
        frame("_start", 0x1000),
    )
    assert leak_ids([STACK]) == leak_ids([shown])


@pytest.mark.parametrize("at", [0, 1, 2])
def test_another_function_is_another_leak(at: int) -> None:
    other = (*STACK[:at], replace(STACK[at], linkage_name="_Z5otherv"), *STACK[at + 1 :])
    assert leak_ids([STACK]) != leak_ids([other])


def test_another_module_is_another_leak() -> None:
    assert leak_ids([STACK]) != leak_ids([(replace(STACK[0], module=PLUGIN), *STACK[1:])])


def test_only_eight_frames_count() -> None:
    deep = tuple(frame(f"f{n}", n) for n in range(12))
    assert leak_ids([deep]) == leak_ids([deep[:8]])
    assert leak_ids([deep]) != leak_ids([deep[:7]])


def test_without_a_name_the_build_and_the_place_in_it_stand_in() -> None:
    nameless = Frame(0x7F00_0000_1234, PLUGIN, 0x1234)
    moved = replace(nameless, address=0x7E00_0000_1234, module=Module("/tmp/codec.so", PLUGIN.build_id))
    assert leak_ids([(nameless,)]) == leak_ids([(moved,)])
    assert leak_ids([(nameless,)]) != leak_ids([(replace(nameless, offset=0x1235),)])


def test_leaks_alike_are_numbered_alike_wherever_the_libraries_are() -> None:
    """gperftools names /usr/lib, LeakSanitizer /lib, and valgrind leaves frames of it out: before and behind /srv/prog."""
    for folder in ("/lib", "/usr/lib", None):
        inner = [] if folder is None else [frame("_M_construct", 0x99, Module(f"{folder}/libstdc++.so.6"))]
        ids = leak_ids(
            [(*inner, frame("make_name", 0x20), frame("main", 0x50)), (frame("make_name", 0x10), frame("main", 0x50))]
        )
        assert ids == [f"{ids[1]}-2", ids[1]]


def test_leaks_alike_but_for_the_line_are_numbered_by_place_not_by_size() -> None:
    later = (replace(STACK[0], offset=0x1250, line=9), *STACK[1:])
    first, second = leak_ids([STACK, later])
    assert second == f"{first}-2"
    assert leak_ids([later, STACK]) == [second, first]
    assert leak_ids([STACK, later, STACK]) == [first, second, first]


def test_leaks_of_two_libraries_of_one_name_are_two() -> None:
    other = replace(PLUGIN, path="/srv/plugins/old/codec.so")
    first, second = leak_ids([(frame("_Z6decodev", 0x10, PLUGIN),), (frame("_Z6decodev", 0x10, other),)])
    assert (first, second) == (first, f"{first}-2")


def test_a_leak_inside_the_runtime_alone_has_an_id_of_its_own() -> None:
    one, other = leak_ids([(frame("setlocale", 1, LIBC),), (frame("getaddrinfo", 1, LIBC),)])
    assert one != other


def test_an_empty_stack_has_an_id() -> None:
    assert leak_ids([()]) == leak_ids([()])
    assert leak_ids([]) == []


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/libtcmalloc.so.4", "/usr/lib/libtcmalloc_minimal.so.4", "/opt/libtcmalloc_minimal_debug.so.4.5.10",
        "/usr/lib/libjemalloc.so.2", "/usr/lib/libmimalloc.so.2", "/usr/lib/gcc/liblsan.so.0.0.0", "/x/libasan.so.8",
        "/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so", "/x/libclang_rt.asan-x86_64.so",
    ],
)  # fmt: skip
def test_allocators(path: str) -> None:
    assert is_allocator_module(path) and is_runtime_module(path)


@pytest.mark.parametrize(
    "path",
    [
        "/lib/libc.so.6", "/lib/libc-2.31.so", "/lib64/ld-linux-x86-64.so.2", "/lib/ld-2.31.so", "/lib/ld-musl-x86_64.so.1",
        "/usr/lib/libstdc++.so.6.0.30", "/usr/lib/libc++.so.1", "/lib/libgcc_s.so.1", "/lib/libpthread-2.31.so", "[vdso]",
        "/lib/libm.so.6 (deleted)", "/lib/libnss_files.so.2", "/usr/lib/libunwind.so.8", "/lib/libubsan.so.1",
    ],
)  # fmt: skip
def test_runtime(path: str) -> None:
    assert is_runtime_module(path) and not is_allocator_module(path)


@pytest.mark.parametrize(
    "path",
    [
        "/srv/rpc_server",
        "/srv/libcodec.so",
        "/srv/libmath.so",
        "/usr/lib/libcrypto.so.3",
        "/srv/tcmalloc",
        "/srv/ldap",
        "",
    ],
)
def test_the_programs_own(path: str) -> None:
    assert not is_runtime_module(path) and not is_allocator_module(path)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("f.isra.0", "f"), ("f.constprop.2.isra.0.cold", "f"), ("f.cold.17", "f"), ("malloc@@GLIBC_2.2.5", "malloc"),
     ("f.islands", "f.islands"), (".part.1", ""), ("@x", "@x"), ("a.b", "a.b")],
)  # fmt: skip
def test_clone_suffixes(name: str, plain: str) -> None:
    assert strip_clone(name) == plain


names = st.none() | st.text(max_size=12)
frames = st.builds(
    Frame,
    address=st.integers(0, 2**64 - 1),
    module=st.none() | st.builds(Module, path=st.text(max_size=20), build_id=st.sampled_from(["", "ab"])),
    offset=st.none() | st.integers(0, 2**64 - 1),
    function=names,
    linkage_name=names,
    line=st.none() | st.integers(0, 99),
    inlined=st.booleans(),
)


@given(st.lists(st.lists(frames, max_size=10).map(tuple), max_size=8))
def test_ids_tell_apart_what_differs_and_do_not_depend_on_order(stacks: list[tuple[Frame, ...]]) -> None:
    ids = leak_ids(stacks)
    places = [
        tuple((f.module.path if f.module else "", f.address if f.offset is None else f.offset) for f in s)
        for s in stacks
    ]
    for one, place in zip(ids, places, strict=True):
        for other, elsewhere in zip(ids, places, strict=True):
            if place != elsewhere:
                assert one != other
    assert leak_ids(stacks[::-1]) == ids[::-1]
