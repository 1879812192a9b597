from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memtui_profiler.checkers import heapcheck
from memtui_profiler.checkers.growth import GROWTH
from memtui_profiler.errors import EXIT_UNAVAILABLE, UserError
from memtui_profiler.launch.preflight import Preflight, preflight, require
from memtui_profiler.request import CHECK_OFF, RELEASE_RATE
from memtui_profiler.target.program import resolve_target
from memtui_profiler.target.program_facts import privileges
from tests.fixtures.gperftools import has_heap_checker, library, version
from tests.fixtures.leaky import build
from tests.fixtures.tcmalloc_variants import library_without_checker, program

FULL = library("libtcmalloc.so.4")
MINIMAL = library("libtcmalloc_minimal.so.4")
PATH = "/bin:/usr/bin"
FROM_OUTSIDE = "--check growth works here: what grows, by stack"
NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")


def found(
    *argv: str | Path, mode: str = "draconian", tcmalloc: str = "auto", environment: Mapping[str, str] | None = None
) -> Preflight:
    target = resolve_target(tuple(map(str, argv)), "/", PATH)
    return preflight(target, mode=mode, tcmalloc=tcmalloc, environment=environment or {})


def refusal(result: Preflight, mode: str = "draconian") -> UserError:
    with pytest.raises(UserError) as caught:
        require(result, mode)
    assert caught.value.exit_code == EXIT_UNAVAILABLE
    assert caught.value.what.startswith(f"--check {mode} cannot work on ")
    return caught.value


