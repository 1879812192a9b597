"""memcheck's XML as valgrind 3.19 really wrote it, and as protocol 6 and hostile files have it."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from itertools import chain

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats import bounded_xml, stack_table
from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.report_files import sample, stream_of


def parse(text: bytes | str) -> LeakReport:
    return parse_valgrind_xml(io.BytesIO(text.encode() if isinstance(text, str) else text))


def document(body: str, *, protocol: int = 4, tool: str = "memcheck", finished: bool = True) -> str:
    status = "<status><state>FINISHED</state></status>" if finished else ""
    head = f"<protocolversion>{protocol}</protocolversion><protocoltool>{tool}</protocoltool><pid>7</pid>"
    return f'<?xml version="1.0"?>\n<valgrindoutput>\n{head}{status}\n{body}\n</valgrindoutput>\n'


def frame(ip: int, fn: str = "f", more: str = "") -> str:
    return f"<frame><ip>0x{ip:X}</ip><obj>/srv/prog</obj><fn>{fn}</fn><file>a.c</file><line>{ip % 1000}</line>{more}</frame>"


def leak(
    *frames: str, number: int = 1, of: int = 1, size: int = 8, kind: str = "DefinitelyLost", text: str = ""
) -> str:
    words = text or f"{size} bytes in 1 blocks are lost in loss record {number} of {of}"
    what = f"<text>{words}</text><leakedbytes>{size}</leakedbytes><leakedblocks>1</leakedblocks>"
    return f"<error><kind>Leak_{kind}</kind><xwhat>{what}</xwhat><stack>{''.join(frames)}</stack></error>"


def by_kind(report: LeakReport) -> dict[LeakKind, tuple[int, int]]:
    found: dict[LeakKind, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for record in report.leaks:
        size, objects = found[record.kind]
        found[record.kind] = size + record.size_bytes, objects + record.objects
    return dict(found)


def summary(name: str) -> dict[LeakKind, tuple[int, int]]:
    """What valgrind's own LEAK SUMMARY says of the same program."""
    found = {}
    for kind, size, blocks in re.findall(r"(\w+ \w+): ([\d,]+) bytes in ([\d,]+) blocks", sample(name).decode()):
        if kind != "at exit":
            found[LeakKind(kind.replace(" ", "-"))] = int(size.replace(",", "")), int(blocks.replace(",", ""))
    return found


def summary_of_last(text: str) -> dict[LeakKind, tuple[int, int]]:
    """valgrind's last LEAK SUMMARY in a text, without the kinds of which there is nothing."""
    last = text.rpartition("LEAK SUMMARY:")[2]
    found = re.findall(r"(\w+ (?:lost|reachable)): ([\d,]+)(?: \(.*?\))? bytes in ([\d,]+)", last)
    sums = {LeakKind(k.replace(" ", "-")): (int(b.replace(",", "")), int(n.replace(",", ""))) for k, b, n in found}
    return {kind: counts for kind, counts in sums.items() if counts != (0, 0)}


def test_the_sums_of_each_kind_are_valgrinds_own() -> None:
    report = parse(sample("memcheck-faults.xml"))
    expected = summary("memcheck-faults.txt")
    assert len(expected) == 4
    assert by_kind(report) == expected
    assert (report.total_bytes, report.total_objects) == tuple(map(sum, zip(*expected.values(), strict=True)))
    assert (report.checker, report.status, report.notes) == ("memcheck", ReportStatus.COMPLETE, ())
    assert report.argv == ("./faults",) and report.pid is not None


def test_frames_name_linkage_file_line_and_module_without_valgrinds_own() -> None:
    (chain,) = [leak for leak in parse(sample("memcheck-faults.xml")).leaks if leak.kind is LeakKind.INDIRECTLY_LOST]
    leaf, root = chain.stack
    assert (leaf.linkage_name, leaf.function, root.function) == ("_Z10make_chainv", None, "main")
    assert leaf.module is not None and leaf.module.path == "/tmp/memtui-reports/faults"
    assert leaf.file == "/tmp/memtui-reports/sources/faults.cpp"
    source = sample("sources/faults.cpp").decode().splitlines()
    assert leaf.line is not None and "new Node()" in source[leaf.line - 1]


