"""What a heap snapshot of a running process leaves behind, and what others can do with it meanwhile."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from memtui_profiler.asking.heap_profile import _INTERVALS, _NAMESPACES
from memtui_profiler.asking.target_files import COPY_BYTES, copy_dump
from memtui_profiler.asking.target_folder import TargetFolder, target_folder
from memtui_profiler.errors import UserError
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.process.file_user import FileUser, acting_as, user_of
from memtui_profiler.process.image import ProcessImage
from memtui_profiler.session.reports import load_report
from tests.fixtures.attached import attached, named_reports, running
from tests.fixtures.leaky import build
from tests.fixtures.live import Live, is_alive
from tests.fixtures.request_server import Client
from tests.fixtures.waiting import until

ANNE, BERT = 54321, 54322
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two other users")
# More in use at once than makes the profiler dump by itself, unless that is turned off.
BUSY = "burst 120 1024"


def as_user(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


@contextlib.contextmanager
def annes_server(environment: Mapping[str, str] | None = None) -> Iterator[tuple[int, Client, Path]]:
    """A server that is Anne's, and a folder of hers."""
    with tempfile.TemporaryDirectory(prefix="annes-") as name:
        folder = Path(name)
        shutil.copy(build("request_server").path, folder / "server")
        os.chown(folder, ANNE, ANNE)
        folder.chmod(0o755)
        with running([*as_user(ANNE), folder / "server", folder / "s"], environment=environment) as process:
            client = Client(folder / "s")
            try:
                yield process.pid, client, folder
            finally:
                client.close()


def memtuis_files() -> set[Path]:
    return set(Path("/tmp").glob("memtui-*"))


def snapshot(live: Live) -> None:
    assert live.ask("snapshot", deadline_s=60.0).ok


@as_root
def test_no_other_user_can_lay_a_link_where_the_target_writes(tmp_path: Path) -> None:
    """The attack: root watches Anne's server; Bert sees the first dump in /tmp and lays links at the next numbers."""
    before = memtuis_files()
    with annes_server() as (pid, client, folder):
        precious = folder / "precious"
        precious.write_text("Anne's own work\n")
        os.chown(precious, ANNE, ANNE)
        with attached(tmp_path, pid) as live:
            snapshot(live)
            client.ask(BUSY)
            snapshot(live)
            laid: list[str] = []
            for seen in memtuis_files() - before:
                stem = seen if seen.is_dir() else seen.with_name(seen.name.split(".")[0])
                names = [f"{stem}{join}{number:04}.heap" for join in ("/heap.", ".") for number in range(2, 6)]
                for name in names:
                    command = [*as_user(BERT), "ln", "-s", str(precious), name]
                    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                        laid.append(name)
            client.ask(BUSY)
            snapshot(live)
            named_reports(live, 2)
            written_to = [link for link in laid if Path(link).resolve() == precious and "/heap." in link]
        assert precious.read_text() == "Anne's own work\n"
        assert not written_to
        for link in laid:  # beside the folder Bert may have as many as he likes
            os.unlink(link)
        assert memtuis_files() <= before, "nothing is left in /tmp"


@as_root
def test_the_profiler_that_memtui_began_dumps_when_asked_and_is_ended(tmp_path: Path) -> None:
    before = memtuis_files()
    with annes_server() as (pid, client, _):
        image, memory = ProcessImage(pid), ProcessMemory(pid)
        names = [f"_ZN{space}{len(name)}{name}E" for space in _NAMESPACES for name in _INTERVALS]
        addresses = [at for at in map(image.address_of, names) if at is not None]
        intervals = [memory.read(at, 8) for at in addresses]
        assert struct.pack("<q", 1 << 30) in intervals
        with attached(tmp_path, pid) as live:
            snapshot(live)
            (made,) = memtuis_files() - before
            assert (made.stat().st_uid, made.stat().st_mode & 0o777) == (ANNE, 0o700)
            for _ in range(3):
                client.ask(BUSY)
            assert list(made.iterdir()) == []
            snapshot(live)
            assert list(made.iterdir()) == [], "what was written is fetched"
            named_reports(live, 1)
        assert not made.exists()
        assert [memory.read(at, 8) for at in addresses] == intervals
        memory.close()


def test_after_the_recorders_death_nobody_goes_on_writing(tmp_path: Path) -> None:
    program, path = build("request_server").path, tmp_path / "s"
    with running([program, path]) as process, contextlib.ExitStack() as left:
        client = Client(path)
        live = left.enter_context(attached(tmp_path / "first", process.pid))
        snapshot(live)
        client.ask(BUSY)
        snapshot(live)
        named_reports(live, 1)
        os.kill(live.recorder_pid, signal.SIGKILL)
        until(lambda: not is_alive(live.recorder_pid), "the recorder is dead")
        files = sorted(path for path in live.folder.rglob("*.heap"))
        for _ in range(3):
            client.ask(BUSY)
        assert sorted(live.folder.rglob("*.heap")) == files and len(files) == 1
        # A later one begins the profiler anew.
        with attached(tmp_path / "second", process.pid) as again:
            snapshot(again)
            client.ask("leak 20")
            snapshot(again)
            assert load_report(again.reader, named_reports(again, 1)[0]).total_objects >= 20
        client.close()


