"""Makes the recorder's request from a request of the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from memtui.options.parse import Attach, Launch
from memtui.options.values import usage_error
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import command_line, process_name, working_folder
from memtui_profiler.request import LaunchRequest


def launch_request(options: Launch, *, mode: str, inherit_stdin: bool) -> LaunchRequest:
    """Return the request for a launch. Raises UserError when --cwd is no folder, or our own has been deleted."""
    return replace(
        LaunchRequest(**_shared(options)),
        cwd=_folder(options.cwd),
        mode=mode,
        # The recorder has another working directory, so a path becomes absolute.
        tcmalloc=options.tcmalloc if options.tcmalloc in ("auto", "off") else os.path.abspath(options.tcmalloc),
        environment=dict(options.environment),
        inherit_stdin=inherit_stdin,
    )


def attach_request(options: Attach) -> LaunchRequest:
    """Return the request to attach. It does not check whether the process exists and can be watched: the recorder does."""
    pid = options.pid
    argv = command_line(pid) or (process_name(pid) or str(pid),)
    return LaunchRequest(**_shared(options), argv=argv, cwd=working_folder(pid), attach_pid=pid)


def _shared(options: Launch | Attach) -> dict[str, Any]:
    """The values that a request to the recorder holds under the same name."""
    names = {field.name for field in fields(LaunchRequest)}
    values = {name: value for name, value in options._asdict().items() if name in names}
    return {**values, "suppressions": suppression_files(options.suppressions)}


def _folder(given: str | None) -> str:
    if given is not None:
        if not os.path.isdir(given):
            raise usage_error(f"--cwd {given}", "not a folder", "give one that exists")
        return os.path.abspath(given)
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise UserError("cannot start here", "this folder has been deleted", "cd to another, or give --cwd") from error


def suppression_files(given: Iterable[str]) -> tuple[str, ...]:
    """Return absolute paths. Raises UserError for a file that does not exist."""
    # Without the file valgrind would start nothing, and LeakSanitizer would end the program.
    for path in (files := tuple(given)):
        if not os.path.isfile(path):
            raise usage_error(f"--suppressions {path}", "there is no such file", "give one that exists")
    return tuple(map(os.path.abspath, files))


def sysroot_folder(given: str | None) -> str | None:
    """Return the absolute path, None for None. Raises UserError when it is no folder."""
    if given is None:
        return None
    path = os.path.abspath(os.path.expanduser(given))
    if not given or not os.path.isdir(path):
        why = "not a folder" if os.path.exists(path) and given else "there is no such folder"
        raise usage_error(f"--sysroot {given}", why, "give the one that holds the program and its libraries")
    return path
