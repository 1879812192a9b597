"""``memtui regions PID``: what a process has mapped, in groups, once or twice; no session and nothing in the process."""

from __future__ import annotations

import time

from memtui import __version__
from memtui.commands.which_process import the_process
from memtui.options.parse import Regions
from memtui.terminal import streams
from memtui.text.regions import region_table, regions_json
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import refuse_what_cannot_be_watched
from memtui_profiler.launch.matching import found
from memtui_profiler.process.regions import RegionLook, look_at_regions
from memtui_profiler.words import span_words


def run_regions(options: Regions) -> int:
    """Print the table; with ``for_s`` the growth in that time, too. Raises UserError when it cannot be looked at."""
    pid = the_process(options.names, "regions")
    refuse_what_cannot_be_watched(pid)
    process = found(pid)
    look, before, seconds = _look(pid), None, None
    if options.for_s is not None:
        streams.tell([f"looking at pid {pid} again in {span_words(options.for_s)}"])
        began_s = time.monotonic()
        time.sleep(options.for_s)
        before, look = look, _look(pid)
        seconds = time.monotonic() - began_s
    if options.format == "json":
        streams.print_lines([regions_json(process, look, before, seconds, version=__version__)])
    else:
        streams.print_lines(region_table(process, look, before, seconds))
    return 0


def _look(pid: int) -> RegionLook:
    try:
        return look_at_regions(pid)
    except OSError as error:
        gone = isinstance(error, ProcessLookupError | FileNotFoundError)
        why = "it has ended" if gone else error.strerror or str(error)
        todo = "see `ps -e` for its pid" if gone else f"sudo memtui regions {pid}"
        raise UserError(f"cannot look at what {pid} has mapped", why, todo) from error
