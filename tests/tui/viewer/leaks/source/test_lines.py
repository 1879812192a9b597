"""Source lines: recorded ones first, then the local file, and never anything that is not a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memtui.viewer.leaks.source.lines import FILE_LIMIT_BYTES, Sources
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import SourceLine
from memtui_profiler.session.writer import DATABASE, SessionWriter


@pytest.fixture
def server(tmp_path: Path) -> str:
    path = tmp_path / "server.cpp"
    path.write_text("".join(f"line {n}\n" for n in range(1, 11)))
    return str(path)


def test_a_local_files_lines_around_one(server: str) -> None:
    sources = Sources()
    assert sources.around(server, 5).lines == ((3, "line 3"), (4, "line 4"), (5, "line 5"), (6, "line 6"))
    assert sources.around(server, 1).lines == ((1, "line 1"), (2, "line 2"))
    assert sources.around(server, 10).lines == ((8, "line 8"), (9, "line 9"), (10, "line 10"))
    assert sources.line(server, 7) == "line 7"


def test_a_session_comes_before_the_file(tmp_path: Path, server: str) -> None:
    writer = SessionWriter(tmp_path, wal=False)
    writer.add_all([SourceLine(file=server, line=n, text=f"recorded {n}") for n in (4, 5)])
    writer.commit()
    reader = SessionReader(tmp_path / DATABASE)
    sources = Sources(lambda file: {row.line: row.text for row in reader.rows_of(SourceLine, "file", file)})
    assert sources.around(server, 5).lines == ((4, "recorded 4"), (5, "recorded 5"))
    assert sources.line(server, 9) == "line 9"
    writer.add(SourceLine(file=server, line=9, text="arrived later"))
    writer.commit()
    assert sources.line(server, 9) == "arrived later"
    writer.close()
    reader.close()


def test_a_session_that_has_recorded_nothing_leaves_the_local_files(server: str) -> None:
    assert Sources(lambda _: {}).line(server, 2) == "line 2"


def test_what_is_missing_is_said_with_the_path_that_was_tried(tmp_path: Path, server: str) -> None:
    sources = Sources()
    missing = str(tmp_path / "gone.cpp")
    assert sources.around(missing, 5).missing == f"no source: {missing}: No such file or directory"
    assert sources.around("server.cpp", 5).missing == "no source: server.cpp is not an absolute path"
    assert "has only 10 lines" in sources.around(server, 11).missing
    assert Sources(local=False).around(server, 5).missing == f"no source recorded for {server}"
    assert sources.around("/with\0null", 1).missing.startswith("no source: ")


def test_no_fifo_device_or_giant_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    giant = tmp_path / "giant"
    with giant.open("wb") as stream:
        stream.truncate(FILE_LIMIT_BYTES + 1)
    sources = Sources()
    assert sources.around(str(fifo), 1).missing == f"no source: {fifo} is no regular file"
    assert sources.around("/dev/zero", 1).missing == "no source: /dev/zero is no regular file"
    assert sources.around(str(tmp_path), 1).missing.startswith(f"no source: {tmp_path}")
    assert sources.around(str(giant), 1).missing == f"no source: {giant} is larger than 8 MiB"


def test_lines_are_made_safe_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "hostile.cpp"
    path.write_bytes(b"\x1b[2Jclear\r\n\ttab\n" + b"y" * 5000 + b"\n\xff\xfe\n")
    sources = Sources()
    assert sources.line(str(path), 1) == "clear"
    assert sources.line(str(path), 2) == " tab"
    assert len(sources.line(str(path), 3) or "") == 400
    assert sources.line(str(path), 4) == "\N{REPLACEMENT CHARACTER}" * 2


def test_the_caches_are_bounded(tmp_path: Path) -> None:
    sources = Sources()
    for number in range(100):
        path = tmp_path / f"{number}.c"
        path.write_text("x\n")
        assert sources.line(str(path), 1) == "x"
    assert len(sources._files) <= 32 and len(sources._rows) <= 32
