"""Logs with something before each line: read as without it, in every format of text."""

from __future__ import annotations

import gzip
import io
import json
import re
import time
from collections.abc import Callable

import pytest

from memtui_parsers.formats.as_written import as_written
from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_parsers.formats.heapcheck_log import parse_heapcheck_log
from memtui_parsers.formats.line_prefix import MAX_LEARNT, PrefixRemover
from memtui_parsers.formats.sanitizer_log import parse_lsan_log
from memtui_parsers.formats.sniff import FileKind, sniff
from memtui_parsers.formats.valgrind.massif import parse_massif
from memtui_parsers.formats.valgrind.text import parse_valgrind_text
from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml
from tests.fixtures.report_files import sample

HEAPCHECK = (
    b"WARNING: Perftools heap leak checker is active -- Performance may suffer\n"
    b"Leak check _main_ detected leaks of 48 bytes in 2 objects\n\nThe 2 largest leaks:\n"
    b"Leak of 40 bytes in 1 objects allocated from:\n\t@ 401000 f\n\t@ 402000 main\n"
    b"Leak of 8 bytes in 1 objects allocated from:\n\t@ 401010 g\n\n\n"
)
HEAP = (
    b"heap profile:      2:       48 [     3:       60] @ heapprofile\n"
    b"     1:       40 [     1:       40] @ 0x401000 0x402000\n     1:        8 [     2:       20] @ 0x401010\n"
    b"\nMAPPED_LIBRARIES:\n00400000-00500000 r-xp 00000000 fe:00 77 /srv/prog\n"
)
# Whatever a parser makes of a file of its kind, and one that it reads.
FORMATS: dict[str, tuple[Callable[[io.BytesIO], object], bytes]] = {
    "lsan": (lambda data: parse_lsan_log(as_written(data)), sample("lsan-names.log")),
    "asan": (lambda data: parse_lsan_log(as_written(data)), sample("asan-leaks.log")),
    "heapcheck": (lambda data: parse_heapcheck_log(as_written(data)), HEAPCHECK),
    "memcheck": (lambda data: parse_valgrind_text(as_written(data)), sample("memcheck-faults.txt")),
    "xml": (lambda data: parse_valgrind_xml(as_written(data)), sample("memcheck-faults.xml")),
    "massif": (lambda data: parse_massif(as_written(data)), sample("massif.out")),
    "heap": (lambda data: parse_heap(as_written(data)), HEAP),
}
PREFIXES: dict[str, Callable[[int], str]] = {
    "GitHub": lambda n: f"2024-03-01T10:{n // 60 % 60:02}:{n % 60:02}.{1234567 + n}Z ",
    "gh run view": lambda n: f"build\tRun tests\t2024-03-01T10:{n // 60 % 60:02}:{n % 60:02}.1234567Z ",
    "GitLab": lambda n: f"2024-03-01T10:11:{n % 60:02}.{n:06}Z 01O ",
    "Jenkins": lambda n: f"[2024-03-01T10:{n // 60 % 60:02}:{n % 60:02}.{n % 1000:03}Z] ",
    "docker-compose": lambda n: "app_1  | ",
    "kubectl": lambda n: "[pod/relay-7f9c4d-x2xzq/app] ",
    "journald": lambda n: f"Mar {1 + n // 9 % 28:2} 10:11:{n % 60:02} host-2 relay[4711]: ",
    "syslog": lambda n: f"<13>1 2024-03-01T10:11:{n % 60:02}.{n % 1000:03}+01:00 host relay 77 - - ",
    "dmesg": lambda n: f"[{n / 7:12.6f}] ",
    "epoch": lambda n: f"{1709287872 + n} ",
    "ctest": lambda n: "12: ",
    "indented": lambda n: "    ",
    "quoted": lambda n: "> > ",
    "numbered": lambda n: f"{n + 1:6}\t",
    "grep -n": lambda n: f"{n + 97}:",
    "logcat": lambda n: f"03-01 10:11:{n % 60:02}.{n % 1000:03}  4711  4713 I wrap.sh : ",
    "coloured": lambda n: "\x1b[36mapp_1  |\x1b[0m ",
}  # fmt: skip


def prefixed(text: bytes, prefix: Callable[[int], str], *, trimmed: bool = False) -> bytes:
    lines = [prefix(n).encode() + line for n, line in enumerate(text.splitlines())]
    return b"\n".join(line.rstrip() if trimmed else line for line in lines) + b"\n"


