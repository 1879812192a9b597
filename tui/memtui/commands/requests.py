"""From what the command line said to what the recorder is asked."""

from __future__ import annotations

import os
from collections.abc import Iterable

from memtui.option_values import usage_error
from memtui.options import Attach, Launch
from memtui_profiler.attachable import command_line, process_name, working_folder
from memtui_profiler.errors import UserError
from memtui_profiler.request import LaunchRequest


def launch_request(options: Launch, *, mode: str, inherit_stdin: bool) -> LaunchRequest:
    """Raises UserError when --cwd is no folder, or our own has been deleted."""
    return LaunchRequest(
        argv=options.argv,
        cwd=_folder(options.cwd),
        mode=mode,
        release_rate=options.release_rate,
        tcmalloc=_library(options.tcmalloc),
        environment=dict(options.environment),
        for_s=options.for_s,
        sample_hz=options.sample_hz,
        follow_children=options.follow_children,
        inherit_stdin=inherit_stdin,
        no_guest=options.no_guest,
        force_guest=options.force_guest,
        valgrind_args=options.valgrind_args,
        suppressions=suppression_files(options.suppressions),
    )


def attach_request(options: Attach) -> LaunchRequest:
    """The pid may be anybody's, or nobody's: whether it can be watched is the recorder's to say."""
    pid = options.pid
    return LaunchRequest(
        argv=command_line(pid) or (process_name(pid) or str(pid),),
        cwd=working_folder(pid),
        for_s=options.for_s,
        sample_hz=options.sample_hz,
        no_guest=options.no_guest,
        force_guest=options.force_guest,
        attach_pid=pid,
        suppressions=suppression_files(options.suppressions),
    )


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
    """Their paths, whatever the working directory is. Raises UserError for one that does not exist."""
    return tuple(map(_file, given))


def sysroot_folder(given: str | None) -> str | None:
    """Its path, whatever the working directory is. Raises UserError when it is no folder."""
    if given is None:
        return None
    path = os.path.abspath(os.path.expanduser(given))
    if not given or not os.path.isdir(path):
        why = "not a folder" if os.path.exists(path) and given else "there is no such folder"
        raise usage_error(f"--sysroot {given}", why, "give the one that holds the program and its libraries")
    return path


def _file(given: str) -> str:
    """A file of suppressions: valgrind would start nothing without it, and LeakSanitizer end the program."""
    if not os.path.isfile(given):
        raise usage_error(f"--suppressions {given}", "there is no such file", "give one that exists")
    return os.path.abspath(given)


def _library(given: str) -> str:
    """The recorder has another working directory, so a path must not depend on ours."""
    return given if given in ("auto", "off") else os.path.abspath(given)
