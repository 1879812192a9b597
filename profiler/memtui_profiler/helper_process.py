"""The programs that memtui starts for itself: nobody but this user and root decides what runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from pathlib import Path

from memtui_profiler.own_folder import foreign_part


def helper_command(module: str, *argv: str) -> list[str]:
    """Return the command that runs ``main()`` of ``module`` with this sys.argv, and ends with what it returns.

    ``python -m`` puts the working folder first on the module path: whoever owns a folder above a session's could replace the
    session's folder and run code as the user of memtui. ``-I`` takes that folder off the path. The helper imports from the
    folders that this process imports from, so both are of one version, however memtui was installed.
    """
    folders = [folder for folder in sys.path if os.path.isabs(folder)]
    program = f"import sys; sys.path[:] = {folders!r}; sys.argv.pop(0); from {module} import main; sys.exit(main())"
    return [sys.executable, "-I", "-c", program, *argv]


def find_program(name: str, path: str | None = None) -> str | None:
    """Return the absolute path of a program, looked for in ``path`` (None: $PATH); None where there is none.

    Never in the working folder, which may be anybody's; for root also in no folder that another user can change.
    """
    if os.path.isabs(name):
        return shutil.which(name)
    folders = os.get_exec_path() if path is None else path.split(":")
    return None if "/" in name else shutil.which(name, path=":".join(filter(_is_safe, folders)))


def _is_safe(folder: str) -> bool:
    if not os.path.isabs(folder):
        return False
    if os.geteuid() != 0:
        return True
    with contextlib.suppress(OSError):
        return not os.stat(folder).st_mode & stat.S_IWOTH and not foreign_part(Path(folder))
    return False
