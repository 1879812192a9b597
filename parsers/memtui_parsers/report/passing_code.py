"""Tells code that only passes an allocation on from the program's own: runtimes, standard libraries, allocators, wrappers.

A leak is named by the first frame of the program's own. The names are those of the projects' own sources.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from memtui_parsers.report.function_names import ANONYMOUS, NAME_LIMIT, collapse, last_parts, qualified
from memtui_parsers.report.leak_id import is_allocator_module, is_runtime_module, strip_clone
from memtui_parsers.values import Frame


class Code(Enum):
    """Whose code a frame is in.

    LIBRARY: of a runtime or a standard library; which of its functions was called can be worth knowing. PASSING: of an
    allocator, or a wrapper around one, which says nothing.
    """

    PROGRAM = 0
    LIBRARY = 1
    PASSING = 2


def _any_of(patterns: str) -> re.Pattern[str]:
    """Return the pattern of all that are in a text, separated by spaces."""
    return re.compile("|".join(patterns.split()))


# libstdc++'s and libc++'s headers, Rust's as rustc and rustup have them, Go's runtime.
_LIBRARY_FILE = _any_of(
    r"""/include/c\+\+/ /c\+\+/v1/ /bits/[\w.]+$ /ext/[\w.]+$ /libstdc\+\+
    /rustc/[0-9a-f]{7,40}/ /rustlib/src/rust/ ^/rust/deps/ /go(?:lang|-?\d[\w.]*)?/src/runtime/"""
)
_ALLOCATOR_FILE = _any_of(
    r"""(?:^|/)vg_replace_malloc\.c$ (?:^|/)jemalloc(?:_cpp)?\.c(?:pp)?$ /jemalloc[\w.-]*/(?:src|include)/
    /mimalloc[\w.-]*/src/ /(?:google-|g)perftools[\w.-]*/src/ (?:^|/)tcmalloc/(?:internal/)?\w+\.(?:cc|h)$
    (?:^|/)malloc/(?:malloc|arena|hooks)\.c$"""
)
_LIBRARY_MODULE = _any_of(r"libswift\w*\.so libFoundation\.so libstd-[0-9a-f]+\.so libjvm\.so libgo\.so")

# The callers of main() and of threads, and what the linker adds before: in a static program they are in its own module.
_START = _any_of(
    r"""_start _init __libc_csu_init frame_dummy __do_global_dtors_aux __libc_start_main(?:_impl)? __libc_start_call_main
    start_thread (?:__)?clone3? __rust_try"""
)
# A member of libstdc++ has its bare name alone where its class is of a function: _M_create<main()::<lambda()> >.
_CPP_SPACES = ("_M_", "_S_", "std::", "__gnu_cxx::", "__cxxabiv1::", "__gnu_debug::", "__gnu_parallel::")
# libc's functions that allocate, where it is linked into the program, and copies of strings under a name of the program's.
_LIBC = _any_of(
    r"""(?:__)?(?:str|mem|wcs)n?dup (?:__)?v?asn?printf(?:_chk)? (?:__|_IO_)?(?:getline|getdelim|getaddrinfo\w*|getcwd)
    (?:__|_IO_)?f(?:d|re)?open(?:64)?(?:_internal)? open_w?memstream opendir scandir realpath setlocale tempnam popen
    qsort(?:_r)?
    _IO_\w+ _dl_\w+ __libc_\w+ __GI_\w+ __nss_\w+ __newlocale pthread_create
    (?:\w*_)?[xzp]?(?:str|mem)n?dup(?:_printf|_vprintf)? (?:x|g_strdup_|g_)v?asprintf g_strconcat g_strjoinv?"""
)

# Of Rust's core, which a namespace of a C++ program may be called, what is seen on stacks that allocate.
_RUST_CORE = _any_of(
    r"""core::(?:alloc|cell|clone|cmp|convert|fmt|hash|iter|mem|num|ops|option|panic\w*|ptr|result|slice|str|unicode)(?:::|$)
    std::|hashbrown::|__rustc::|std_detect::"""
)
_RUST_ALLOC = _any_of(
    r"""alloc::(?:alloc|borrow|boxed|collections|ffi|fmt|raw_vec|rc|slice|str|string|sync|task|vec)(?:::|$)
    hashbrown::raw:: (?:__rustc::)?__r(?:ust|dl|g)_(?:no_)?(?:re)?alloc"""
)
_RUST_ALLOCATOR = re.compile(r" as (?:core::alloc|alloc::alloc|allocator_api2)\S*::(?:GlobalAlloc|Allocator)>::")
_RUST_TYPE = re.compile(r"<(?:&|\*|\[|\(|mut |const |dyn |impl |'\w+ )*((?:\w+::)*\w+)?")
_RUST_PRIMITIVE = re.compile(r"[A-Z_]\d?$|[iuf]\d+$|(?:[iu]size|bool|char|str)?$")

# Go's standard packages, as `go list std` has them; the paths of others have a dot before the first slash, or are main.
_GO_STANDARD = re.compile(
    r"(?:archive|bufio|bytes|cmp|compress|container|context|crypto|database|debug|embed|encoding|errors|expvar|flag|fmt|go"
    r"|hash|html|image|index|internal|io|iter|log|maps|math|mime|net|os|path|plugin|reflect|regexp|runtime|slices|sort|strconv"
    r"|strings|sync|syscall|testing|text|time|unicode|unique|unsafe|vendor|weak)(?:/[\w.-]+)*\.[(\w][^/]*(?:\[.*)?$"
)
_GO_ALLOCATES = _any_of(
    r"""runtime\.mallocgc runtime\.new(?:object|array) runtime\.make(?:slice|map|chan) runtime\.growslice
    runtime\.raw(?:string|byteslice|runeslice) runtime\.concatstring runtime\.profilealloc runtime\.mProf_Malloc
    runtime\.\(\*m(?:heap|cache|central)\) runtime\.persistentalloc runtime\.sysAlloc"""
)
_LONGEST_NAME, _LONGEST_GO_NAME = 100, 300
_CGO = re.compile(r"x?_cgo_\w+|crosscall\w*|\S+\._Cfunc_\w+")
_SWIFT = re.compile(r"\$[sS](?:[sS][A-Za-z0-9]|S[a-zA-Z])|(?:static |generic specialization \S+ of )?Swift\.")

# Allocators by the functions that they have in common: behind each prefix, and before each addition that is in use.
_WRAPPER = re.compile(
    r"\w*?(?:malloc|calloc|realloc|zalloc|palloc|valloc|recalloc|reallocarray|reallocf|memalign|aligned_?alloc|memalloc"
    r"|[MCRZ]alloc|Realloc)"
    r"(?:_?(?:0|2|64|n|N|z|zt|x|ex|Ex|raw|Raw|zero|Zero|array|Array|aligned|align|internal|usable|impl|safe|try|nofail|nothrow"
    r"|or_die|or_fail|or_abort|hook|debug|default|wrapper|func|extended|hard|slow|fast|fastpath|small|large|body|size|tag|flags))*_*"
)
# With these before it a function does more: leak_malloc, test_realloc.
_VERB = re.compile(
    r"(?:^|_)(?:[lL]eak|[tT]est|[bB]ench|(?:use|call|parse|handle|run|lose|lost|forget|main|after|before|with|count)(?=_|[A-Z]))"
)
_ALLOCATORS = _any_of(
    r"""_Zn[wa]\w+ _?int_(?:malloc|memalign|realloc) sysmalloc\w* tcache_init\w*
    malloc_consolidate
    _?r?jem?_\w+ prof_(?:backtrace\w*|tctx_\w+|alloc_prep\w*|malloc_sample\w*) i(?:m|c|re|p)?alloc(?:t|zt?m?|ctm)? imalloc_\w+
    arena_(?:m?alloc|ralloc|palloc|slab_alloc|bin_malloc|choose)\w* large_(?:m|p|r)alloc\w* tcache_(?:alloc|bin|create)\w*
    do_(?:m|r)allocx handleOOM newImpl fallbackNewImpl [msr]d?allocx
    tc_(?:new\w*|\w*alloc|memalign|posix_memalign)\w* TCMalloc\w+ do_(?:malloc|memalign)\w* DebugAllocate cpp_alloc
    malloc_fast_path
    dispatch_allocate_full allocate_full_\w+ ProfilerMallocHook RecordAlloc
    _?mi_\w+ rp(?:m|c|re)alloc\w* _*interceptor_\w+ __(?:asan|lsan|msan|hwasan)_\w+ heaptrack_\w+
    (?:try)?[fF]ast(?:Zeroed)?Malloc
    Shim(?:Malloc|Calloc|Realloc|Memalign|Cpp\w*New\w*)
    swift_(?:alloc\w*|slowAlloc\w*|initStackObject|bufferAllocate)
    _?Py(?:Mem|Object)_\w*(?:[mcMC]alloc|[rR]ealloc|New|Alloc|Strdup)\w*
    _PyMem_\w+ _?PyType_(?:GenericAlloc|GenericNew|AllocNoTrack) pymalloc_\w+ new_arena allocate_from_new_pool gc_alloc
    (?:Rea|A)llocateHeap\w* resource_(?:re)?allocate_bytes uv__\w*alloc\w*
    ngx_p?n?c?alloc ngx_pm?emalign ngx_create_pool apr_p(?:c?alloc\w*|ool_create\w*) MemoryContext(?:Alloc|Strdup)\w*
    AllocSet\w*Alloc\w*
    palloc\w* repalloc\w* _?talloc_(?!report)\w+ erts_(?:sys_)?(?:re)?alloc\w* g_slice_(?:alloc|copy)\w* g_try_new\w*
    mallocWithAlarm pcache1Alloc sqlite3(?:Db)?(?:Mem)?(?:Malloc|Realloc|Alloc)\w* (?:CRYPTO|OPENSSL|MEM)_\w*(?:alloc|dup)\w*
    lua[ML]_\w*alloc\w* luaM_\w+ l_alloc _?e(?:m|c|re|safe_m|safe_re)alloc\w* _?zend_mm_\w+ mem_(?:heap_)?alloc\w*
    my_(?:multi_)?malloc\w*
    (?:mem|memory|pool|arena|heap|zone|slab|raw|safe|x|checked)_alloc(?:ate)? av_(?:m|re|c)alloc\w* av_buffer_alloc\w*"""
)
_ALLOCATOR_SPACES = _any_of(
    r"""tcmalloc:: mimalloc:: snmalloc:: scudo:: bmalloc:: partition_alloc:: allocator_shim::
    __(?:lsan|asan|sanitizer|msan|hwasan)::
    tikv_jemallocator:: tikv_jemalloc_sys:: jemallocator:: jemalloc_sys:: libmimalloc_sys:: bumpalo:: allocator_api2::
    MallocHook::
    MallocBlock:: MallocExtension:: v8::base::(?:Malloc|Calloc|Realloc|AlignedAlloc) v8::ArrayBuffer::Allocator::
    v8::internal::(?:Malloced|AllocWithRetry|AlignedAlloc|NewArray|Zone::|AccountingAllocator)
    node::(?:Unchecked)?(?:Malloc|Calloc|Realloc) node::NodeArrayBufferAllocator:: os::(?:malloc|realloc|strdup)$
    MallocTracker::
    mem\.Allocator\. heap\.\w+Allocator\."""
)


def is_library_frame(frame: Frame) -> bool:
    """Return whether a frame is not the program's own code."""
    return code_of(frame) is not Code.PROGRAM