@pytest.mark.parametrize("trimmed", [False, True], ids=["", "trimmed"])
@pytest.mark.parametrize("name", PREFIXES)
@pytest.mark.parametrize("form", FORMATS)
def test_a_prefix_changes_nothing(form: str, name: str, trimmed: bool) -> None:
    parse, text = FORMATS[form]
    changed = prefixed(text, PREFIXES[name], trimmed=trimmed)
    assert sniff(io.BytesIO(changed)).kind is sniff(io.BytesIO(text)).kind is not FileKind.OTHER
    assert parse(io.BytesIO(changed)) == parse(io.BytesIO(text))


@pytest.mark.parametrize("name", ["prefix-docker-compose.log", "prefix-github-actions.log"])
def test_real_logs_are_read_as_the_same_log_without(name: str) -> None:
    assert parse_lsan_log(io.BytesIO(sample(name))) == parse_lsan_log(io.BytesIO(sample("lsan-plain.log")))


@pytest.mark.parametrize("form", FORMATS)
def test_other_lines_and_encodings_change_nothing(form: str) -> None:
    parse, text = FORMATS[form]
    report = parse(io.BytesIO(text))
    crlf = text.replace(b"\n", b"\r\n")
    for changed in (
        crlf,
        b"\xef\xbb\xbf" + text,
        crlf.decode().encode("utf-16"),  # PowerShell: ./prog 2> log
        b"\xfe\xff" + text.decode().encode("utf-16-be"),
        prefixed(b"starting up\n\n" + text, PREFIXES["GitHub"]),
    ):
        assert sniff(io.BytesIO(changed)).kind is sniff(io.BytesIO(text)).kind
        assert sniff(io.BytesIO(gzip.compress(changed))).kind is sniff(io.BytesIO(text)).kind
        assert parse(io.BytesIO(changed)) == report


def _docker(line: str) -> str:
    return json.dumps({"log": f"{line}\n", "stream": "stderr", "time": "2024-03-01T10:11:12.123456789Z"})


def _journal(line: str) -> str:
    return json.dumps({"__CURSOR": "s=1", "PRIORITY": "6", "_PID": "4711", "MESSAGE": line})


@pytest.mark.parametrize("entry", [_docker, _journal])
@pytest.mark.parametrize("form", FORMATS)
def test_logs_of_json_objects(form: str, entry: Callable[[str], str]) -> None:
    parse, text = FORMATS[form]
    lines = [entry(line) for line in text.decode().splitlines()]
    lines.insert(2, "no object")
    changed = (
        "\n".join(lines).replace("no object\n", "" if form in ("xml", "massif", "heap") else "no object\n").encode()
    )
    assert sniff(io.BytesIO(changed)).kind is sniff(io.BytesIO(text)).kind
    assert parse(io.BytesIO(changed)) == parse(io.BytesIO(text))


def test_lines_of_other_services_stay_apart() -> None:
    text = sample("lsan-names.log")
    mine = prefixed(text, PREFIXES["docker-compose"]).splitlines(keepends=True)
    other = b"db_1   |     #3 0x401000 in elsewhere /srv/db.c:1\n"
    mixed = b"".join(line + other for line in mine)
    assert parse_lsan_log(io.BytesIO(mixed)) == parse_lsan_log(io.BytesIO(text))


def test_a_message_in_the_middle_of_other_output_gives_no_prefix() -> None:
    text = sample("lsan-names.log")
    begun = text.replace(b"==", b"50 % done==", 1)
    assert parse_lsan_log(io.BytesIO(begun)) == parse_lsan_log(io.BytesIO(text))


def test_a_log_of_another_program_that_quotes_a_format_is_no_file_of_it() -> None:
    quoted = b'2024 INFO sent <?xml version="1.0"?><a/>\n2024 INFO heap profile: kept\n'
    assert as_written(io.BytesIO(quoted)).read() == quoted
    log = quoted + sample("lsan-names.log")
    assert sniff(io.BytesIO(log)).kind is FileKind.LSAN_LOG


def test_hostile_prefixes_cost_linear_time() -> None:
    remover = PrefixRemover(re.compile("ERROR"))
    began = time.process_time()
    for n in range(20 * MAX_LEARNT):
        remover.without(f"{n} " + " 1:1" * 90 + "ERROR")
        remover.without(" " * 200 + "1" * 4000)
    assert time.process_time() - began < 20
