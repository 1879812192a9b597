"""From the rows of a session to the lines on the screen: what the allocator said, what grew between reports, what can be asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from memtui.display.glyphs import ASCII, UNICODE, Glyphs
from memtui.display.keymap import ACTION_KEYS
from memtui.session.follower import SessionFollower
from memtui.session.growth import SMALL_LEAKS, program_name
from memtui.session.shown_reports import load_report_apart
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine, Tone
from memtui.session.verdict import facts_of
from memtui.viewer.widgets.line import columns
from memtui.viewer.widgets.verdicts import verdict_line, why_content
from memtui_parsers.values import Module
from memtui_profiler.diagnosis.values import Verdict
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import AllocatorSample, Event, GuestRow, Run, RunEnd, RunSettled, Sample
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures import several_reports
from tests.fixtures.leak_reports import LIBC, frame, record
from tests.fixtures.memory_shapes import NAMES, load
from tests.fixtures.sessions import END_S, STARTED

MIB = 1 << 20


def look(folder: Path, at_s: float, *, live: bool = True) -> SessionState:
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + at_s, live=live)
    follower.close()
    return state


def judged(name: str, folder: Path) -> tuple[StatusLine, ...]:
    recording = load(name)
    return look(recording.write(folder), recording.seconds).diagnoses


@pytest.mark.parametrize(
    ("name", "words", "key", "tone"),
    [
        ("leak_slow_after_retention", ("RETENTION", "LEAK"), "x", Tone.WARN),
        ("leak_steady", ("LEAK",), "c", Tone.BAD),
        ("retention_frees", ("RETENTION", "STABLE"), "x", Tone.WARN),
        ("fragmentation", ("FRAGMENTATION", "LEVELS OFF"), "2", Tone.WARN),
        ("outside_shmem", ("OUTSIDE THE HEAP", "STABLE"), "", Tone.CALM),
        ("children", ("IN CHILDREN", "STABLE"), "", Tone.CALM),
        ("untouched", ("CANNOT TELL", "STABLE"), "x", Tone.CALM),
    ],
)
def test_a_session_is_judged_by_its_rows(
    name: str, words: tuple[str, ...], key: str, tone: Tone, tmp_path: Path
) -> None:
    lines = judged(name, tmp_path)
    assert tuple(line.word for line in lines) == words
    assert (lines[0].key, lines[0].tone) == (key, tone)


def test_the_rows_say_what_the_recording_says(tmp_path: Path) -> None:
    """The way through the database, the series and the follower changes nothing that a verdict stands on."""
    recording = load("leak_slow_after_retention")
    state = look(recording.write(tmp_path), recording.seconds)
    facts = facts_of(state, None)
    assert facts is not None
    straight = recording.facts(recording.seconds)
    assert [round(at) for at in facts.at_s] == [round(at) for at in straight.at_s]
    assert facts.rss_bytes == straight.rss_bytes
    assert facts.anon_bytes == straight.anon_bytes
    assert [row[:-1] for row in facts.allocator] == [row[:-1] for row in recording.allocator[-len(facts.allocator) :]]
    assert [row[:-1] for row in facts.details] == [row[:-1] for row in straight.details]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("name", NAMES)
def test_at_120_columns_each_sentence_is_whole_with_its_key(name: str, glyphs: Glyphs, tmp_path: Path) -> None:
    lines = judged(name, tmp_path)
    room = max(len(line.word) for line in lines)
    for line in lines:
        shown = verdict_line(line, glyphs, 120, room).plain
        assert columns(shown) == 120
        assert glyphs.plain(line.sentence) in shown
        assert f"{line.key} {line.key_words}".strip() in shown


@pytest.mark.parametrize("name", NAMES)
def test_at_80_columns_a_shorter_sentence_stands_in_whole(name: str, tmp_path: Path) -> None:
    for line in judged(name, tmp_path):
        shown = verdict_line(line, UNICODE, 80).plain
        assert columns(shown) == 80
        assert any(form in shown for form in (line.sentence, *line.shorter)), shown
        assert "…" not in shown.removeprefix(" …")


def test_every_second_of_every_recording_fits_120_columns() -> None:
    from memtui_profiler.diagnosis.diagnose import diagnose

    for name in NAMES:
        recording = load(name)
        for second in range(1, int(recording.seconds), 7):
            said = diagnose(recording.facts(float(second)))
            words = max(len(one.word) for one in said)
            for one in said:
                key = "" if one.action is None else ACTION_KEYS[one.action].shown
                line = StatusLine(one.glyph, one.word, one.sentence, Tone.CALM, key, one.action_words)
                assert one.sentence in verdict_line(line, UNICODE, 120, words).plain, one.sentence


def test_names_of_any_length_leave_room_for_the_figures() -> None:
    from memtui_parsers.values import LeakKind
    from memtui_profiler.diagnosis.diagnose import diagnose
    from memtui_profiler.diagnosis.values import GrowthSummary

    function = "std::__detail::_Map_base<" + "std::basic_string<char>, " * 20 + ">::operator[](std::string const&)"
    growth = GrowthSummary(LeakKind.IN_USE, 50 * MIB, 48 * MIB, 900, function, "server.cpp:88", 60.0)
    (said,) = diagnose(replace(load("leak_steady").facts(150.0), growth=growth))
    assert said.action is not None
    key = ACTION_KEYS[said.action].shown
    line = StatusLine(said.glyph, said.word, said.sentence, Tone.BAD, key, said.action_words, (), said.shorter)
    for width, words in (
        (120, "96 % of it from"),
        (100, "96 % of it from server.cpp:88"),
        (80, "in use grows 0.5 MiB/s"),
    ):
        shown = verdict_line(line, UNICODE, width).plain
        assert words in shown, shown
        assert columns(shown) == width


def test_a_nameless_frame_does_not_cost_a_leak_its_name() -> None:
    stripped = frame(None, module=Module("/usr/lib/libffi.so.8"))
    assert program_name(record("1" * 16, 1, 1, stripped, stripped, frame("call_it", "/srv/call.c", 7))) == (
        "call_it",
        "call.c:7",
    )
    assert program_name(record("1" * 16, 1, 1, stripped, frame("clone3", module=LIBC))) == ("", "")


def test_w_shows_all_the_evidence(tmp_path: Path) -> None:
    lines = judged("retention_frees", tmp_path)
    text = why_content(lines, UNICODE).plain
    for words in (
        "RETENTION",
        "whole pages that tcmalloc holds free: 3",
        "freed as whole pages in",
        "so an idle process releases nothing at any rate",
        "MallocExtension::ReleaseFreeMemory()",
        "RSS 33",
    ):
        assert words in text
    assert all(line.evidence for line in lines)


def test_where_nobody_can_be_asked_no_key_asks(tmp_path: Path) -> None:
    recording = load("retention_idle")
    folder = recording.write(tmp_path / "read")
    (retention, _) = look(folder, recording.seconds, live=False).diagnoses
    assert (retention.word, retention.key, retention.key_words) == ("RETENTION", "", "")
    folder = recording.write(tmp_path / "refused")
    writer = SessionWriter(folder)
    writer.add(GuestRow(70.0, 1, "refused", "tcmalloc", "cannot ask pid 4343", "gdb holds it", "leave gdb"))
    writer.commit()
    writer.close()
    state = look(folder, recording.seconds)
    assert state.diagnoses[0].key == ""
    facts = facts_of(state, None)
    assert facts is not None
    assert facts.not_asked == "cannot ask pid 4343: gdb holds it"
    writer = SessionWriter(folder)
    writer.add(
        GuestRow(70.5, 1, "ready", "mimalloc", "its figures do not tell", "it does not count", "z", "", "release")
    )
    writer.commit()
    writer.close()
    facts = facts_of(look(folder, recording.seconds), None)
    assert facts is not None
    assert facts.not_asked == "it does not count"
    assert facts.can.release


def test_a_release_is_read_from_its_event(tmp_path: Path) -> None:
    recording = load("released")
    folder = recording.write(tmp_path)
    at_s = next(row.at_s for row in recording.allocator if row.released_bytes > 300 * MIB)
    writer = SessionWriter(folder)
    for detail in ({"before_bytes": 408 * MIB, "after_bytes": 8 * MIB}, {"before_bytes": "much"}, {}):
        writer.add(Event(at_s, 1, EventKind.RELEASED.value, "released", json.dumps(detail)))
    writer.commit()
    writer.close()
    lines = look(folder, recording.seconds).diagnoses
    assert [line.word for line in lines] == ["STABLE", "RELEASED"]
    assert lines[1].sentence.startswith("400.0 MiB given back ")
    assert lines[1].sentence.endswith(" ago: 98 % of RSS was free memory kept")


def test_a_killed_run_says_what_it_died_of(tmp_path: Path) -> None:
    recording = load("leak_steady")
    folder = recording.write(tmp_path)
    writer = SessionWriter(folder)
    writer.add(RunEnd(at_s=recording.seconds, run=1, exit_code=None, signal="SIGKILL", oom_killed=1))
    writer.add(RunSettled(at_s=recording.seconds, run=1))
    writer.commit()
    writer.close()
    killed, leak = look(folder, recording.seconds + 60).diagnoses
    assert (killed.word, killed.key) == ("KILLED", "r")
    assert leak.word == "LEAK"
    assert leak.sentence.startswith("in use grew 0.5 MiB/s for ")
    assert leak.key == ""


def test_a_new_run_is_not_judged_by_the_figures_of_the_one_before(tmp_path: Path) -> None:
    recording = load("retention_idle")
    folder = recording.write(tmp_path)
    writer = SessionWriter(folder)
    end_s = recording.seconds
    writer.add(RunEnd(at_s=end_s, run=1, exit_code=0, signal=None, oom_killed=0))
    writer.add(Run(end_s + 1, 4400, "/x", "[]", "/", "off", None, "tcmalloc 2.10 preloaded", "{}", "[]"))
    writer.add(Sample(at_s=end_s + 1.1, run=2, rss_bytes=400 * MIB, shared_bytes=MIB, anon_bytes=399 * MIB))
    writer.commit()
    writer.close()
    state = look(folder, end_s + 2)
    assert [line.word for line in state.diagnoses] == ["LOOKING"]
    facts = facts_of(state, None)
    assert facts is not None
    assert not facts.allocator and len(facts.details) == 1


def test_what_is_in_use_is_known_from_before_the_newest_figures(tmp_path: Path) -> None:
    """A slow leak over a quarter of an hour: of its first ten minutes only the samples are kept."""
    folder = load("stable").write(tmp_path / "other").parent / "slow"
    recording = load("stable")
    stretched = replace(
        recording,
        samples=tuple(
            Sample(
                float(t),
                1,
                int((110 + 0.006 * t) * MIB),
                4 * MIB,
                in_use_bytes=int((100 + 0.006 * t) * MIB),
                kept_bytes=5 * MIB,
            )
            for t in range(901)
        ),
        allocator=tuple(
            AllocatorSample(float(t), 1, "tcmalloc", int((100 + 0.006 * t) * MIB), 4 * MIB, 0, 0, 0, MIB, 0, 1.0, 0.0)
            for t in range(901)
        ),
    )
    state = look(stretched.write(folder), 900.0)
    facts = facts_of(state, None)
    assert facts is not None
    assert facts.allocator[0].at_s > 600
    assert facts.in_use_before[0][0] < 60 and facts.in_use_before[-1][0] < facts.allocator[0].at_s
    assert [line.word for line in state.diagnoses] == ["LEAK"]


def test_two_checks_of_a_run_name_what_grew_between_them(tmp_path: Path) -> None:
    folder = several_reports.three_checks(tmp_path)
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + END_S, live=True)
    assert state.report is not None
    follower.take_report(*load_report_apart(folder, state.report.id))
    state = follower.poll(STARTED + END_S, live=True)
    follower.close()
    found = next(line for line in state.diagnoses if line.word == "LEAK")
    assert (
        "43.2 MiB in 11 184 objects, 1.2 MiB more in 60 s; most at open_session(Conn&) server.cpp:88" in found.sentence
    )
    assert any(
        "Frame::decode<Hello>(Buffer const&) codec.h:210, 907.2 KiB in 306 objects more" in e for e in found.evidence
    )


def test_a_report_that_came_live_is_compared_without_reading_the_one_before_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memtui.session.growth.SMALL_LEAKS", 0)
    assert SMALL_LEAKS > 0
    folder = several_reports.three_checks(tmp_path)
    follower = SessionFollower(folder)
    follower.poll(STARTED + END_S, live=True)
    for number in (2, 3):
        follower.take_report(*load_report_apart(folder, number))
    facts = follower.poll(STARTED + END_S, live=True)
    assert any("more in 60 s" in line.sentence for line in facts.diagnoses)
    # With the one before never read, and too large to be read at once, nothing is said of growth.
    other = SessionFollower(folder)
    other.poll(STARTED + END_S, live=True)
    other.take_report(*load_report_apart(folder, 3))
    assert not any("more in 60 s" in line.sentence for line in other.poll(STARTED + END_S, live=True).diagnoses)
    follower.close()
    other.close()


def test_every_verdict_has_a_glyph_that_ascii_can_show() -> None:
    from memtui_profiler.diagnosis.values import Diagnosis

    for verdict in Verdict:
        glyph = Diagnosis(verdict, "x").glyph
        assert len(glyph) == 1
        assert glyph == "?" or ASCII.plain(glyph) != "?"
