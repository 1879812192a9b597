"""The heap of a Java program: the virtual machine maps and collects it beside malloc, which serves native code alone."""

from __future__ import annotations

from memtui_profiler.allocators.kind import AllocatorKind

NAME = "Java"

KINDS = (
    AllocatorKind(
        NAME,
        is_runtime=True,
        beside_malloc=True,
        runtime_libraries=("libjvm", "libjli"),
        symbols=("JNI_CreateJavaVM",),
        alternative=(
            "jcmd PID GC.heap_dump FILE for the Java heap, and for the rest jcmd PID VM.native_memory (in a program"
            " started with -XX:NativeMemoryTracking=summary)"
        ),
    ),
)
