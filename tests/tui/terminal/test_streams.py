import re
import subprocess
import sys
from pathlib import Path


def test_a_mistake_of_ours_is_one_line_and_a_file(tmp_path: Path) -> None:
    code = "from memtui.terminal import streams; streams.report_crashes(); {}['two\\nlines']"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"TMPDIR": str(tmp_path)})
    assert done.returncode == 1
    assert done.stdout == ""
    line = re.fullmatch(r"memtui: internal error: KeyError .*: report it with (/\S+)\n", done.stderr)
    assert line is not None, done.stderr
    assert "Traceback" in Path(line[1]).read_text()


def test_a_mistake_on_a_full_disk_is_one_line_too() -> None:
    nowhere = "import tempfile; tempfile.tempdir = '/proc/self'"  # else /tmp is taken, as /proc/self takes no file
    code = f"{nowhere}; from memtui.terminal import streams; streams.report_crashes(); 1 / 0"
    environment = {"TMPDIR": "/proc/self", "TEMP": "/proc/self", "TMP": "/proc/self"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd="/proc/self"
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "ZeroDivisionError" in done.stderr and "nowhere" in done.stderr
