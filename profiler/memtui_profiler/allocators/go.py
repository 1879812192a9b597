"""The heap of a Go program: the runtime maps and collects it itself, and its own profiler tells what is in it."""

from __future__ import annotations

from memtui_profiler.allocators.kind import AllocatorKind

NAME = "Go's runtime"

KINDS = (
    AllocatorKind(
        NAME,
        is_runtime=True,
        symbols=("runtime.mallocgc",),
        # These stay in a stripped program (-ldflags "-s -w").
        sections=(".go.buildinfo", ".gopclntab"),
        refusal="it is a Go program: its heap is the Go runtime's, which has no malloc to ask",
        alternative=(
            "Go's own profiler: serve net/http/pprof in it, curl -o heap.pb.gz http://HOST:PORT/debug/pprof/heap, and"
            " memtui open heap.pb.gz"
        ),
        no_rate=(
            "Go's runtime has no release rate: debug.FreeOSMemory() and GOMEMLIMIT return memory",
            "Go: GOMEMLIMIT",
        ),
    ),
)
