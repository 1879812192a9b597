"""The collector's process: a CollectRequest as JSON on stdin, rows on stdout. Its stderr is the recorder's log.

On the wire a batch is its length as four bytes, little-endian, then marshal of (table, [row, ...]), a row being the values
of the row. The table ``!`` carries a failure. Both ends are this module, run by the same interpreter.
"""

from __future__ import annotations

import gc
import marshal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import KINDS, TABLE_OF, ReportEnd, Row

BATCH_ROWS = 500
BATCH_S = 0.25
MAX_BATCH_BYTES = 64 << 20
FAILURE = "!"

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """What a UserError says, from the worker's side."""

    what: str
    why: str
    todo: str


class BatchDecoder:
    """The reader's side: bytes in any chunking to rows. Raises ValueError when they are no batches."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> list[Row | WorkerFailure]:
        self._held += chunk
        found: list[Row | WorkerFailure] = []
        start = 0
        while len(self._held) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._held, start)
            if size > MAX_BATCH_BYTES:
                raise ValueError(f"a batch of {size} bytes")
            end = start + _LENGTH.size + size
            if len(self._held) < end:
                break
            found += _decode(bytes(self._held[start + _LENGTH.size : end]))
            start = end
        del self._held[:start]
        return found


def encode(rows: Iterable[Row]) -> Iterator[bytes]:
    """Batches, each of one table; one ends at 500 rows, at a quarter of a second, and with the report's end."""
    held: list[tuple[object, ...]] = []
    table, began = "", time.monotonic()
    for row in rows:
        of = TABLE_OF[type(row)]
        if held and (of != table or len(held) >= BATCH_ROWS or time.monotonic() - began > BATCH_S):
            yield _batch(table, held)
            held, began = [], time.monotonic()
        table = of
        held.append(tuple(row))
        if isinstance(row, ReportEnd):
            yield _batch(table, held)
            held = []
    if held:
        yield _batch(table, held)


def run(request: BinaryIO, out: BinaryIO) -> int:
    """Collect what ``request`` asks for; returns the exit code. A failure is the last thing on ``out``."""
    from memtui_profiler.collect import collect
    from memtui_profiler.collect_request import CollectRequest

    try:
        for batch in encode(collect(CollectRequest.from_json(request.read().decode()))):
            out.write(batch)
            out.flush()
    except UserError as error:
        out.write(_batch(FAILURE, [(error.what, error.why, error.todo)]))
    except MemoryError:
        words = ("the report is not whole", "there was not enough memory to read it", "stop what else takes memory")
        out.write(_batch(FAILURE, [words]))
    except BrokenPipeError:
        return 1  # the recorder is gone, and with it all who would read this
    else:
        return 0
    out.flush()
    return 1


def _batch(table: str, values: list[tuple[object, ...]]) -> bytes:
    payload = marshal.dumps((table, values))
    return _LENGTH.pack(len(payload)) + payload


def _decode(payload: bytes) -> Iterator[Row | WorkerFailure]:
    try:
        table, values = marshal.loads(payload)
        if table == FAILURE:
            yield from (WorkerFailure(*texts) for texts in values)
            return
        yield from map(KINDS[table]._make, values)
    except (EOFError, TypeError, KeyError) as error:
        raise ValueError("no batch of rows") from error


if __name__ == "__main__":
    # A million tuples are made here and no cycles; looking for them takes a tenth of the time.
    gc.disable()
    sys.exit(run(sys.stdin.buffer, sys.stdout.buffer))
