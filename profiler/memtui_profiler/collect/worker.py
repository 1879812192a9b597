"""The collector's process: a CollectRequest as JSON on stdin, rows on stdout. Its stderr is the recorder's log.

A batch is its length as four bytes, little-endian, then marshal of (table, [values of a row, ...]). The table ``!`` carries a
failure. marshal, because both ends are this module and run by the same interpreter, and a report has 100,000s of rows.
"""

from __future__ import annotations

import gc
import marshal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import KINDS, TABLE_OF, ReportEnd, Row

BATCH_ROWS = 500
BATCH_S = 0.25
MAX_BATCH_BYTES = 64 << 20
FAILURE = "!"

_LENGTH = struct.Struct("<I")


class BatchDecoder:
    """Decodes the worker's output, fed in chunks of any size: rows, and the error that ended the worker, if one did."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[Row | UserError]:
        """Raises ValueError for bytes that are no batches."""
        self._pending += chunk
        rows: list[Row | UserError] = []
        start = 0
        while len(self._pending) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._pending, start)
            if size > MAX_BATCH_BYTES:
                raise ValueError(f"a batch of {size} bytes")
            end = start + _LENGTH.size + size
            if len(self._pending) < end:
                break
            rows += _decode(bytes(self._pending[start + _LENGTH.size : end]))
            start = end
        del self._pending[:start]
        return rows


def encode(rows: Iterable[Row]) -> Iterator[bytes]:
    """Batches, each of one table; a batch ends after 500 rows, a quarter of a second, or the end of the report."""
    batch: list[tuple[object, ...]] = []
    table, began = "", time.monotonic()
    for row in rows:
        row_table = TABLE_OF[type(row)]
        if batch and (row_table != table or len(batch) >= BATCH_ROWS or time.monotonic() - began > BATCH_S):
            yield _encoded(table, batch)
            batch, began = [], time.monotonic()
        table = row_table
        batch.append(tuple(row))
        if isinstance(row, ReportEnd):
            yield _encoded(table, batch)
            batch = []
    if batch:
        yield _encoded(table, batch)


def run(request: BinaryIO, out: BinaryIO) -> int:
    """Collect what ``request`` asks for and return the exit code. A failure is the last batch on ``out``."""
    from memtui_profiler.collect.collect import collect
    from memtui_profiler.collect.request import CollectRequest

    try:
        for batch in encode(collect(CollectRequest.from_json(request.read().decode()))):
            out.write(batch)
            out.flush()
    except UserError as error:
        out.write(_encoded(FAILURE, [(error.what, error.why, error.todo)]))
    except MemoryError:
        phrases = ("the report is not whole", "there was not enough memory to read it", "stop what else takes memory")
        out.write(_encoded(FAILURE, [phrases]))
    except BrokenPipeError:
        return 1  # the recorder is gone: nobody reads this
    else:
        return 0
    out.flush()
    return 1


def _encoded(table: str, values: list[tuple[object, ...]]) -> bytes:
    payload = marshal.dumps((table, values))
    return _LENGTH.pack(len(payload)) + payload


def _decode(payload: bytes) -> Iterator[Row | UserError]:
    try:
        table, values = marshal.loads(payload)
        if table == FAILURE:
            yield from (UserError(*phrases) for phrases in values)
            return
        yield from map(KINDS[table]._make, values)
    except (EOFError, TypeError, KeyError) as error:
        raise ValueError("no batch of rows") from error


def main() -> int:
    """Run the collector's process (job.py starts it) and return its exit code."""
    # A million tuples are made here and no cycles; the garbage collector would take a tenth of the time.
    gc.disable()
    return run(sys.stdin.buffer, sys.stdout.buffer)
