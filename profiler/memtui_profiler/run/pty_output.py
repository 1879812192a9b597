"""The pseudo-terminals for the target's stdout and stderr while memtui reads them.

On a pipe a target would buffer its lines, and gperftools' exit drops what was not flushed. Neither is the controlling terminal,
whose loss would be a SIGHUP (FACTS.md, "Processes").
"""

from __future__ import annotations

import contextlib
import errno
import os
import termios
import tty
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.run.output_log import OutputLog
from memtui_profiler.run.terminal_holder import TerminalHolder

READ_BYTES = 64 << 10
TURN_BYTES = 1 << 20  # one stream gives way to the samples after this much
LOG_WAIT_S = 0.1  # for a disk that answers: what follows the end of a run need not look again


@dataclass(frozen=True, slots=True)
class Terminal:
    """Descriptors of one pseudo-terminal: memtui reads ``master``, the target writes ``slave``."""

    master: int
    slave: int


def open_terminal() -> Terminal:
    """Open a pseudo-terminal that changes no byte (OPOST off, no echo); its master does not block."""
    master, slave = os.openpty()
    tty.setraw(slave, termios.TCSANOW)
    termios.tcsetwinsize(slave, (24, 80)) if hasattr(termios, "tcsetwinsize") else None
    os.set_blocking(master, False)
    return Terminal(master, slave)


def read_available(master: int) -> tuple[bytes, bool]:
    """Return what can be read now, at most ``TURN_BYTES``, and whether the stream has ended (every writer closed it)."""
    chunks: list[bytes] = []
    size = 0
    while size < TURN_BYTES:
        try:
            chunk = os.read(master, READ_BYTES)
        except BlockingIOError:
            return b"".join(chunks), False
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says EIO for "no writer is left"
                raise
            return b"".join(chunks), True
        if not chunk:
            return b"".join(chunks), True
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks), False


class TargetOutput:
    """``terminals`` are for stdout and stderr of a target that memtui launches; there are none for a process it attached to.

    ``streams`` are those of them that memtui still reads; ``holder`` keeps them, should the recorder die.
    """

    def __init__(self, folder: Path, *, attached: bool) -> None:
        """Raises OSError; nothing is left open then."""
        self.terminals: list[Terminal] = []
        with contextlib.ExitStack() as opened:
            self.log = opened.enter_context(contextlib.closing(OutputLog(folder)))
            for _ in range(0 if attached else 2):
                self.terminals.append(terminal := open_terminal())
                opened.callback(os.close, terminal.master)
                opened.callback(os.close, terminal.slave)
            masters = [terminal.master for terminal in self.terminals]
            self.holder = TerminalHolder(masters) if masters else None
            opened.pop_all()
        self.streams = list(self.terminals)

    def close_slaves(self) -> None:
        """Close the target's side here, once the target has it or was not started."""
        for terminal in self.terminals:
            os.close(terminal.slave)

    def drain(self, stream: Terminal) -> bool:
        """Move what is there into the log; True once the stream has ended."""
        if stream not in self.streams:
            return False  # closed by what came before it in the same turn of the loop
        data, ended = read_available(stream.master)
        if data:
            self.log.write(data, stderr=stream == self.terminals[1])
        return ended

    def drain_all(self) -> None:
        """Move what is there of both into the log."""
        for stream in self.streams:
            self.drain(stream)

    def close_stream(self, stream: Terminal) -> None:
        """Stop reading it."""
        self.streams.remove(stream)
        os.close(stream.master)

    def close(self) -> None:
        """Stop reading, and leave the files of the log. Who can still write to the terminals goes on unread, but unharmed."""
        if self.holder is not None:
            self.holder.release(needed=bool(self.streams))
        for stream in list(self.streams):
            self.close_stream(stream)
        self.log.close(LOG_WAIT_S)
