import re
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memtui_profiler.checkers.ending import Ended, Output, Source, numbered_by_pid
from memtui_profiler.events import EventKind
from memtui_profiler.run.active_run import conclude, exit_event

ACTIVE = b"WARNING: Perftools heap leak checker is active -- Performance may suffer\n"
NO_LEAKS = (
    b'No leaks found for check "_main_" (but no 100% guarantee that there aren\'t any): '
    b"found 4 reachable heap objects of 72720 bytes\n"
)
CLEAN = Ended(
    pid=10,
    mode="normal",
    exit_code=0,
    signal=None,
    oom_killed=False,
    stopped_by_memtui=False,
    stderr=ACTIVE + NO_LEAKS,
    follow_children=False,
)
OWN, CHILDS = (Output(Path(f"/r/p.{pid}._main_-end.heap"), pid) for pid in (10, 11))
LOCAL = Output(Path("/r/p.10.cache-end.heap"), 10, whole_program=False)


def killed(number: signal.Signals, *, by_memtui: bool = False) -> Ended:
    return replace(CLEAN, exit_code=None, signal=number.name, stderr=ACTIVE, stopped_by_memtui=by_memtui)


def test_off_asks_for_nothing() -> None:
    conclusion = conclude(replace(CLEAN, mode="off", outputs=(OWN,)))
    assert (conclusion.sources, conclusion.no_report) == ((), "")


def test_a_dump_is_collected() -> None:
    assert conclude(replace(CLEAN, outputs=(OWN,))).sources == (Source(10, OWN.path),)


def test_without_leaks_the_log_is_the_report() -> None:
    assert conclude(CLEAN).sources == (Source(10, None),)


def test_a_report_that_lsan_cannot_write_is_the_reason_and_not_a_kill() -> None:
    said = b"clean stop\nERROR: Can't open file: /s/runs/1/lsan.10 (reason: 13)"
    ended = replace(killed(signal.SIGKILL, by_memtui=True), mode="lsan", stderr=said)
    why = conclude(ended).no_report
    assert why.startswith("LeakSanitizer cannot write its report to /s/runs/1/lsan.10: Permission denied")
    assert "killed it" in conclude(replace(ended, stderr=b"")).no_report


def test_a_dump_counts_whatever_killed_the_target_afterwards() -> None:
    assert conclude(replace(killed(signal.SIGKILL), outputs=(OWN,))).sources == (Source(10, OWN.path),)


def test_children_are_told_apart_by_pid() -> None:
    both = replace(CLEAN, outputs=(OWN, CHILDS))
    assert conclude(both).sources == (Source(10, OWN.path),)
    assert "--follow-children" in conclude(both).notes[0]
    followed = conclude(replace(both, follow_children=True))
    assert followed.sources == (Source(10, OWN.path), Source(11, CHILDS.path))
    assert followed.notes == ()


def test_a_childs_dump_is_not_the_programs_report() -> None:
    conclusion = conclude(replace(CLEAN, outputs=(CHILDS,), stderr=ACTIVE))
    assert conclusion.sources == ()
    assert "_exit()" in conclusion.no_report


def test_local_takes_the_programs_own_checks_and_other_modes_do_not() -> None:
    assert conclude(replace(CLEAN, mode="local", outputs=(LOCAL,))).sources == (Source(10, LOCAL.path),)
    assert conclude(replace(CLEAN, outputs=(LOCAL, OWN))).sources == (Source(10, OWN.path),)


def memcheck(tmp_path: Path, text: str, **changes: Any) -> Ended:
    path = tmp_path / "memcheck.10.xml"
    path.write_text(text)
    return replace(CLEAN, mode="memcheck", stderr=b"", outputs=(Output(path, 10),), **changes)


WHOLE = "<valgrindoutput>\n<status>\n</valgrindoutput>\n\n"


def test_valgrinds_report_of_a_program_that_executed_another_says_nothing(tmp_path: Path) -> None:
    conclusion = conclude(memcheck(tmp_path, "<valgrindoutput>\n<status>\n"))
    assert conclusion.sources == ()
    assert "executed another" in conclusion.no_report and "--follow-children" in conclusion.no_report
    killed_by = replace(memcheck(tmp_path, "<valgrindoutput>\n"), exit_code=None, signal="SIGKILL")
    assert conclude(killed_by).sources, "what it had found by then"
    assert conclude(memcheck(tmp_path, WHOLE)).sources == (Source(10, tmp_path / "memcheck.10.xml"),)


