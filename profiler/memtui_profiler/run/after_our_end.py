"""A command that is run once this process has ended, however it ended: SIGKILL runs no handler.

A shell waits for the end of a pipe, in less than a MiB of memory, and then becomes that command.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

# A line says that there is nothing to do any more; without one the pipe ends with its only writer.
_WAIT = 'read -r _ && exit 0; exec "$@"'


class AfterOurEnd:
    """The process ``pid`` that waits to run ``command``; it keeps ``descriptors``. Raises OSError when it cannot be started."""

    def __init__(self, name: str, command: Sequence[str], *, descriptors: Sequence[int] = ()) -> None:
        """``name``: what ps shows it as."""
        reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        try:
            process = subprocess.Popen(
                ["sh", "-c", _WAIT, name, *command],
                executable="/bin/sh",
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=descriptors,
                cwd="/",
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(reader)
        process.returncode = 0  # it outlives us on purpose; without this, subprocess warns of a child left running
        self.pid = process.pid

    def run_now(self) -> None:
        """Have it run the command without waiting for our end."""
        os.close(self._pipe)

    def close(self) -> None:
        """Have it end without the command."""
        with contextlib.suppress(BrokenPipeError):  # somebody has killed it
            os.write(self._pipe, b"\n")
        os.close(self._pipe)
