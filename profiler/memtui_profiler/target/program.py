"""The file that a launch will really run: the one execvp would take, and the ELF program that becomes the process."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from memtui_parsers.clean_text import clean
from memtui_parsers.elf.facts import ElfFacts, read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_profiler.errors import EXIT_USAGE, UserError

ELF_MAGIC = b"\x7fELF"
DEFAULT_PATH = "/bin:/usr/bin"  # what execvp takes when PATH is unset: _CS_PATH of glibc
# linux/binfmts.h: the kernel reads 256 bytes of a #! line, and follows at most 4 of them.
SCRIPT_LINE_BYTES = 256
MAX_SCRIPTS = 4
SHOWN_CHARS = 200

# What uname says of a machine whose ELF files name it otherwise.
_UNAME = {"x86_64": "x86-64", "ppc64le": "ppc64", "riscv64": "riscv", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Target:
    """A program about to be launched.

    ``executable`` is the absolute path the kernel is given. ``binary`` is the ELF file that becomes the process: the
    same, or for a ``script`` the interpreter its #! line leads to. ``cwd`` is the directory the target starts in.
    """

    argv: tuple[str, ...]
    executable: str
    binary: str
    script: bool
    cwd: str


def resolve_target(argv: tuple[str, ...], cwd: str, path: str | None) -> Target:
    """Find argv[0] as execvp does, seen from ``cwd`` and with the target's own PATH (None: unset).

    Raises UserError for whatever the kernel would refuse, and for programs memtui cannot look into (32-bit).
    """
    if not argv or not argv[0]:
        raise UserError("no program", "nothing to run was named", "memtui PROGRAM [ARGS...]", exit_code=EXIT_USAGE)
    if any("\0" in word for word in argv):
        raise UserError("cannot run the program", "an argument holds a zero byte", "leave it out", exit_code=EXIT_USAGE)
    if not os.path.isdir(cwd):
        why = "it is not a directory" if os.path.exists(cwd) else "it does not exist"
        raise UserError(f"cannot start in {shown(cwd)}", why, "give another --cwd")
    executable = _find(argv[0], cwd, path)
    binary = executable
    for _ in range(MAX_SCRIPTS + 1):
        interpreter = _interpreter(binary, executable, cwd, path)
        if interpreter is None:
            return Target(tuple(argv), executable, binary, binary != executable, cwd)
        binary = interpreter
    raise _refusal(executable, "its #! lines lead from script to script", "name a program in the last one")


def read_facts(binary: str) -> ElfFacts | None:
    """The facts in the ELF file; None when it may be run but not read. Raises ParseError, OSError."""
    try:
        with open(binary, "rb") as stream:
            return read_elf_facts(stream)
    except PermissionError:
        return None


def this_machine() -> str:
    """The machine's name as ElfFacts spells it."""
    name = os.uname().machine
    return _UNAME.get(name, name)


def shown(path: str) -> str:
    """A path or a word of a file's content, safe to print."""
    return clean(os.fsencode(path), SHOWN_CHARS)


def _refusal(path: str, why: str, todo: str = "name a program") -> UserError:
    return UserError(f"cannot run {shown(path)}", why, todo)


def _find(name: str, cwd: str, path: str | None) -> str:
    """The absolute path of ``name``; raises UserError when execvp would find nothing that may run."""
    if "/" in name:
        path_given = _absolute(name, cwd)
        _refuse_unless_executable(path_given)
        return path_given
    denied = None
    for folder in (DEFAULT_PATH if path is None else path).split(":"):
        candidate = _absolute(os.path.join(folder, name), cwd)
        if not os.path.exists(candidate):
            continue
        if _may_execute(candidate):
            return candidate
        denied = denied or candidate  # execvp goes on, and reports this one when nothing better follows
    if denied is not None:
        _refuse_unless_executable(denied)
    if os.path.isfile(os.path.join(cwd, name)):
        raise _refusal(name, "it is here, but not in PATH", f"./{shown(name)}")
    raise _refusal(name, "no such program in PATH", "give its path, or install it")


def _absolute(name: str, cwd: str) -> str:
    joined = os.path.join(cwd, name)
    # After a symbolic link `..` is not what it looks like: only the kernel may resolve it.
    return joined if ".." in joined.split("/") else os.path.normpath(joined)