def test_other_errors_keep_their_texts_stacks_and_counts() -> None:
    errors = parse(sample("memcheck-faults.xml")).errors
    assert [(error.kind, error.count) for error in errors] == [
        ("InvalidRead", 1),
        ("InvalidRead", 1),
        ("UninitCondition", 3),
        ("MismatchedFree", 1),
        ("InvalidFree", 1),
    ]
    freed = errors[1]
    assert freed.what == "Invalid read of size 1"
    assert [frame.linkage_name or frame.function for frame in freed.stack] == ["_Z10read_freedv", "main"]
    assert [detail.what for detail in freed.details] == [
        freed.details[0].what,
        "Block was alloc'd at",
    ]
    assert "inside a block of size 10 free'd" in freed.details[0].what
    assert freed.details[0].stack[0].function == "free"
    assert all(detail.stack for detail in freed.details)


def test_what_hangs_on_lost_blocks_is_counted_where_it_is_not_listed() -> None:
    report = parse(sample("memcheck-defaults.xml"))
    lost = {LeakKind.DEFINITELY_LOST: (64, 1), LeakKind.POSSIBLY_LOST: (300, 1)}
    assert by_kind(report) == {**lost, LeakKind.INDIRECTLY_LOST: (256, 0)}, "protocol 4 does not say in how many blocks"
    assert report.total_bytes == 64 + 300 + 256
    assert any("256 bytes are lost with the blocks that point to them" in note for note in report.notes)
    assert report.leaks[0].stack[0].function == "keep()"  # demangled by valgrind: nothing to undo


def test_inlined_calls_share_an_address_and_the_last_is_the_physical_one() -> None:
    for record in parse(sample("memcheck-inlined.xml")).leaks:
        names = [(frame.linkage_name or frame.function, frame.inlined) for frame in record.stack]
        assert names == [
            ("make_peer", True),
            ("parse_peer", True),
            ("_ZN12_GLOBAL__N_112accept_peersEi", False),
            ("main", False),
        ]


def test_recursion_is_not_taken_for_inlining() -> None:
    (record,) = parse(sample("memcheck-recursion.xml")).leaks
    assert len(record.stack) == 39 and not any(frame.inlined for frame in record.stack)


def test_of_several_checks_the_last_counts_alone() -> None:
    report = parse(sample("memcheck-client-checks.xml"))
    assert sorted(record.size_bytes for record in report.leaks) == [50, 60, 100]
    assert report.notes == ("The file holds 3 leak checks: this is the last",)


def test_a_program_that_dies_is_reported_with_its_signal() -> None:
    report = parse(sample("memcheck-segfault.xml"))
    assert (report.status, report.total_bytes) == (ReportStatus.COMPLETE, 10)
    assert report.notes == ("The program was ended by SIGSEGV",)
    assert [error.kind for error in report.errors] == ["InvalidWrite"]


def test_a_killed_program_was_never_checked() -> None:
    report = parse(sample("memcheck-killed.xml"))
    assert (report.status, report.leaks, report.argv) == (ReportStatus.NOT_RUN, (), ("sleep", "60"))
    assert "killed, or still runs" in report.notes[0]


def test_suppressions_are_named() -> None:
    report = parse(sample("memcheck-suppressed.xml"))
    assert report.notes == ("Suppressed by known (1)",)
    assert report.total_bytes == 320


def test_arguments_that_valgrind_writes_as_they_are_do_not_break_its_xml() -> None:
    text = sample("memcheck-arguments.xml")
    assert b"\x1b[31m" in text
    report = parse(text)
    assert report.argv == ("./chain", "?[31mred?", "<&>", "ä")
    assert (report.status, report.total_bytes) == (ReportStatus.COMPLETE, 353)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.8, 0.9, 0.99])
