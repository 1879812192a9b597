"""Whose code a frame is in: names as symbol tables, demanglers and other tools really have them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.report.passing_code import Code, code_of, code_of_name
from memtui_parsers.values import Frame, Module

SERVER = Module("/srv/bin/server")

# The program's own, though they look much like what is not.
PROGRAM = """
rleak::leak_box|rleak::main::{{closure}}|rleak::store::Cache<T>::fill|<rleak::Foo as core::clone::Clone>::clone
<rleak::store::Cache<T>>::fill|<rleak::It as core::iter::traits::iterator::Iterator>::next|<(A, rleak::B) as rleak::T>::x
core::Session::open(int)|core::net::Server::accept|alloc_session(Conn&)|alloc::Pool::open(int)
core::iter::Walk::next(int)|main.handle|main.(*Server).serve|main.main.func1|github.com/acme/relay.(*Conn).Read
example.org/app/internal/store.Get|go.uber.org/zap.New|gopkg.in/yaml%2ev3.Unmarshal|read_block|copy_string
open_session|session_alloc|conn_new|Arena::grow()|Chunk::load()|ShimLayer::draw()|Buffer::Buffer(unsigned long)
leak_malloc|test_calloc|do_leak_realloc(int)|leakMalloc|run_malloc_loop|parse_malloc_info|malloc_stats_of|json_parse
j_parse|std_to_utf8|stdlike::run()|handle_all<int, std::string>(int)|std::string make<int>(std::string)|renew_lease
operator_new_user|main|worker(Queue&)|MemoryMap::map()|allocate_ids|deallocate|pool_stats|strdup_count|Python_init
goroutine_main|clone_session
"""
LIBRARY = """
_M_create<main()::<lambda()> >
std::vector<int>::push_back(int&&)|void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)
std::__1::basic_string<char>::append(char const*)|__gnu_cxx::new_allocator<int>::allocate(unsigned long)
__gnu_cxx::__mt_alloc<int>::f()|std::rt::lang_start|std::sys::backtrace::__rust_begin_short_backtrace
core::ops::function::FnOnce::call_once|std::collections::hash::map::HashMap<K,V,S>::insert
<&dyn core::ops::function::Fn<(), Output = i32> + core::marker::Sync as core::ops::function::FnOnce<()>>::call_once
<core::iter::adapters::map::Map<I,F> as core::iter::traits::iterator::Iterator>::fold
<F as core::ops::function::FnOnce<A>>::call_once
std::panicking::catch_unwind::do_call::<std::rt::lang_start_internal::{closure#0}, isize>|core::option::Option<T>::map
bytes.(*Buffer).grow|strings.(*Builder).WriteString|encoding/json.Unmarshal|net/http.(*conn).serve|runtime.main
runtime.goexit|io.ReadAll|bufio.NewReaderSize (inline)|slices.Grow[go.shape.int]|internal/poll.(*FD).Read
runtime.asmcgocall.abi0|_cgo_3f1c_Cfunc_parse|crosscall2|_start|__libc_start_main|__clone3|start_thread|__rust_try
strdup|__strdup|vasprintf|_IO_file_doallocate|getdelim|xstrdup|g_strdup_printf|$sSa6appendyyxnF
$ss27_allocateUninitializedArrayySayxG_BptBwlF|Swift.Array.append(__owned A) -> ()
"""
PASSING = """
<u8 as <[_]>::to_vec_in::ConvertVec>::to_vec::<alloc::alloc::Global>|<[_]>::to_vec
malloc|calloc|realloc|aligned_alloc|memalign|posix_memalign|__libc_malloc|_int_malloc|reallocarray|valloc
malloc@@GLIBC_2.2.5|operator new(unsigned long)|operator new[](unsigned long, std::nothrow_t const&)
operator new(unsigned long, std::align_val_t)|_Znwm|_ZnamRKSt9nothrow_t|Session::operator new(unsigned long)
v8::internal::Malloced::operator new(unsigned long)|alloc::alloc::alloc|alloc::alloc::exchange_malloc
<alloc::alloc::Global as core::alloc::Allocator>::allocate|alloc::raw_vec::RawVec<T,A>::grow_one
<alloc::raw_vec::RawVecInner>::try_allocate_in|alloc::boxed::Box<T>::new|alloc::vec::Vec<T,A>::push
alloc::sync::Arc<T>::new|__rust_alloc|__rdl_alloc|__rustc::__rust_realloc
<alloc::raw_vec::RawVec<gimli::read::unit::AttributeValue<gimli::read::Endian, usize>>>::grow_one
<tikv_jemallocator::Jemalloc as core::alloc::global::GlobalAlloc>::alloc
<mine::Counting as core::alloc::GlobalAlloc>::alloc|hashbrown::raw::RawTable<T,A>::reserve_rehash
<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem|<str as alloc::borrow::ToOwned>::to_owned|runtime.mallocgc
runtime.newobject|runtime.growslice|runtime.makeslice|runtime.rawstring|runtime.(*mcache).nextFree|prof_backtrace_impl
je_prof_backtrace|je_prof_tctx_create|je_malloc_default|_rjem_malloc|_rjem_je_arena_malloc_hard|imalloc_body
je_arena_palloc|je_large_malloc|tcmalloc::allocate_full_malloc_oom(unsigned long)
(anonymous namespace)::do_malloc(unsigned long)|tc_malloc|tc_newarray_nothrow|TCMallocInternalMalloc
tcmalloc::tcmalloc_internal::SampleifyAllocation|DebugAllocate(unsigned long, int)
MallocHook::InvokeNewHookSlow(void const*, unsigned long)|mi_malloc|_mi_heap_malloc_zero|mi_new|rpmalloc
__interceptor_malloc|___interceptor_calloc|heaptrack_malloc|WTF::fastMalloc(unsigned long)|xmalloc|xcalloc|xrealloc
x2nrealloc|g_malloc|g_malloc0|g_malloc0_n|g_realloc|g_slice_alloc|CRYPTO_malloc|CRYPTO_zalloc|CRYPTO_strdup
OPENSSL_malloc|sqlite3Malloc|sqlite3MemMalloc|sqlite3DbMallocRaw|sqlite3DbMallocRawNN|sqlite3MallocZero|zmalloc
ztrymalloc_usable_internal|zmalloc_usable|zcalloc|zrealloc|ngx_alloc|ngx_calloc|ngx_palloc|ngx_pnalloc|ngx_pcalloc
ngx_memalign|apr_palloc|palloc0|MemoryContextAllocZero|AllocSetAlloc|av_malloc|av_mallocz|my_malloc|safe_malloc
safe_malloc_or_die|my_xmalloc|Curl_cmalloc|luaM_malloc_|luaM_realloc_|l_alloc|_emalloc|_emalloc_56|ruby_xmalloc
rb_gc_impl_malloc|talloc_size|PyMem_Malloc|_PyMem_RawMalloc|PyObject_Malloc|_PyObject_GC_New|_PyObject_GC_Alloc
PyType_GenericAlloc|_PyType_AllocNoTrack|PyObject_Calloc|_PyObject_New|swift_allocObject|swift_slowAlloc
os::malloc(unsigned long, MEMFLAGS)|AllocateHeap(unsigned long, MEMFLAGS)|node::Malloc<char>(unsigned long)|uv__malloc
v8::internal::AllocWithRetry(unsigned long)|node::NodeArrayBufferAllocator::AllocateUninitialized(unsigned long)
erts_alloc|mem_heap_alloc
"""


def _each(text: str) -> list[str]:
    return [name for line in text.strip().splitlines() for name in line.split("|")]


CASES = [
    (name, code)
    for text, code in ((PROGRAM, Code.PROGRAM), (LIBRARY, Code.LIBRARY), (PASSING, Code.PASSING))
    for name in _each(text)
]


@pytest.mark.parametrize(("name", "code"), CASES)
def test_a_function_is_told_by_its_name(name: str, code: Code) -> None:
    assert code_of_name(name) is code


@pytest.mark.parametrize(
    ("function", "file", "inlined", "code"),
    [
        ("malloc", "coregrind/m_replacemalloc/vg_replace_malloc.c", False, Code.PASSING),
        ("vg_helper", "/build/valgrind/coregrind/m_replacemalloc/vg_replace_malloc.c", False, Code.PASSING),
        ("allocate_it", "/src/jemalloc-5.3.0/src/arena.c", False, Code.PASSING),
        ("grow", "/home/me/jemalloc-test/main.c", False, Code.PROGRAM),
        ("grow", "/home/me/tcmalloc/bench/main.c", False, Code.PROGRAM),
        (
            "with_capacity_in",
            "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/alloc/src/raw_vec/mod.rs",
            True,
            Code.LIBRARY,
        ),
        (
            "push<u8>",
            "/root/.rustup/toolchains/x/lib/rustlib/src/rust/library/alloc/src/vec/mod.rs",
            True,
            Code.LIBRARY,
        ),
        ("rleak::leak_box", "/rustc/59807616e1/library/alloc/src/boxed.rs", False, Code.PROGRAM),
        (None, "/rust/deps/hashbrown-0.15.2/src/raw/mod.rs", False, Code.LIBRARY),
        (None, "/usr/include/c++/12/bits/basic_string.tcc", False, Code.LIBRARY),
        ("grow()", "/usr/include/c++/12/bits/stl_vector.h", False, Code.PROGRAM),
        ("allocate", "/usr/lib/llvm-14/include/c++/v1/memory", True, Code.LIBRARY),
        ("core::future::poll_fn", "/rustc/59807616e1/library/core/src/future/poll_fn.rs", False, Code.LIBRARY),
    ],
)
def test_a_line_tells_of_an_inlined_call_and_of_an_allocator(
    function: str | None, file: str, inlined: bool, code: Code
) -> None:
    frame = Frame(0x10, SERVER, 0x10, function=function, file=file, line=3, inlined=inlined)
    assert code_of(frame) is code


def test_a_library_of_a_runtime_decides_before_any_name() -> None:
    def in_library(path: str, function: str) -> Code:
        return code_of(Frame(0x10, Module(path), 0x10, function=function))

    assert in_library("/usr/lib/libc.so.6", "getpwnam") is Code.LIBRARY
    assert in_library("/usr/lib/libc.so.6", "strdup") is Code.LIBRARY
    assert in_library("/usr/lib/libstdc++.so.6", "operator new(unsigned long)") is Code.PASSING
    assert in_library("/usr/lib/libjemalloc.so.2", "anything") is Code.PASSING
    assert in_library("/usr/lib/jvm/lib/server/libjvm.so", "ClassLoader::load_class(Symbol*)") is Code.LIBRARY
    assert in_library("/usr/lib/swift/linux/libswiftCore.so", "_swift_x") is Code.LIBRARY
    assert in_library("/srv/libmine.so", "getpwnam") is Code.PROGRAM


def test_an_address_of_which_nothing_is_known_is_no_code_of_the_program() -> None:
    assert code_of(Frame(0x2)) is Code.LIBRARY
    assert code_of(Frame(0x10, SERVER, 0x10)) is Code.PROGRAM


@given(st.text(st.sampled_from("<>:. alocmxsd_&()[]AS0"), max_size=80))
def test_any_name_has_a_code(name: str) -> None:
    assert code_of_name(name) in Code


@pytest.mark.parametrize(
    "unit", ["malloc", "n", "_n", "CRYPTO_alloc", "io/x.x", "::alloc", "<", "operator new", "strdup_", "je_"]
)
@pytest.mark.parametrize("start", ["", "malloc", "io/x.", "CRYPTO_", "<", "g_"])
def test_a_hostile_name_takes_no_time(start: str, unit: str) -> None:
    name = (start + unit * 2048)[:2040] + "!/"
    began = time.process_time()
    code_of_name(name)
    assert time.process_time() - began < 0.5