def code_of(frame: Frame) -> Code:
    """Return whose code a frame is in.

    The module decides, then the function where it is known: a function of the program into which a header was inlined has the
    header's line. An address of which nothing is known is no code of the program: unwinders that miss the end of a
    stack read on.
    """
    if frame.module is not None:
        path = frame.module.path
        if is_allocator_module(path):
            return Code.PASSING
        if is_runtime_module(path):
            return (
                Code.PASSING if _is_passing(strip_clone(frame.function or frame.linkage_name or "")) else Code.LIBRARY
            )
    in_file = _code_of_file(frame.file[-NAME_LIMIT:]) if frame.file else Code.PROGRAM
    if in_file is Code.PASSING:
        return Code.PASSING
    name = frame.function or frame.linkage_name
    in_library = in_file is Code.LIBRARY
    if not name:
        return Code.LIBRARY if in_library or is_bare_address(frame) or _in_library_module(frame) else Code.PROGRAM
    code = code_of_name(name[:NAME_LIMIT])
    if code is not Code.PROGRAM:
        return code
    # An inlined call often has its bare name alone, ``allocate``; its line is of its own code.
    in_library = in_library and (frame.inlined or name.startswith(("core::", "alloc::")))
    return Code.LIBRARY if in_library or _in_library_module(frame) else Code.PROGRAM


