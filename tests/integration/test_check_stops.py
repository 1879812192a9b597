"""What memtui says of a program that it stops, or that ends too early: never less, and never worse, than what is true."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fixtures.command_line import run_memtui
from tests.fixtures.leaky import build
from tests.fixtures.waiting import until

KEEPS_FREE_MEMORY = ["--check", "normal", "--env", "TCMALLOC_RELEASE_RATE=0"]

FOUND_NOTHING = [
    pytest.param("normal", "", marks=pytest.mark.heap_checker),
    pytest.param("normal", "exits", marks=pytest.mark.heap_checker),
    ("lsan", ""),
    ("lsan", "exits"),
    ("memcheck", ""),
    ("memcheck", "exits"),
]


@pytest.mark.parametrize(("mode", "manner"), FOUND_NOTHING)
def test_what_is_reachable_while_it_runs_is_no_leak_when_memtui_stops_it(
    tmp_path: Path, mode: str, manner: str
) -> None:
    """Static destructors that run beside its threads give up all that the program holds (gperftools' alone says so, too)."""
    program = build("reachable_server").path
    words = ["check", "--check", mode, "--for", "2", "--format", "json", str(program), *filter(None, [manner])]
    result = run_memtui(tmp_path, words)
    document = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert document["status"] == "complete"
    assert not [leak for leak in document["leaks"] if leak["kind"] != "still-reachable"]


def test_a_profile_of_a_program_that_memtui_stops_ends_with_a_whole_snapshot(tmp_path: Path) -> None:
    program = build("reachable_server").path
    result = run_memtui(tmp_path, ["check", "--check", "profile", "--for", "2", "--format", "json", str(program)])
    document = json.loads(result.stdout)
    assert (result.returncode, document["status"]) == (0, "complete"), result.stderr
    assert document["total"]["bytes"] > 1 << 20  # the one of its start has some bytes


@pytest.mark.heap_checker
def test_a_leak_is_found_before_the_stop(tmp_path: Path) -> None:
    program = build("server")
    for mode in ("normal", "lsan"):
        words = ["check", "--check", mode, "--for", "2", "--format", "json", str(program.path)]
        result = run_memtui(tmp_path, words)
        document = json.loads(result.stdout)
        assert result.returncode == 1
        # One of its blocks may still be on a stack.
        assert document["total"]["objects"] in (program.leaks[0].objects, program.leaks[0].objects - 1)


@pytest.mark.heap_checker
def test_without_a_thread_in_it_the_report_comes_from_its_own_exit(tmp_path: Path) -> None:
    program = build("server")
    words = [
        "check",
        "--check",
        "draconian",
        "--no-guest",
        "--for",
        "1",
        "--format",
        "json",
        str(program.path),
        "clean",
    ]
    result = run_memtui(tmp_path, words)
    assert result.returncode == 1
    assert json.loads(result.stdout)["total"]["objects"] >= program.leaks[0].objects


def test_the_last_whole_report_of_a_program_that_crashed_is_shown_as_such(tmp_path: Path) -> None:
    program = build("reachable_server").path
    environment = ["--env", "HEAP_PROFILE_INUSE_INTERVAL=1000000"]
    words = ["check", "--keep", "--check", "profile", *environment, "--format", "json", str(program), "crashes", "4000"]
    result = run_memtui(tmp_path, words)
    document = json.loads(result.stdout)
    assert result.returncode == 4 and "SIGABRT" in result.stderr
    assert (document["status"], document["run"]["signal"]) == ("complete", "SIGABRT")
    assert document["total"]["bytes"] > 1 << 20
    assert document["notes"][0].startswith("the last whole report, of ")
    assert "SIGABRT ended the program" in document["notes"][0]
    session = result.stderr.rpartition("session kept: ")[2].strip()
    opened = run_memtui(tmp_path, ["open", session, "--format", "text"])
    assert "note: the last whole report, of " in opened.stdout


def test_plain_lines_end_with_the_last_whole_report(tmp_path: Path) -> None:
    program = build("reachable_server").path
    words = ["--plain", "--check", "profile", "--env", "HEAP_PROFILE_INUSE_INTERVAL=1000000", "--"]
    lines = run_memtui(tmp_path, [*words, str(program), "crashes", "4000"]).stdout
    assert "note: the last whole report, of " in lines and "in use in" in lines


def test_running_threads_hold_their_storage_for_memcheck_and_ended_ones_do_not(tmp_path: Path) -> None:
    """Valgrind calls both possibly lost; only threads that have ended and were not joined are a leak."""
    source = tmp_path / "threads.c"
    source.write_text(
        "#include <pthread.h>\n#include <unistd.h>\n"
        "static void *run(void *ends) { while (!ends) sleep(1); return 0; }\n"
        "int main(int count, char **words) { pthread_t thread;"
        " for (int n = 0; n < 3; n++) pthread_create(&thread, 0, run, count > 1 ? words : 0);"
        " for (;;) sleep(1); }\n".replace("\\\n", "\n")
    )
    program = tmp_path / "threads"
    subprocess.run(["gcc", "-g", "-pthread", str(source), "-o", str(program)], check=True)
    check = ["check", "--check", "memcheck", "--for", "3", "--format", "json", str(program)]
    running, ended = (run_memtui(tmp_path, [*check, *words]) for words in ([], ["end"]))
    assert running.returncode == 0, running.stdout
    assert ended.returncode == 1 and "possibly-lost" in ended.stdout


@pytest.mark.heap_checker
def test_a_check_that_sees_next_to_nothing_of_the_memory_has_no_result(tmp_path: Path) -> None:
    check = ["check", *KEEPS_FREE_MEMORY, "--for", "2", "--format", "json", str(build("own_arena").path)]
    unseen, freed = (run_memtui(tmp_path, [*check, *words]) for words in ([], ["freed"]))
    document = json.loads(unseen.stdout)
    assert (unseen.returncode, document["status"]) == (3, "not-run"), unseen.stderr
    (note,) = [note for note in document["notes"] if "anonymous memory" in note]
    assert re.search(r"holds [\d.]+ [KM]iB of [4-6]\d\.\d MiB of anonymous memory", note)
    # Free memory that the allocator keeps is of the malloc that is checked.
    assert (freed.returncode, json.loads(freed.stdout)["status"]) == (0, "complete"), freed.stderr


@pytest.mark.heap_checker
def test_a_check_at_exit_tells_what_it_did_not_see(tmp_path: Path) -> None:
    """Of the free memory of its own malloc it says nothing, where that malloc told what it held."""
    program = str(build("own_arena").path)
    unseen, freed = (
        run_memtui(tmp_path, ["check", *KEEPS_FREE_MEMORY, "--format", "json", program, how, "5"])
        for how in ("mapped", "freed")
    )
    document = json.loads(unseen.stdout)
    assert (unseen.returncode, document["status"]) == (0, "complete"), unseen.stderr
    (note,) = [note for note in document["notes"] if "of anonymous memory" in note]
    assert re.search(r"held, while the process ran, [\d.]+ [KM]iB of [4-6]\d\.\d MiB of anonymous memory", note)
    assert 0 < document["seen_bytes"] < 4 << 20
    document = json.loads(freed.stdout)
    assert (freed.returncode, document["status"]) == (0, "complete"), freed.stderr
    assert "seen_bytes" not in document and not [note for note in document["notes"] if "of anonymous memory" in note]


@pytest.mark.heap_checker
@pytest.mark.parametrize("how", ["mapped", "freed"])
def test_where_the_malloc_was_not_asked_both_explanations_are_told(tmp_path: Path, how: str) -> None:
    program = str(build("own_arena").path)
    result = run_memtui(tmp_path, ["check", *KEEPS_FREE_MEMORY, "--no-guest", program, how, "1"])
    first, note, *_ = [line for line in result.stdout.splitlines() if line.startswith(("no leaks", "note:"))]
    assert result.returncode == 0, result.stderr
    assert re.match(r"no leaks found in the [\d.]+ KiB that the check saw \(heapcheck normal, ", first)
    assert re.search(r"saw [\d.]+ KiB, and the process had up to [4-6]\d\.\d MiB of anonymous memory", note)
    assert "was freed before" in note and "has mapped itself" in note


def test_lsan_does_not_say_how_much_it_saw(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["check", "--check", "lsan", str(build("own_arena").path), "mapped", "1"])
    assert result.returncode == 0, result.stderr
    assert re.search(r"does not say how much of up to [4-6]\d\.\d MiB of anonymous memory it saw", result.stdout)


@contextmanager
def under_valgrind(*command: str) -> Iterator[int]:
    """The pid of a program that somebody has started under valgrind, once that can be asked."""
    process = subprocess.Popen(["valgrind", *command], stderr=subprocess.DEVNULL)
    try:
        maps = Path(f"/proc/{process.pid}/maps")
        until(lambda: "vgpreload_memcheck" in maps.read_text() and "libc.so" in maps.read_text(), "valgrind runs it")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_a_process_that_somebody_runs_under_valgrind_is_asked_for_valgrinds_own_check(tmp_path: Path) -> None:
    """It has no heap checker, and its program is valgrind's, a static one: neither is what a user has asked about."""
    source, leaking = tmp_path / "leak.c", tmp_path / "leak"
    source.write_text(
        "#include <stdlib.h>\n#include <unistd.h>\n"
        "void *volatile kept;\nint main(void) { kept = malloc(4321); kept = 0; for (;;) sleep(1); }\n"
    )
    subprocess.run(["gcc", "-O0", str(source), "-o", str(leaking)], check=True)
    for program, code in ((build("reachable_server").path, 0), (leaking, 1)):
        with under_valgrind(str(program)) as pid:

            def checked(pid: int = pid, code: int = code) -> bool:
                done = run_memtui(tmp_path, ["attach", str(pid), "--check-now", "--format", "json"])
                document = json.loads(done.stdout)
                assert document["checker"] == "memcheck" or done.returncode == 3, done.stderr
                return done.returncode == code and bool(document["leaks"])

            until(checked, f"the check ends with {code}")
