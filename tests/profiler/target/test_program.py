from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from memtui_profiler.errors import EXIT_UNAVAILABLE, EXIT_USAGE, UserError
from memtui_profiler.target.program import resolve_target
from tests.fixtures.leaky import build


def written(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(name: str, cwd: Path, path: str | None = "/bin:/usr/bin") -> UserError:
    with pytest.raises(UserError) as caught:
        resolve_target((name,), str(cwd), path)
    return caught.value


def test_a_program_is_itself(tmp_path: Path) -> None:
    program = str(build("basic").path)
    target = resolve_target((program, "--x"), str(tmp_path), None)
    assert (target.executable, target.binary, target.script) == (program, program, False)
    assert target.argv == (program, "--x")
    assert target.cwd == str(tmp_path)


def test_a_relative_path_is_seen_from_the_targets_folder(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    os.symlink(build("basic").path, tmp_path / "bin" / "prog")
    assert resolve_target(("bin/prog",), str(tmp_path), None).executable == f"{tmp_path}/bin/prog"
    assert resolve_target(("./prog",), str(tmp_path / "bin"), None).executable == f"{tmp_path}/bin/prog"
    assert refusal("prog", tmp_path / "bin").todo == "./prog"


def test_dots_after_a_link_are_left_to_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.symlink("a/b", tmp_path / "link")
    os.symlink(build("basic").path, tmp_path / "a" / "prog")
    target = resolve_target(("link/../prog",), str(tmp_path), None)
    assert os.path.samefile(target.executable, build("basic").path)


def test_path_is_searched_as_execvp_does(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    written(first / "prog", b"not for you", 0o644)
    (first / "other").mkdir()
    os.symlink(build("basic").path, second / "prog")
    os.symlink(build("basic").path, second / "other")
    for name in ("prog", "other"):
        assert resolve_target((name,), "/", f"{first}:{second}").executable == f"{second}/{name}"
    assert refusal("prog", tmp_path, str(first)).why == "it is not executable"
    # An empty entry is the current directory.
    assert resolve_target(("prog",), str(second), "/nowhere:").executable == f"{second}/prog"
    assert resolve_target(("prog",), str(tmp_path), "2").executable == f"{second}/prog"
    # Unset, PATH is what the C library says.
    assert resolve_target(("sh",), "/", None).executable == "/bin/sh"
    assert refusal("sh", tmp_path, "/nowhere").why == "no such program in PATH"


@pytest.mark.parametrize(
    ("content", "mode", "why", "todo"),
    [
        (b"#!/bin/sh\n", 0o644, "it is not executable", "chmod +x {path}"),
        (b"", 0o755, "it is empty", "build it again"),
        (b"echo hello\n", 0o755, "it is text without a #! line, which the kernel does not run", "memtui sh {path}"),
        (b"MZ\0\0", 0o755, "it is neither an ELF program nor a script", "name a program built for Linux"),
        (b"#!\n", 0o755, "its #! line names no program", "mend its first line"),
        (b"#!/no/such/thing -x\n", 0o755, "its interpreter /no/such/thing does not exist", "install it, or mend"),
        (b"#!/bin/sh\r\necho\r\n", 0o755, "its lines end in CR LF, as Windows has it", r"sed -i 's/\r$//' {path}"),
        (b"#!/usr/bin/env no-such-thing\n", 0o755, "its interpreter no-such-thing: no such program in PATH", "install"),
        (b"#!/usr/bin/env -S\n", 0o755, "its #! line gives env no program", "mend its first line"),
        (b"#!/etc/passwd\n", 0o755, "its interpreter /etc/passwd cannot be run", "install"),
        (b"\x7fELF\x02\x01", 0o755, "its ELF header is damaged", "build it again"),
    ],
)
def test_what_the_kernel_refuses_is_refused_in_words(
    tmp_path: Path, content: bytes, mode: int, why: str, todo: str
) -> None:
    path = written(tmp_path / "prog", content, mode)
    error = refusal("./prog", tmp_path)
    assert error.what == f"cannot run {path}"
    assert error.why.startswith(why)
    assert error.todo.startswith(todo.format(path=path))
    assert error.exit_code == EXIT_UNAVAILABLE
    if b"env" not in content:  # env itself starts, and fails then
        with pytest.raises(OSError):
            subprocess.run([path], check=False)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o755)
    (tmp_path / "link").symlink_to("link")
    assert refusal("./none", tmp_path).why == "it does not exist"
    assert refusal("./pipe/none", tmp_path).why == "it does not exist"
    assert refusal(".", tmp_path).why == "it is a directory"
    assert refusal("./", tmp_path).why == "it is a directory"
    assert refusal("./pipe", tmp_path).why == "it is not a regular file"
    assert "symbolic links" in refusal("./link", tmp_path).why
    assert refusal("./prog", tmp_path / "gone").what == f"cannot start in {tmp_path}/gone"


def test_no_program_at_all_is_wrong_usage(tmp_path: Path) -> None:
    assert refusal("", tmp_path).exit_code == EXIT_USAGE
    assert refusal("a\0b", tmp_path).exit_code == EXIT_USAGE


def test_a_program_of_another_machine_is_named(tmp_path: Path) -> None:
    error = refusal(str(build("wrong_machine").path), tmp_path)
    assert error.why == f"it is for aarch64, this machine is {os.uname().machine.replace('_', '-')}"


def test_a_32_bit_program_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "start.s"
    source.write_text(".globl _start\n_start: hlt\n")
    subprocess.run(["as", "--32", source, "-o", tmp_path / "start.o"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", tmp_path / "start.o", "-o", tmp_path / "prog"], check=True)
    assert refusal("./prog", tmp_path).why == "it is a 32-bit program (i386), memtui looks into 64-bit ones"


def test_object_files_are_no_programs(tmp_path: Path) -> None:
    source = tmp_path / "start.s"
    source.write_text(".globl _start\n_start: hlt\n")
    subprocess.run(["as", source, "-o", tmp_path / "start.o"], check=True)
    (tmp_path / "start.o").chmod(0o755)
    assert refusal("./start.o", tmp_path).why == "it is an object file"


def test_a_missing_loader_is_said(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    linker = "-Wl,--dynamic-linker=/lib/ld-of-nobody.so.1"
    subprocess.run(["gcc", tmp_path / "main.c", linker, "-o", tmp_path / "prog"], check=True)
    error = refusal("./prog", tmp_path)
    assert error.why == "its loader /lib/ld-of-nobody.so.1 is not here"
    with pytest.raises(FileNotFoundError):
        subprocess.run([tmp_path / "prog"], check=False)


@pytest.mark.parametrize(
    "line",
    [
        "#!/bin/sh",
        "#! /bin/sh -e",
        "#!/usr/bin/env sh",
        "#!/usr/bin/env -S sh -e",
        "#!/usr/bin/env -S -i A=b sh -e",
        "#!/usr/bin/env -Ssh",
        "#!/usr/bin/env -S -u HOME sh",
    ],
)
def test_a_script_leads_to_its_interpreter(tmp_path: Path, line: str) -> None:
    script = written(tmp_path / "script", f"{line}\nreadlink /proc/$$/exe\n".encode())
    target = resolve_target((str(script),), str(tmp_path), "/bin:/usr/bin")
    assert (target.executable, target.script) == (str(script), True)
    became = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    assert os.path.realpath(target.binary) == became


def test_a_script_run_by_a_script_leads_to_the_program(tmp_path: Path) -> None:
    inner = written(tmp_path / "inner", b"#!/bin/sh\nreadlink /proc/$$/exe\n")
    outer = written(tmp_path / "outer", f"#!{inner}\n".encode())
    assert resolve_target((str(outer),), str(tmp_path), None).binary == "/bin/sh"
    circle = tmp_path / "circle"
    written(circle, f"#!{circle}\n".encode())
    assert refusal(str(circle), tmp_path).why == "its #! lines lead from script to script"


def test_a_hostile_interpreter_line_is_shown_harmless(tmp_path: Path) -> None:
    written(tmp_path / "prog", b"#!/bin/\x1b[2J\x1b]0;title\x07evil\n")
    error = refusal("./prog", tmp_path)
    assert "\x1b" not in str(error) and "\x07" not in str(error)
    assert "evil" in error.why


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user to be")
def test_what_others_may_run_and_read_is_asked_of_the_kernel() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        unreadable = written(Path(folder, "unreadable"), build("basic").path.read_bytes(), 0o711)
        private = written(Path(folder, "private"), build("basic").path.read_bytes(), 0o700)
        os.seteuid(65534)
        try:
            assert resolve_target((str(unreadable),), "/", None).binary == str(unreadable)
            assert refusal(str(private), Path("/")).why == "it may be executed, but not by you"
        finally:
            os.seteuid(0)