def is_bare_address(frame: Frame) -> bool:
    """Return whether only an address is known. Unwinders that miss the end of a stack read on: ``0x2``, the arguments."""
    return frame.module is None and frame.file is None and not frame.function and not frame.linkage_name


def _in_library_module(frame: Frame) -> bool:
    return frame.module is not None and _LIBRARY_MODULE.match(frame.module.path.rpartition("/")[2]) is not None


@lru_cache(maxsize=4096)
def _code_of_file(file: str) -> Code:
    if _ALLOCATOR_FILE.search(file):
        return Code.PASSING
    return Code.LIBRARY if _LIBRARY_FILE.search(file) else Code.PROGRAM


@lru_cache(maxsize=1 << 16)
def code_of_name(name: str) -> Code:
    """Return whose code a function is, by its name alone, demangled or not."""
    plain = strip_clone(name)
    if _START.fullmatch(plain):
        return Code.LIBRARY
    if name.startswith("<"):
        return _rust_method(name)
    if "::" not in plain and len(plain) <= _LONGEST_GO_NAME and _GO_STANDARD.match(plain):
        return Code.PASSING if _GO_ALLOCATES.match(plain) else Code.LIBRARY
    if _CGO.fullmatch(plain) or _SWIFT.match(plain):
        return Code.LIBRARY
    whole = plain.partition("(")[0]
    if ANONYMOUS in plain or any(mark in whole for mark in "<{ "):
        whole = qualified(collapse(plain, keep_templates=False))
    if not plain.endswith((")", " const")) and (rust := _rust_path(whole)) is not Code.PROGRAM:
        return rust
    if _is_passing(whole):
        return Code.PASSING
    in_libc = len(whole) <= _LONGEST_NAME and _LIBC.fullmatch(whole)
    return Code.LIBRARY if in_libc or whole.startswith(_CPP_SPACES) else Code.PROGRAM