def test_what_valgrind_had_found_before_another_was_executed_stays(tmp_path: Path) -> None:
    conclusion = conclude(memcheck(tmp_path, "<valgrindoutput>\n<status>\n<error>\n</error>\n"))
    assert conclusion.sources == (Source(10, tmp_path / "memcheck.10.xml"),)
    assert conclusion.no_report == "" and "executed another" in conclusion.notes[0]


@pytest.mark.parametrize(
    "words", [b"==10== Valgrind cannot continue.  Sorry.\n", b"valgrind: the 'impossible' happened:\n"]
)
def test_a_valgrind_that_gives_up_is_not_taken_for_another_program(tmp_path: Path, words: bytes) -> None:
    ended = replace(memcheck(tmp_path, "<valgrindoutput>\n"), exit_code=1, stderr=words)
    conclusion = conclude(ended)
    assert "valgrind itself gave up" in conclusion.no_report and "exec" not in conclusion.no_report


def test_of_a_script_memcheck_sees_the_interpreter_alone(tmp_path: Path) -> None:
    (note,) = conclude(memcheck(tmp_path, WHOLE, script=True)).notes
    assert "--follow-children" in note
    assert conclude(memcheck(tmp_path, WHOLE, script=True, follow_children=True)).notes == ()
    assert conclude(memcheck(tmp_path, WHOLE)).notes == ()


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (killed(signal.SIGTERM), ("SIGTERM", "handler")),
        (killed(signal.SIGKILL), ("SIGKILL ended it",)),
        (killed(signal.SIGKILL, by_memtui=True), ("memtui killed it",)),
        (replace(killed(signal.SIGKILL), oom_killed=True), ("OOM killer",)),
        (killed(signal.SIGSEGV), ("crashed with SIGSEGV",)),
        (replace(CLEAN, stderr=ACTIVE), ("_exit()",)),
        (replace(CLEAN, stderr=b""), ("never spoke",)),
        (replace(CLEAN, stderr=ACTIVE, followed=True), ("only forked",)),
        (replace(CLEAN, stderr=b"", mode="local"), ("HeapLeakChecker objects",)),
        (replace(CLEAN, stderr=b"Someone is ptrace()ing us; will turn itself off\n"), ("turned itself off", "tracer")),
    ],
)
def test_why_there_is_no_report(ended: Ended, words: tuple[str, ...]) -> None:
    conclusion = conclude(ended)
    assert conclusion.sources == ()
    for word in words:
        assert word in conclusion.no_report


def test_how_it_ended_is_an_event() -> None:
    assert exit_event(CLEAN) == (EventKind.EXITED, "pid 10 exited with code 0", {"exit_code": 0})
    assert exit_event(killed(signal.SIGSEGV))[0] is EventKind.KILLED
    assert exit_event(replace(killed(signal.SIGKILL), oom_killed=True))[0] is EventKind.OOM_KILLED
    assert "nobody knows" in exit_event(replace(CLEAN, exit_code=None))[1]
    unsure = exit_event(replace(killed(signal.SIGKILL), oom_unsure=True))
    assert unsure[1] == "pid 10 was killed by SIGKILL; whether by the OOM killer cannot be told"


def test_a_silent_leak_sanitizer_is_no_clean_bill() -> None:
    """It begins with the first allocation: a program without one looks like one that skipped the check by _exit()."""
    conclusion = conclude(replace(CLEAN, mode="lsan", stderr=b""))
    assert conclusion.sources == ()
    assert "_exit()" in conclusion.no_report and "never allocated" in conclusion.no_report


def test_a_folder_that_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "7.log").touch()
    name = re.compile(r"(?P<pid>\d+)\.log")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            numbered_by_pid(tmp_path, name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [output.pid for output in numbered_by_pid(tmp_path, name)] == [7]
    assert numbered_by_pid(tmp_path / "gone", name) == []