def test_a_file_that_is_cut_gives_what_was_whole(share: float) -> None:
    text = sample("memcheck-faults.xml")
    whole, report = parse(text), parse(text[: int(len(text) * share)])
    assert report.status in (ReportStatus.TRUNCATED, ReportStatus.NOT_RUN)
    assert report.notes and "The file ends before" in report.notes[0]
    whole_leaks = {(record.kind, record.stack): record.size_bytes for record in whole.leaks}
    assert all(whole_leaks[record.kind, record.stack] == record.size_bytes for record in report.leaks)
    assert {(error.kind, error.what) for error in report.errors} <= {(e.kind, e.what) for e in whole.errors}


def leak_summary(counts: dict[str, tuple[str, str]], blocks: str = "blocks") -> str:
    kinds = "".join(f"<{k}><bytes>{b}</bytes>\n    <{blocks}>{n}</{blocks}></{k}>" for k, (b, n) in counts.items())
    return f"<leak_summary>{kinds}</leak_summary>"


@pytest.mark.parametrize("blocks", ["blocks", "in_blocks"])  # as mc_leakcheck.c writes it, and as its document says
def test_protocol_6_counts_what_no_record_lists(blocks: str) -> None:
    counts = {
        "definitely_lost": ("8", "1"),
        "indirectly_lost": ("3,200", "2"),
        "possibly_lost": ("0", "0"),
        "still_reachable": ("64,000 (+64,000)", "4 (+4)"),
        "suppressed": ("5", "1"),
    }
    text = "3,208 (8 direct, 3,200 indirect) bytes in 1 blocks are definitely lost in loss record 3 of 3"
    body = leak(frame(1), number=3, of=3, size=3208, text=text)
    heap = "<heap_summary><total_heap_usage><allocs>5</allocs></total_heap_usage></heap_summary>"
    report = parse(document(f"{heap}{body}{leak_summary(counts, blocks)}", protocol=6))
    assert by_kind(report) == {
        LeakKind.DEFINITELY_LOST: (8, 1),
        LeakKind.INDIRECTLY_LOST: (3200, 2),
        LeakKind.STILL_REACHABLE: (64_000, 4),
    }
    assert [record.kind for record in report.leaks if not record.stack] == [
        LeakKind.STILL_REACHABLE,
        LeakKind.INDIRECTLY_LOST,
    ]
    assert (report.total_bytes, report.total_objects) == (67_208, 7)
    assert report.notes == (
        "valgrind lists no stack for 3200 bytes in 2 blocks indirectly lost, 64000 bytes in 4 blocks still reachable. "
        "Rerun with --leak-check=full --show-leak-kinds=all",
        "5 bytes in 1 block is suppressed",
    )


def test_real_summaries_of_protocol_6() -> None:
    """valgrind 3.27 on a program that checks three times by itself; its text has the same sums."""
    report, said = parse(sample("memcheck-protocol6.xml")), summary_of_last(sample("memcheck-protocol6.txt").decode())
    assert by_kind(report) == said
    assert "The file holds 4 leak checks: this is the last" in report.notes
    assert report.status is ReportStatus.COMPLETE


def test_of_a_file_that_is_cut_the_last_whole_check_is_shown() -> None:
    text = sample("memcheck-protocol6.xml").decode()
    summaries = [found.end() for found in re.finditer("</leak_summary>", text)]
    whole = parse(text[: summaries[2]])
    assert whole.total_bytes > 0 and "The file holds 3 leak checks: this is the last" in whole.notes
    next_record = text.index("</error>", summaries[2]) + len("</error>")
    cut = parse(text[:next_record])
    assert (cut.total_bytes, cut.leaks, cut.status) == (whole.total_bytes, whole.leaks, ReportStatus.TRUNCATED)
    assert "Behind this check stands another one, which is cut" in cut.notes


def test_valgrind_3_26_leaves_an_element_open() -> None:
    """Its bug 514613: print_results in memcheck/mc_leakcheck.c closes still_reachable only where something is."""
    counts = dict.fromkeys(
        ("definitely_lost", "indirectly_lost", "possibly_lost", "still_reachable", "suppressed"), ("0", "0")
    )
    counts["definitely_lost"] = ("5,000", "1")
    body = leak(frame(1), size=5000) + leak_summary(counts).replace("</still_reachable>", "\n  ")
    for chunk in (document(body, protocol=6), document("x" * (1 << 16) + body, protocol=6)):
        report = parse(chunk)
        assert (report.status, report.total_bytes, report.notes) == (ReportStatus.COMPLETE, 5000, ())


