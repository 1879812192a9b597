"""Temporary folders that go with their process, however it ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from memtui_profiler.errors import UserError
from memtui_profiler.own_folder import foreign_part
from memtui_profiler.run.after_our_end import AfterOurEnd

# Again for a while: a recorder may end a little later than whom it was started by, and write until then.
_REMOVE = 'n=0; until rm -rf -- "$1" || [ $n = 30 ]; do n=$((n+1)); sleep 1; done'


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Give a new folder among the temporary files, deleted at the end, also when a signal ends us. Raises UserError."""
    what, todo = "cannot make a temporary folder", "set TMPDIR to a folder of your own, or to /tmp"
    try:
        parent = Path(tempfile.gettempdir()).absolute()
        if foreign := foreign_part(parent):
            raise UserError(what, foreign, todo)
    except OSError as error:
        raise UserError(what, _words(error), todo) from error
    # Its name is known to the remover before it is there: a signal may come at any moment.
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    try:
        remover = AfterOurEnd("memtui-remover", ["sh", "-c", _REMOVE, "memtui-remover", str(folder)])
    except OSError as error:
        raise UserError(what, str(error), "see `ulimit -u`") from error
    with contextlib.closing(remover):
        try:
            folder.mkdir(0o700)
        except OSError as error:
            raise UserError(what, _words(error), todo) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _words(error: OSError) -> str:
    place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{place}{error.strerror}"