def _may_execute(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _refuse_unless_executable(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise _refusal(path, "a directory on the way is closed to you", "ask for access to it") from None
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        why = "it does not exist" if missing else shown(os.strerror(error.errno or 0))
        raise _refusal(path, why, "check the path") from None
    if stat.S_ISDIR(mode):
        raise _refusal(path, "it is a directory", "name a program in it")
    if not stat.S_ISREG(mode):
        raise _refusal(path, "it is not a regular file", "name a program")
    if _may_execute(path):
        return
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        raise _refusal(path, "its file system is mounted noexec", "copy it to another one")
    if mode & 0o111:
        raise _refusal(path, "it may be executed, but not by you", "ask its owner, or run as its user")
    raise _refusal(path, "it is not executable", f"chmod +x {shown(path)}")


def _interpreter(path: str, executable: str, cwd: str, search: str | None) -> str | None:
    """The program that a script names, None for an ELF program that can run here. Raises UserError for all else."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(SCRIPT_LINE_BYTES)
    except PermissionError:
        return None  # the kernel may run what we may not read
    except OSError as error:
        raise _refusal(path, shown(os.strerror(error.errno or 0)), "check the file") from None
    if head.startswith(ELF_MAGIC):
        _refuse_unless_native(path)
        return None
    if head.startswith(b"#!"):
        return _named_by(head, path, cwd, search)
    if path != executable:
        raise _refusal(executable, f"its interpreter {shown(path)} is no program", "mend its #! line")
    if not head:
        raise _refusal(path, "it is empty", "build it again")
    if b"\0" not in head:
        raise _refusal(path, "it is text without a #! line, which the kernel does not run", f"memtui sh {shown(path)}")
    raise _refusal(path, "it is neither an ELF program nor a script", "name a program built for Linux")


def _named_by(head: bytes, script: str, cwd: str, search: str | None) -> str:
    """The absolute path of the interpreter that the #! line names."""
    line, end, _ = head[2:].partition(b"\n")
    words = os.fsdecode(line.strip(b" \t")).split(maxsplit=1)
    if not words or (not end and len(words) == 1 and len(head) == SCRIPT_LINE_BYTES):
        raise _refusal(script, "its #! line names no program", "mend its first line")
    if line.endswith(b"\r") and len(words) == 1:
        raise _refusal(script, "its lines end in CR LF, as Windows has it", f"sed -i 's/\\r$//' {shown(script)}")
    interpreter = _absolute(words[0], cwd)
    todo = "install it, or mend the #! line"
    if not _may_execute(interpreter):
        why = "cannot be run" if os.path.exists(interpreter) else "does not exist"
        raise _refusal(script, f"its interpreter {shown(interpreter)} {why}", todo)
    if os.path.basename(interpreter) != "env" or len(words) == 1:
        return interpreter
    name = _program_for_env(words[1])
    if name is None:
        raise _refusal(script, "its #! line gives env no program", "mend its first line")
    try:
        return _find(name, cwd, search)
    except UserError as error:
        raise _refusal(script, f"its interpreter {shown(name)}: {error.why}", todo) from None


def _program_for_env(arguments: str) -> str | None:
    """The program that ``env ARGUMENTS`` runs: the first word that is no option (-S, -u NAME ...) and no NAME=VALUE."""
    words = iter(re.sub(r"^(-[iv]*S|--split-string=?)", "", arguments).split())
    for word in words:
        if word in ("-u", "-C", "--unset", "--chdir"):
            next(words, None)
        elif not word.startswith("-") and "=" not in word:
            return word
    return None


def _refuse_unless_native(path: str) -> None:
    """Raises UserError for an ELF file that this kernel, or memtui, has no use for."""
    try:
        facts = read_facts(path)
    except ParseError as error:
        raise _refusal(path, f"its ELF header is damaged ({error.reason})", "build it again") from None
    except OSError as error:
        raise _refusal(path, shown(os.strerror(error.errno or 0)), "check the file") from None
    if facts is None:
        return
    here = this_machine()
    if facts.kind not in ("exec", "dyn"):
        raise _refusal(
            path, {"rel": "it is an object file", "core": "it is a core dump"}.get(facts.kind, "it is no program")
        )
    if facts.bits != 64:
        raise _refusal(
            path, f"it is a 32-bit program ({facts.machine}), memtui looks into 64-bit ones", f"build it for {here}"
        )
    if facts.machine != here:
        raise _refusal(path, f"it is for {facts.machine}, this machine is {here}", f"build it for {here}")
    if facts.interpreter is not None and not os.path.exists(facts.interpreter):
        raise _refusal(
            path, f"its loader {shown(facts.interpreter)} is not here", "build it for this system's C library"
        )
