import subprocess
import sys

TOO_EARLY = "memtui_profiler.asking", "memtui_profiler.guest"


def test_a_recorder_starts_without_what_asks_a_process() -> None:
    program = "import sys, memtui_profiler.recorder.main; print(*sys.modules)"
    folders = [folder for folder in sys.path if folder]
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {folders!r}; {program}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "memtui_profiler.recorder.commands" in loaded
    assert [name for name in loaded if name.startswith(TOO_EARLY)] == []