def test_records_in_any_order_are_one_check() -> None:
    numbers = [3, 1, 4, 2]
    body = "".join(
        leak(frame(n), number=n, of=4, size=n).replace("<kind>", f"<unique>0x{n:x}</unique><kind>") for n in numbers
    )
    for text in (document(body), document(re.sub("<unique>.*?</unique>", "", body))):
        report = parse(text)
        assert sorted(record.size_bytes for record in report.leaks) == [1, 2, 3, 4] and report.notes == ()


def test_a_record_that_comes_again_or_of_another_total_is_of_another_check() -> None:
    again = [(1, 2, 1), (2, 2, 2), (1, 2, 3)]
    other_total = [(1, 2, 1), (2, 2, 2), (3, 3, 3)]
    behind = [(1, 3, 1), (3, 3, 2), (2, 3, 3)]  # valgrind writes a check's records in the order of their numbers
    for records in (again, other_total, behind):
        body = "".join(
            leak(frame(n), number=n, of=of, size=8).replace("<kind>", f"<unique>0x{u:x}</unique><kind>")
            for n, of, u in records
        )
        report = parse(document(body))
        assert report.total_objects == 1 and report.notes == ("The file holds 2 leak checks: this is the last",)


def test_protocols_5_and_newer_bring_tags_that_are_passed_over() -> None:
    descriptor = (
        "<error><unique>0x9</unique><kind>FdNotClosed</kind><fd>3</fd><path>/tmp/x</path><what>File descriptor 3 is open</what>"
        f"<stack>{frame(5)}</stack></error>"
    )
    novelty = "<novelty kind='x'><frame><ip>0x99</ip></frame><kind>Leak_PossiblyLost</kind></novelty>"
    report = parse(document(novelty + descriptor + leak(frame(1, more=novelty)), protocol=5))
    assert [error.kind for error in report.errors] == ["FdNotClosed"]
    assert [len(record.stack) for record in report.leaks] == [1] and report.notes == ()
    newer = parse(document(leak(frame(1)), protocol=7))
    assert "protocol 7 is newer" in newer.notes[0] and newer.total_bytes == 8


def test_the_same_stack_is_summed_by_kind() -> None:
    frames = frame(1), frame(2)
    body = "".join(
        leak(*frames, number=n, of=4, kind=k) for n, k in enumerate(["DefinitelyLost"] * 2 + ["PossiblyLost"] * 2, 1)
    )
    report = parse(document(body))
    assert [(record.size_bytes, record.objects, record.kind) for record in report.leaks] == [
        (16, 2, LeakKind.DEFINITELY_LOST),
        (16, 2, LeakKind.POSSIBLY_LOST),
    ]
    assert report.leaks[0].leak_id == report.leaks[1].leak_id


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no XML"),
        ("plain words", "no XML"),
        ("<html><body/></html>", "no <valgrindoutput>"),
        (document("", tool="helgrind"), "another tool"),
        (document("", protocol=3), "protocol 3"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><valgrindoutput/>', "document type"),
        ('<!DOCTYPE valgrindoutput SYSTEM "file:///etc/passwd"><valgrindoutput/>', "document type"),
    ],
)
def test_what_is_no_output_of_memcheck_is_refused_in_words(text: str, reason: str) -> None:
    with pytest.raises(ParseError) as raised:
        parse(text)
    assert reason in raised.value.reason


def test_an_entity_bomb_never_grows() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE valgrindoutput [<!ENTITY l0 "ha">{laughs}]>' + document("&l11;")
    with pytest.raises(ParseError):
        parse(bomb)
    assert "undefined entity" in parse(document("<args><argv><exe>&l11;</exe></argv></args>")).notes[-1]