def _is_passing(name: str) -> bool:
    """Return whether a function without arguments is an allocator's, or says by its name that it wraps one."""
    name = name.removeprefix(ANONYMOUS)
    if _ALLOCATOR_SPACES.match(name):
        return True
    own = last_parts(name.replace("<…>", ""), 1) if "::" in name else name
    if own.startswith("operator"):
        return own.startswith(("operator new", "operator delete"))
    # The patterns take quadratic time, and no allocator has such a name.
    if len(own) > _LONGEST_NAME or name.startswith(_CPP_SPACES):
        return False
    return _ALLOCATORS.fullmatch(own) is not None or (_WRAPPER.fullmatch(own) is not None and not _VERB.search(own))


def _rust_path(name: str) -> Code:
    if _RUST_ALLOC.match(name):
        return Code.PASSING
    return Code.LIBRARY if _RUST_CORE.match(name) else Code.PROGRAM


def _rust_method(name: str) -> Code:
    """Return whose ``<Type as Trait>::method`` is: the type's; where that is a primitive one or a parameter, the trait's."""
    if _RUST_ALLOCATOR.search(name):
        return Code.PASSING
    matched = _RUST_TYPE.match(name)
    type_name = (matched[1] if matched else None) or ""
    if "::" in type_name:
        return _rust_path(type_name)
    if not _RUST_PRIMITIVE.match(type_name):
        return Code.PROGRAM
    trait = name.partition(" as ")[2]
    if trait.startswith("<"):
        return _rust_method(trait)
    # Only alloc gives methods that allocate to slices and strings: <[T]>::to_vec.
    return _rust_path(trait) if trait else Code.PASSING
