"""Compiles the bundled demo server, once for each version of its source."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from memtui_profiler.errors import UserError
from memtui_profiler.helper_process import find_program
from memtui_profiler.own_folder import foreign_part
from memtui_profiler.symbols.symbol_cache import cache_folder

SOURCE = Path(__file__).with_name("rpc_server.cpp")
PROGRAM = "rpc_server"
FLAGS = ("-std=c++17", "-g", "-O1", "-fno-omit-frame-pointer", "-pthread")
COMPILERS = ("g++", "c++", "clang++")
COMPILE_TIMEOUT_S = 120.0

_WHAT = "cannot build the demo server"
_EXCERPT_CHARS = 160


def build(cache: Path | None = None) -> Path:
    """The demo server's program, compiled into ``cache`` (memtui's own cache folder) unless it is there already.

    Its source lies beside it, and its debug information says so. Raises UserError when there is no compiler, when it
    fails, and when the cache folder cannot be written or belongs to somebody else.
    """
    source = SOURCE.read_bytes()
    version = hashlib.sha256(b"\0".join((source, repr(FLAGS).encode()))).hexdigest()[:16]
    folder = (cache or cache_folder().with_name("demo")) / version
    program = folder / PROGRAM
    if not _is_ours(folder, program):
        compiler = find_compiler()
        try:
            _refuse_foreign(folder.parent)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
                _compile(compiler, source, Path(scratch) / "built", folder)
                _move_into_place(Path(scratch) / "built", folder, program)
        except OSError as error:
            why = f"{error.strerror or error} at {error.filename or folder}"
            raise UserError(_WHAT, why, "set XDG_CACHE_HOME to a folder that can be written") from error
    return program


def find_compiler() -> str:
    """The first C++ compiler in PATH, or UserError naming the package that brings one."""
    for name in COMPILERS:
        if path := find_program(name):
            return path
    tried = ", ".join(COMPILERS[:-1]) + f" or {COMPILERS[-1]}"
    todo = "install g++ (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++)"
    raise UserError(_WHAT, f"there is no C++ compiler: no {tried} in PATH", todo)


def _is_ours(folder: Path, program: Path) -> bool:
    """Whether an earlier build lies there; UserError when others could have put it there."""
    try:
        owner = folder.lstat()
        whole = stat.S_ISREG(program.lstat().st_mode) and os.access(program, os.X_OK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISDIR(owner.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    _refuse_foreign(folder)
    return whole


def _refuse_foreign(folder: Path) -> None:
    """Raise UserError when somebody else can change what is in ``folder``; make what is missing of it. Raises OSError."""
    if foreign := foreign_part(folder, make=True):
        todo = "set XDG_CACHE_HOME to a folder that only you can write to"
        raise UserError("cannot use the demo server in the cache", foreign, todo)


def _compile(compiler: str, source: bytes, making: Path, folder: Path) -> None:
    making.mkdir(mode=0o700)
    copy = making / SOURCE.name
    copy.write_bytes(source)
    # The folder is renamed when all is done; the debug information names the place where the source will be then.
    moved = f"-fdebug-prefix-map={making}={folder}"
    command = [compiler, *FLAGS, moved, str(copy), "-o", str(making / PROGRAM)]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        subprocess.run(
            command,
            cwd=making,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=COMPILE_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        todo = f"see what {compiler} needs, or run memtui on a program of your own"
        raise UserError(_WHAT, f"{compiler} failed: {_first_error(error.stderr)}", todo) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(_WHAT, f"{compiler} took longer than {COMPILE_TIMEOUT_S:.0f} s", "try again") from error


def _first_error(output: bytes) -> str:
    """The compiler's first line that speaks of an error (else its first line), printable and short."""
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it said nothing")
    printable = "".join(c if c.isprintable() else " " for c in line).strip()
    return printable if len(printable) <= _EXCERPT_CHARS else printable[: _EXCERPT_CHARS - 1] + "…"


def _move_into_place(made: Path, folder: Path, program: Path) -> None:
    try:
        os.rename(made, folder)
    except OSError:
        if _is_ours(folder, program):  # another memtui built the same meanwhile
            return
        # What lies there is what an interrupted clean-up left of a build.
        shutil.rmtree(folder)
        os.rename(made, folder)