def test_damage_is_said_with_line_and_excerpt() -> None:
    text = document(leak(frame(1))).replace("</valgrindoutput>", "<a></b></valgrindoutput>")
    report = parse(text)
    assert report.status is ReportStatus.TRUNCATED and report.total_bytes == 8
    assert "line 5" in report.notes[1] and "mismatched tag" in report.notes[1]


def test_lines_stay_those_of_the_file_behind_repeated_frames() -> None:
    lines = "".join("\n" + frame(1, more="\n\n") for _ in range(50))
    report = parse(document(leak(lines)).replace("</valgrindoutput>", "\n<a></b></valgrindoutput>"))
    assert f"line {5 + 50 * 3 + 1}:" in report.notes[1]


def test_deep_stacks_are_cut() -> None:
    report = parse(document(leak("".join(frame(n) for n in range(1, 10_001)))))
    (record,) = report.leaks
    assert len(record.stack) == stack_table.MAX_DEPTH
    assert any("deeper than" in note for note in report.notes)


def test_arguments_beyond_the_bound_are_said() -> None:
    words = "".join(f"<arg>{n}</arg>" for n in range(bounded_xml.MAX_FIELDS))
    report = parse(document(f"<args><argv><exe>a</exe>{words}</argv></args>" + leak(frame(1))))
    left_out = bounded_xml.MAX_FIELDS // 2 + 1
    assert len(report.argv) == bounded_xml.MAX_FIELDS // 2
    assert report.notes == (
        f"{left_out} values beyond the first {bounded_xml.MAX_FIELDS // 2} of an element are left out",
    )


def test_hostile_names_are_clean() -> None:
    report = parse(
        document(leak(frame(1, fn="a\x1b]0;x\x07b\x00c\u202ed" + "e" * 100_000))).replace("/srv/", "/srv/\x9b31m")
    )
    (step,) = report.leaks[0].stack
    assert step.function is not None and step.module is not None
    assert step.function.isprintable() and len(step.function) <= stack_table.MAX_NAME_CHARS
    assert step.module.path.isprintable()


def test_elements_without_end_are_given_up() -> None:
    left = iter(range(200))
    report = parse_valgrind_xml(stream_of(chain([document("")[:-20].encode()], (b"<a>" * 10_000 for _ in left))))
    assert next(left, None) is not None, "the rest is not read"
    assert "nested too deep" in " ".join(report.notes)


def test_a_tag_without_end_is_given_up() -> None:
    left = iter(range(40))
    parse_valgrind_xml(stream_of(chain([document("")[:-20].encode() + b"<"], (b"a" * 10_000 for _ in left))))
    assert next(left, None) is not None, "the rest is not read"
    assert bounded_xml.MAX_TOKEN_BYTES < 400_000


def test_unknown_names_without_end_are_given_up() -> None:
    body = "".join(f"<n{n}/>" for n in range(2 * bounded_xml.MAX_UNKNOWN_NAMES))
    assert "too many unknown names" in " ".join(parse(document(body)).notes)


def test_records_beyond_the_bounds_are_counted_without_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_table, "MAX_FRAMES", 3)
    monkeypatch.setattr(stack_table, "MAX_STACKS", 5)
    report = parse(document("".join(leak(frame(n), number=n, of=9) for n in range(1, 10))))
    assert (report.total_bytes, report.total_objects) == (72, 9)
    assert {len(record.stack) for record in report.leaks} == {0, 1}
    assert any("counted without their frames" in note for note in report.notes)


def test_numbers_that_are_none_are_said() -> None:
    report = parse(document(leak(frame(1)).replace("<leakedbytes>8<", "<leakedbytes>many<")))
    assert report.leaks == () and report.notes == ("1 leaks or sums of the file have no size that can be read",)
    assert report.status is ReportStatus.TRUNCATED


def test_a_stand_in_of_the_files_own_names_only_what_it_has_shown() -> None:
    forged = leak(frame(1)) + leak("<?frame 0?><?frame 99?><?frame x?><?other 0?>", number=2, of=2)
    report = parse(document(forged.replace("record 1 of 1", "record 1 of 2")))
    assert [[step.function for step in record.stack] for record in report.leaks] == [["f"]]
    assert report.total_bytes == 16