def dumps_of(path: Path, result: Preflight, folder: Path) -> list[Path]:
    """What a run of this program leaves, launched as the preflight says."""
    environment = {"PATH": PATH, **heapcheck.environment("draconian", folder, {})}
    if result.preload:
        environment["LD_PRELOAD"] = result.preload
    run = subprocess.Popen([path], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run.wait(60)
    return heapcheck.dumps(folder, run.pid)


ALLOCATORS = {
    "basic": "tcmalloc VERSION preloaded",
    "linked": "tcmalloc VERSION linked",
    "linked_minimal": "tcmalloc_minimal VERSION linked",
    "built_in": "tcmalloc VERSION built in",
    "built_in_stripped": "tcmalloc VERSION built in",
    "built_in_minimal": "tcmalloc_minimal VERSION built in",
    "built_in_profiler": "tcmalloc VERSION built in",
    "static": "glibc malloc",
    "static_pie": "glibc malloc",
    "static_tcmalloc": "tcmalloc VERSION built in",
    "asan": "AddressSanitizer",
    "jemalloc": "tcmalloc VERSION preloaded",
}


@pytest.mark.parametrize("variant", ALLOCATORS)
def test_a_check_that_is_promised_leaves_a_report_and_one_that_is_refused_would_not(
    variant: str, tmp_path: Path
) -> None:
    path = program(variant)
    result = found(path)
    expected = ALLOCATORS[variant].replace("VERSION", version())
    if expected.endswith("built in") and not has_heap_checker():
        expected = expected.replace("_minimal", "")
    assert result.allocator == expected
    promised = result.capability("draconian").available
    assert bool(dumps_of(path, result, tmp_path)) == promised
    assert {result.capability(mode).available for mode in (known.name for known in heapcheck.MODES)} == {promised}
    if promised:
        require(result, "draconian")
    else:
        refusal(result)
    require(result, CHECK_OFF)


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_library_in_place_is_kept_and_the_other_is_offered() -> None:
    result = found(program("linked_minimal"))
    assert result.preload is None
    error = refusal(result)
    assert error.why == f"{MINIMAL} is the minimal tcmalloc, which never had the heap checker"
    assert error.todo == f"--tcmalloc {FULL}; --check memcheck works here, 20 to 50 times slower"
    assert result.capability(RELEASE_RATE).available


@pytest.mark.heap_checker
def test_what_is_offered_works(tmp_path: Path) -> None:
    result = found(program("linked_minimal"), tcmalloc=FULL)
    assert (result.preload, result.allocator) == (FULL, f"tcmalloc {version()} preloaded")
    require(result, "draconian")
    assert dumps_of(program("linked_minimal"), result, tmp_path)


@pytest.mark.heap_checker
def test_a_library_without_the_checker_is_refused_before_the_launch() -> None:
    newer = str(library_without_checker())
    error = refusal(found(program("basic"), tcmalloc=newer), "normal")
    assert error.why == f"{newer} (2.17.2) has no heap checker: gperftools 2.17 removed it"
    assert error.todo == f"--tcmalloc {FULL}; --check lsan works here"
    preloaded = found(program("basic"), tcmalloc=newer, mode=CHECK_OFF)
    assert (preloaded.preload, preloaded.allocator) == (newer, "tcmalloc 2.17.2 preloaded")
    in_place = found(program("linked"), environment={"LD_LIBRARY_PATH": os.path.dirname(newer)})
    assert in_place.preload is None
    # valgrind never ends with 2.17 in the program, and a preload before an allocator takes the checker away.
    assert refusal(in_place).todo == f"--tcmalloc {FULL}; {FROM_OUTSIDE}"


@pytest.mark.heap_checker
def test_tcmalloc_off_adds_nothing() -> None:
    result = found(program("basic"), tcmalloc="off")
    assert (result.preload, result.allocator) == (None, "glibc malloc")
    assert refusal(result).todo == "leave --tcmalloc off out; --check lsan works here"
    assert not result.capability(RELEASE_RATE).available
    linked = found(program("linked"), tcmalloc="off")
    assert linked.preload is None and linked.capability("normal").available
    assert found(program("jemalloc"), tcmalloc="off").allocator == "jemalloc"


def test_a_launch_without_a_check_leaves_another_allocator_in_its_place() -> None:
    left = found(program("jemalloc"), mode=CHECK_OFF)
    assert (left.allocator, left.preload) == ("jemalloc", None)
    assert left.notes == ("the program brings jemalloc, and memtui puts nothing before it (--tcmalloc PATH does)",)
    rate = left.capability(RELEASE_RATE)
    assert (rate.available, rate.reason) == (
        False,
        "it brings jemalloc, which has none, and memtui leaves it in its place",
    )
    path = rate.remedy.partition("--tcmalloc ")[2]
    asked = found(program("jemalloc"), mode=CHECK_OFF, tcmalloc=path)
    assert asked.preload == path and asked.capability(RELEASE_RATE).available
    assert found(program("basic"), mode=CHECK_OFF).preload is not None


def test_another_allocator_pushed_aside_is_told() -> None:
    notes = found(program("jemalloc")).notes
    expected = (
        f"the program brings jemalloc; memtui puts tcmalloc {version()} before it (--tcmalloc off leaves it alone)"
    )
    assert notes == (expected,)
    assert found(program("basic")).notes == ()


@pytest.mark.heap_checker
def test_a_tcmalloc_of_the_users_own_ld_preload_is_kept() -> None:
    result = found(program("basic"), environment={"LD_PRELOAD": f"/lib/x86_64-linux-gnu/libm.so.6:{MINIMAL}"})
    assert (result.preload, result.allocator) == (None, f"tcmalloc_minimal {version()} preloaded")
    assert refusal(result).todo.startswith(f"--tcmalloc {FULL}; ")


def test_a_static_program_is_told_what_it_is() -> None:
    result = found(build("static").path)
    assert result.preload is None
    assert (
        refusal(result).why
        == "it is statically linked: no loader takes LD_PRELOAD, and the heap checker turns itself off"
    )
    assert not result.capability(RELEASE_RATE).available
    assert found(program("static_tcmalloc")).capability(RELEASE_RATE).available
    assert found(build("static").path, tcmalloc=FULL).preload is None


@pytest.mark.parametrize("variant", ["static", "static_pie", "static_tcmalloc"])
@pytest.mark.whole_dumps
def test_where_nothing_can_work_that_is_said(variant: str) -> None:
    result = found(program(variant))
    assert result.checks == {GROWTH}, "whose page faults are watched from outside"
    assert refusal(result).todo == f"link it dynamically; {FROM_OUTSIDE}"
    for mode in ("lsan", "memcheck"):
        assert refusal(result, mode).todo == f"link it dynamically; {FROM_OUTSIDE}"


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of this test that every user can reach."""
    folder = Path("/tmp") / f"memtui-preflight-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def given_away(source: Path, to: Path, *, uid: int = -1, gid: int = -1, mode: int) -> Path:
    shutil.copy(source, to)
    os.chown(to, uid, gid)
    to.chmod(mode)
    return to


@as_root
def test_a_setuid_program_is_refused(open_folder: Path) -> None:
    for variant in ("basic", "linked"):
        path = given_away(program(variant), open_folder / variant, uid=NOBODY, mode=0o4755)
        result = found(path)
        why = "it is setuid to another user: the loader ignores LD_PRELOAD, and gperftools HEAPCHECK"
        assert refusal(result).why == why
        assert result.preload is None
        assert dumps_of(path, result, open_folder) == []
        assert found(path, tcmalloc=FULL).preload is None
        assert result.checks == {GROWTH}, "HEAPPROFILE is ignored too, and valgrind starts no such program"
        assert refusal(result).todo.endswith(f"a copy of it without the privilege; {FROM_OUTSIDE}")
    # Linked in, the library reads the release rate in a setuid program too.
    assert result.capability(RELEASE_RATE).available


@as_root
@pytest.mark.heap_checker
def test_a_setgid_program_can_be_checked_where_the_library_is_linked(open_folder: Path) -> None:
    path = given_away(program("basic"), open_folder / "basic", gid=NOBODY, mode=0o2755)
    result = found(path)
    assert refusal(result).why == "it is setgid to another group: the loader ignores LD_PRELOAD"
    assert dumps_of(path, result, open_folder) == []
    linked = given_away(program("linked"), open_folder / "linked", gid=NOBODY, mode=0o2755)
    require(found(linked), "draconian")
    assert dumps_of(linked, found(linked), open_folder)


@as_root
@pytest.mark.heap_checker
def test_a_privilege_that_changes_nothing_here_is_a_note(open_folder: Path) -> None:
    path = given_away(program("basic"), open_folder / "basic", uid=os.getuid(), mode=0o4755)
    result = found(path)
    require(result, "draconian")
    assert "is setuid, setgid or has capabilities" in result.notes[0]
    assert dumps_of(path, result, open_folder)
    # Without execute permission for the group, the bit means mandatory locking instead.
    assert privileges(str(given_away(program("basic"), open_folder / "locked", gid=NOBODY, mode=0o2705))) is None


@as_root
def test_file_capabilities_count_for_those_who_are_not_root(open_folder: Path) -> None:
    path = given_away(program("basic"), open_folder / "basic", mode=0o755)
    # struct vfs_cap_data of version 2: effective flag, then CAP_NET_BIND_SERVICE permitted.
    os.setxattr(path, "security.capability", bytes.fromhex("01000002 00040000 00000000 00000000 00000000"))
    assert privileges(str(path)) is None
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        privilege = privileges(str(path))
        assert privilege is not None and privilege.words == "it has file capabilities"
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("name", ["valgrind", "strace", "gdb"])
def test_under_a_tracer_the_checker_would_turn_itself_off(name: str, tmp_path: Path) -> None:
    os.symlink(program("basic"), tmp_path / name)
    result = found(tmp_path / name, program("basic"))
    assert result.preload is None
    assert name in refusal(result).why
    assert not result.capability(RELEASE_RATE).available


def test_a_wrapper_and_a_script_are_named() -> None:
    assert found("env", program("basic")).notes[0].startswith("env starts another program")
    assert found("env").notes == ()
    assert found(build("script").path).notes[0].startswith("a script: the target is its interpreter /bin/")


def test_an_inherited_check_is_not_silently_dropped() -> None:
    (note,) = found(program("basic"), mode=CHECK_OFF, environment={"HEAPCHECK": "normal"}).notes
    assert note == "HEAPCHECK of your environment is not passed on: --check says off"
    assert found(program("basic"), environment={"HEAPCHECK": "normal"}).notes == ()
    assert found(program("basic"), environment={"HEAP_CHECK_IDENTIFY_LEAKS": "true"}).notes
    assert not found(program("basic"), environment={"HEAP_CHECK_IDENTIFY_LEAKS": "0"}).notes


def test_a_wrong_library_is_refused_whatever_the_mode() -> None:
    with pytest.raises(UserError, match="it is not an ELF library"):
        found(program("basic"), mode=CHECK_OFF, tcmalloc="/etc/passwd")
    with pytest.raises(UserError, match="it does not exist"):
        found(program("linked"), mode=CHECK_OFF, tcmalloc="/no/such.so")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_program_gets_an_answer_or_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    image = bytearray(program("linked").read_bytes())
    # The headers, then the dynamic section's strings: what the answers are made of.
    for _ in range(data.draw(st.integers(1, 8))):
        image[data.draw(st.integers(4, 0x1000))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(image[: data.draw(st.sampled_from([len(image), 0x800, 100]))])
    path.chmod(0o755)
    try:
        result = found(path)
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert all(text.isprintable() for text in (result.allocator, *result.notes))
