"""The heap of JavaScript in V8 (node, Deno, Electron): mapped and collected by V8 beside malloc, which serves the rest."""

from __future__ import annotations

from memtui_profiler.allocators.kind import AllocatorKind

NAME = "V8"

KINDS = (
    AllocatorKind(
        NAME,
        is_runtime=True,
        beside_malloc=True,
        runtime_libraries=("libnode", "libv8"),
        symbols=("_ZN2v87Isolate3NewERKNS0_12CreateParamsE",),
        texts=(b"V8.MemoryHeapSampleTotalCommitted",),
        alternative=(
            "a heap snapshot of JavaScript's objects: node --heapsnapshot-signal=SIGUSR2, then kill -USR2 PID;"
            " or v8.writeHeapSnapshot() in the program"
        ),
    ),
)
