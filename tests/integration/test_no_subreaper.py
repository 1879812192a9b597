"""Where the kernel refuses prctl(PR_SET_CHILD_SUBREAPER), as qemu's emulation of a process does: launched and told all the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.fixtures.command_line import memtui_command, memtui_environment
from tests.fixtures.leaky import build

# prctl is number 157 on x86-64; its first argument is at offset 16 of seccomp_data (linux/seccomp.h, linux/filter.h).
REFUSER = """
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
    struct sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_prctl},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, 16},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, PR_SET_CHILD_SUBREAPER},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EINVAL},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog program = {6, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
    execvp(words[1], words + 1);
    return 98;
}
"""


def test_a_launch_without_a_subreaper(tmp_path: Path) -> None:
    refuser = tmp_path / "refuser"
    subprocess.run(["gcc", "-xc", "-", "-o", refuser], input=REFUSER, text=True, check=True)
    command = [str(refuser), *memtui_command("--plain", "--for", "1", str(build("server").path), "clean")]
    ended = subprocess.run(
        command, env=memtui_environment(tmp_path, {"PATH": os.environ["PATH"]}), cwd=tmp_path, text=True, timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "a process that goes into the background is not followed" in ended.stdout
    assert " event exited: " in ended.stdout
