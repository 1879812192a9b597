"""What valgrind's tools write, with their own sums: the installed valgrind, with many options, on one program."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from memtui_parsers.formats.sniff import FileKind, sniff
from memtui_parsers.formats.valgrind.dhat import parse_dhat
from memtui_parsers.formats.valgrind.massif import parse_massif
from memtui_parsers.formats.valgrind.text import parse_valgrind_text
from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml
from memtui_parsers.values import LeakReport, ReportStatus
from tests.fixtures.report_files import REPORTS
from tests.fixtures.waiting import until

SOURCE = REPORTS / "sources" / "losses.c"
Sums = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("losses") / "losses"
    subprocess.run(["gcc", "-g", "-O0", str(SOURCE), "-o", str(path)], check=True)
    return path


def text_of(program: Path, options: str, argument: str) -> str:
    command = ["valgrind", *options.split(), str(program), *([argument] if argument else [])]
    environment = {name: value for name, value in os.environ.items() if name != "VALGRIND_OPTS"}
    ran = subprocess.run(command, cwd=program.parent, env=environment, capture_output=True, text=True, check=False)
    return ran.stderr


def own_sums(text: str, pid: int | None = None) -> Sums:
    """The last LEAK SUMMARY of the text, of this process, without the kinds of which there is nothing."""
    lines = re.findall(rf"(?m)^==(?:[\d:.]+ )?{pid or '[0-9]+'}== ?(.*)$", text)
    last = "\n".join(lines).rpartition("LEAK SUMMARY:")[2].partition("suppressed:")[0]
    found = re.findall(r"(\w+ (?:lost|reachable)): ([\d,]+)(?: \(.*?\))? bytes in ([\d,]+)", last)
    sums = {kind: (int(size.replace(",", "")), int(blocks.replace(",", ""))) for kind, size, blocks in found}
    return {kind: counts for kind, counts in sums.items() if counts != (0, 0)}


def sums_of(report: LeakReport) -> Sums:
    sums: Sums = defaultdict(lambda: (0, 0))
    for record in report.leaks:
        size, objects = sums[record.kind.value.replace("-", " ")]
        sums[record.kind.value.replace("-", " ")] = size + record.size_bytes, objects + record.objects
    return dict(sums)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ("", ""),
        ("--leak-check=full", "checks"),
        ("--leak-check=full --show-leak-kinds=all --time-stamp=yes", "checks"),
        ("", "checks"),
        ("--leak-check=full --show-leak-kinds=definite -s", "error"),
        ("-v -v --leak-check=full --leak-check-heuristics=all --gen-suppressions=all", "crash"),
        ("--leak-check=full", "fork"),
    ],
)
def test_the_sums_of_a_text_are_valgrinds_own(program: Path, options: str, argument: str) -> None:
    text = text_of(program, options, argument)
    assert sniff(io.BytesIO(text.encode())).kind is FileKind.VALGRIND_TEXT
    report = parse_valgrind_text(io.BytesIO(text.encode()))
    expected = own_sums(text, report.pid)
    assert expected and sums_of(report) == expected
    assert (report.total_bytes, report.total_objects) == tuple(map(sum, zip(*expected.values(), strict=True)))
    assert report.status is ReportStatus.COMPLETE
    assert not any("no sense" in note for note in report.notes)
    assert bool(report.errors) == (argument in ("error", "crash"))


def test_quiet_and_unchecked_texts_are_not_taken_for_whole_ones(program: Path) -> None:
    lost = own_sums(text_of(program, "--leak-check=full", ""))
    quiet = parse_valgrind_text(io.BytesIO(text_of(program, "-q --leak-check=full", "").encode()))
    assert quiet.status is ReportStatus.TRUNCATED
    assert quiet.total_bytes == sum(size for kind, (size, _) in lost.items() if kind != "still reachable")
    unchecked = parse_valgrind_text(io.BytesIO(text_of(program, "--leak-check=no", "").encode()))
    assert unchecked.status is ReportStatus.NOT_RUN and "did not look for leaks" in unchecked.notes[0]


@pytest.mark.parametrize("options", ["", "--show-leak-kinds=all"])
def test_the_sums_of_the_xml_are_those_of_the_text(program: Path, options: str) -> None:
    expected = own_sums(text_of(program, "", "checks"))
    text_of(program, f"--xml=yes --xml-file={program.parent}/out.xml {options}", "checks")
    report = parse_valgrind_xml(io.BytesIO((program.parent / "out.xml").read_bytes()))
    sums = sums_of(report)
    if not options and "<leak_summary>" not in (program.parent / "out.xml").read_text():
        # Before protocol 6 nothing tells what is still reachable, and in how many blocks is lost what hangs on others.
        del expected["still reachable"]
        expected["indirectly lost"] = expected["indirectly lost"][0], 0
    assert sums == expected


def test_the_answers_of_vgdb(program: Path, tmp_path: Path) -> None:
    """Whole and delta answers, one behind the other in one file; block_list repeats a record, and counts nothing."""
    loses = "int main(void) { for (;;) { *(void **)malloc(32) = malloc(48); usleep(20000); } }"
    (tmp_path / "grows.c").write_text(f"#include <stdlib.h>\n#include <unistd.h>\n{loses}\n")
    subprocess.run(["gcc", "-g", "grows.c", "-o", "grows"], cwd=tmp_path, check=True)
    target = subprocess.Popen(["valgrind", "./grows"], cwd=tmp_path, stderr=subprocess.DEVNULL)

    def ask(question: str) -> str:
        done = subprocess.run(
            ["vgdb", f"--pid={target.pid}", *question.split()], capture_output=True, text=True, check=False
        )
        return done.stdout

    try:
        until(lambda: "lost in loss record" in ask("leak_check full any"), "valgrind answers", deadline_s=60)
        answers = ""
        for question in (
            "leak_check full reachable any",
            "leak_check summary any",
            "leak_check full reachable increased",
            "block_list 1",
        ):
            answers += ask(question)
            report = parse_valgrind_text(io.BytesIO(answers.encode()))
            assert sums_of(report) == own_sums(answers), question
            assert report.pid == target.pid and report.status is ReportStatus.COMPLETE
    finally:
        target.send_signal(signal.SIGKILL)
        target.wait()


def test_massifs_tree_is_that_of_ms_print(program: Path) -> None:
    out = program.parent / "massif.out"
    text_of(program, f"--tool=massif --threshold=2 --stacks=yes --massif-out-file={out}", "")
    printed = subprocess.run(["ms_print", str(out)], capture_output=True, text=True, check=True).stdout
    report = parse_massif(io.BytesIO(out.read_bytes()))
    (number,) = re.findall(r"Snapshot (\d+) of", report.notes[0])
    row = re.findall(rf"(?m)^ +{number} +[\d,]+ +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)$", printed)
    total, useful, extra, stacks = (int(figure.replace(",", "")) for figure in row[0])
    assert report.total_bytes == useful == sum(record.size_bytes for record in report.leaks)
    assert f"added {extra}, stacks had {stacks}: {total} in all" in report.notes[0]
    # The callers' tree of this snapshot: what main has of it, by its lines.
    tree = printed[printed.index(f"({useful:,}B) (heap allocation functions)") :].partition("\n----")[0]
    printed_lines = {
        int(line): int(size.replace(",", ""))
        for size, line in re.findall(r"\(([\d,]+)B\) 0x\w+: main \(.*?:(\d+)\)", tree)
    }
    ours: dict[int, int] = defaultdict(int)
    for record in report.leaks:
        if record.stack and record.stack[-1].function == "main":
            ours[record.stack[-1].line or 0] += record.size_bytes
    assert printed_lines and dict(ours) == printed_lines


@pytest.mark.parametrize("column", ["t-gmax", "t-end", "total"])
def test_dhats_sums_are_those_that_it_prints(program: Path, column: str) -> None:
    out = program.parent / "dhat.out"
    said = text_of(program, f"--tool=dhat --dhat-out-file={out}", "error")
    name = {"t-gmax": "At t-gmax", "t-end": "At t-end", "total": "Total"}[column]
    size, blocks = re.findall(rf"{name}: +([\d,]+) bytes in ([\d,]+) blocks", said)[0]
    report = parse_dhat(io.BytesIO(out.read_bytes()), column)
    assert (report.total_bytes, report.total_objects) == (int(size.replace(",", "")), int(blocks.replace(",", "")))