@as_root
@pytest.mark.parametrize("what", ["link", "file"])
@pytest.mark.whole_dumps
def test_a_check_writes_through_no_link_that_another_user_has_laid(tmp_path: Path, what: str) -> None:
    """The attack: the name of a dump is known before it is written, and /tmp is where it goes unless somebody says otherwise."""
    checked = {"HEAPCHECK": "normal", "PPROF_PATH": "/bin/true", "TCMALLOC_STACKTRACE_METHOD": "libgcc"}
    with tempfile.TemporaryDirectory(prefix="shared-") as shared:
        Path(shared).chmod(0o1777)
        with annes_server({**checked, "HEAP_CHECK_DUMP_DIRECTORY": shared}) as (pid, client, folder):
            client.ask("leak 100")
            precious = folder / "precious"
            precious.write_text("Anne's own work\n")
            os.chown(precious, ANNE, ANNE)
            dump = Path(shared) / f"server.{pid}._main_-end.heap"
            lay = ["ln", "-s", str(precious), str(dump)] if what == "link" else ["touch", str(dump)]
            subprocess.run([*as_user(BERT), *lay], check=True)
            with attached(tmp_path, pid) as live:
                refused = live.ask("check", deadline_s=60.0)
                assert refused.error is not None and "no file of its user" in str(refused.error)
                assert precious.read_text() == "Anne's own work\n"
                dump.unlink()
                assert live.ask("check", deadline_s=60.0).ok
                assert load_report(live.reader, named_reports(live, 1)[0]).total_objects >= 95
            assert os.listdir(shared) == []


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[TargetFolder]:
    folder = target_folder(os.getpid(), tmp_path)
    yield folder
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_only_plain_files_are_taken_out_of_the_folder(
    own_folder: TargetFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inside, outside = Path(own_folder.path), tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    (inside / "good.heap").write_text("good")
    os.mkfifo(inside / "pipe.heap")
    (inside / "link.heap").symlink_to(outside / "secret")
    os.link(outside / "secret", inside / "hard.heap")
    assert list(own_folder.versions()) == ["good.heap"]
    for name in ("pipe.heap", "link.heap"):
        with pytest.raises(OSError, match=r"regular|symbolic"):
            own_folder.move_out(name, outside / "taken")
        assert not (outside / "taken").exists()
    own_folder.move_out("good.heap", outside / "taken")
    assert (outside / "taken").read_text() == "good" and not (inside / "good.heap").exists()


@as_root
def test_root_reads_and_deletes_as_the_targets_user() -> None:
    with tempfile.TemporaryDirectory(prefix="annes-") as name:
        root_only, theirs = Path(name, "root-only"), Path(name, "theirs")
        root_only.write_text("secret")
        root_only.chmod(0o600)
        theirs.mkdir()
        os.chown(theirs, ANNE, ANNE)
        Path(name).chmod(0o755)
        with acting_as(FileUser(ANNE, ANNE)):
            with pytest.raises(PermissionError):
                root_only.read_text()
            with pytest.raises(PermissionError):
                root_only.unlink()
            (theirs / "made").touch()
        assert (theirs / "made").stat().st_uid == ANNE
        assert root_only.read_text() == "secret"
        assert user_of(os.getpid()) == (0, 0)


@as_root
def test_a_tmp_that_leads_elsewhere_or_where_all_may_rename_is_not_used(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "var/tmp").mkdir(parents=True)
    source = tmp_path / "sleep.c"
    source.write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    subprocess.run(["gcc", "-static", "-o", root / "sleep", source], check=True)
    (root / "tmp").symlink_to(elsewhere)
    with running(["chroot", f"--userspec={ANNE}:{ANNE}", root, "/sleep"], preload="") as process:
        until(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("/sleep"), "it runs in its root")
        for mode in (0o777, 0o755):
            (root / "var/tmp").chmod(mode)
            with pytest.raises(UserError, match="no folder to write to"):
                target_folder(process.pid, tmp_path)
        (root / "var/tmp").chmod(0o1777)
        folder = target_folder(process.pid, tmp_path)
        assert folder.path.startswith("/var/tmp/memtui-")
        (made,) = (root / "var/tmp").iterdir()
        assert made.stat().st_uid == ANNE
        folder.close()
        assert not made.exists() and list(elsewhere.iterdir()) == []


def test_a_dump_that_cannot_be_copied_whole_leaves_nothing(tmp_path: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(3 * COPY_BYTES))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (COPY_BYTES, limits[1]))
    try:
        with source.open("rb") as stream, pytest.raises(OSError, match="too large"):
            copy_dump(stream, "source", destination)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not destination.exists()
    with source.open("rb") as stream:
        copy_dump(stream, "source", destination)
        with pytest.raises(FileExistsError):
            copy_dump(stream, "source", destination)
    assert destination.stat().st_size == 3 * COPY_BYTES
