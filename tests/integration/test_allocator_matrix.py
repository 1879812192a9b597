"""Programs with every allocator, attached to and launched: its name, what is offered, the advice, and that what is offered works.

All are attached to at once, by a recorder each, and asked; a test looks at one session.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memtui.control.buttons import buttons, unable
from memtui.display.keymap import footer_keys
from memtui.session.follower import SessionFollower
from memtui.session.state import SessionState
from memtui_profiler.checkers.growth import GROWTH
from memtui_profiler.recorder.control import Reply
from memtui_profiler.request import NO_MODES
from memtui_profiler.session.rows import CapabilityRow, Run
from tests.fixtures.attached import attached, running
from tests.fixtures.call_server import MIMALLOC_KEEPS
from tests.fixtures.hidden_allocators import (
    JEMALLOC,
    TCMALLOC_MINIMAL,
    go_program,
    holder,
    mimalloc_built_in,
    rust_like,
    rust_program,
    with_library_of_its_own,
)
from tests.fixtures.live import Live, record
from tests.fixtures.waiting import until

MIB = 1 << 20
VERDICT_S = 90.0
SEVERAL = ("4",)  # threads of a holder
NODE = (
    "const kept = []; for (let i = 0; i < 4e5; i++) kept.push({i, text: 'x' + i}); setInterval(() => kept.length, 1e6)"
)
PYTHON = "import time; kept = [bytes(5000) for _ in range(10_000)]; time.sleep(1e6)"
NGINX = """
daemon off; worker_processes 1; pid {0}/pid; error_log {0}/log;
events {{ }}
http {{ access_log off; server {{ listen unix:{0}/socket; }}
  client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3; uwsgi_temp_path {0}/4; scgi_temp_path {0}/5; }}
"""
JAVA = """
public class Holder {
    static byte[][] blocks = new byte[64][];
    public static void main(String[] words) throws Exception {
        for (int i = 0; i < 64; i++) blocks[i] = new byte[1 << 20];
        Thread.sleep(1L << 40);
    }
}
"""
KEPT = r"\d\d % of RSS is free memory {}"
STAYS = r"RSS (stays at|rose by|moved within)|of RSS \(.*\) in transparent huge pages"
NO_CHECKER = "there is no checker in this process"


@dataclass(frozen=True)
class Row:
    """``argv``: the program, made for a folder. ``header``: the allocator's name there, when it is attached to.

    ``heap``: the allocator that answers, '' for one that is refused with ``why``, which one without figures has, too; ``todo`` is
    a part of what is to be done instead. ``beside``: further heaps. ``able``: keys that are offered because the allocator
    answers; that for a snapshot is always, as growth can be watched from outside. ``says``: the first verdict. ``launched``: the
    name after a launch, and ``checks``: the modes that can then be chosen, but for gperftools', which not all versions have;
    None: that depends on the version of the allocator.
    """

    argv: Callable[[Path], Sequence[str | Path]]
    header: str
    heap: str
    launched: str
    checks: frozenset[str] | None
    says: str = STAYS
    beside: str = ""
    able: str = "x"
    why: str = ""
    todo: str = ""
    needs: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def program(path: Callable[[], Path], *words: str) -> Callable[[Path], Sequence[str | Path]]:
    return lambda _: (path(), *words)


def nginx(folder: Path) -> Sequence[str | Path]:
    (folder / "nginx.conf").write_text(NGINX.format(folder))
    return "nginx", "-e", folder / "log", "-p", folder, "-c", folder / "nginx.conf"


def redis(folder: Path) -> Sequence[str | Path]:
    return "redis-server", "--port", "0", "--unixsocket", folder / "redis", "--save", "", "--dir", folder


def memcached(folder: Path) -> Sequence[str | Path]:
    return "memcached", "-u", "root", "-s", folder / "memcached"


def mariadb(folder: Path) -> Sequence[str | Path]:
    options = (
        "skip-networking",
        "skip-grant-tables",
        "user=root",
        "innodb-buffer-pool-size=8M",
        "innodb-log-file-size=4M",
    )
    (folder / "data").mkdir(exist_ok=True)
    places = (f"--datadir={folder}/data", f"--socket={folder}/socket", f"--pid-file={folder}/pid")
    return "mariadbd", "--no-defaults", *places, *(f"--{option}" for option in options)


def java(folder: Path) -> Sequence[str | Path]:
    (folder / "Holder.java").write_text(JAVA)
    return "java", "-Xmx256m", folder / "Holder.java"


VERSIONS = None
LIBC, ONLY_VALGRIND, NONE = frozenset({"memcheck", "lsan"}), frozenset({"memcheck"}), frozenset[str]()
PRELOADED = r"tcmalloc [\d.]+ preloaded"
GLIBC = "glibc malloc"
MUSL = "its C library is musl, whose malloc keeps no figures"
STATIC_LIBC = "its C library lacks "

ROWS = {
    "glibc, one thread": Row(
        program(lambda: holder("-pthread")), GLIBC, GLIBC, PRELOADED, LIBC, KEPT.format(f"{GLIBC} keeps; only a release")
    ),
    "glibc, several threads": Row(
        program(lambda: holder("-pthread"), *SEVERAL), GLIBC, GLIBC, PRELOADED, LIBC, KEPT.format(f"{GLIBC} keeps; only a")
    ),
    "glibc, static": Row(
        program(lambda: holder("-static", "-pthread")), GLIBC, "", GLIBC, NONE, able="", why=STATIC_LIBC, todo="shared library"
    ),
    "musl": Row(
        program(lambda: holder(compiler="musl-gcc")),
        "musl malloc", "", "musl malloc", ONLY_VALGRIND, able="", why=MUSL, todo="build it for glibc",
    ),
    "musl, static": Row(
        program(lambda: holder("-static", compiler="musl-gcc")),
        "musl malloc", "", "musl malloc", NONE, able="", why=MUSL, todo="build it for glibc",
    ),
    "gperftools": Row(
        program(lambda: holder("-pthread", "-Wl,--no-as-needed", "-ltcmalloc")),
        r"tcmalloc [\d.]+", "tcmalloc", r"tcmalloc [\d.]+ linked", VERSIONS, KEPT.format("tcmalloc keeps"), able="lxs",
    ),
    "gperftools, minimal": Row(
        program(lambda: holder("-pthread", "-Wl,--no-as-needed", "-ltcmalloc_minimal")),
        r"tcmalloc_minimal [\d.]+", "tcmalloc", r"tcmalloc_minimal [\d.]+ linked", VERSIONS,
        KEPT.format("tcmalloc keeps"), able="lx",
    ),
    "gperftools, static": Row(
        program(lambda: holder(*TCMALLOC_MINIMAL), *SEVERAL),
        # From 2.17 on nothing in the program tells it from a full one.
        r"tcmalloc(_minimal)? [\d.]+", "tcmalloc", r"tcmalloc(_minimal)? [\d.]+ built in", VERSIONS,
        KEPT.format("tcmalloc keeps"), able="lx",
    ),
    "jemalloc": Row(
        program(lambda: holder("-pthread", "-Wl,--no-as-needed", "-ljemalloc")),
        "jemalloc", "jemalloc", "jemalloc", LIBC, KEPT.format("jemalloc keeps; it decays only while the program allocates"),
    ),
    "jemalloc, static": Row(
        program(lambda: holder(*JEMALLOC)), "jemalloc", "jemalloc", "jemalloc", ONLY_VALGRIND, KEPT.format("jemalloc keeps"),
    ),
    "jemalloc, _rjem_": Row(
        program(lambda: rust_like(strip=False)),
        r"jemalloc \+ glibc malloc", "jemalloc", r"jemalloc \+ glibc malloc", NONE, KEPT.format("jemalloc keeps"),
    ),
    "jemalloc, _rjem_, stripped": Row(
        program(lambda: rust_like(strip=True)),
        r"jemalloc \+ glibc malloc", GLIBC, r"jemalloc \+ glibc malloc", NONE,
        r"\d\d % of RSS is outside glibc malloc: [\d.]+ MiB of jemalloc", beside="jemalloc",
    ),
    "jemalloc without statistics, in a library": Row(
        program(with_library_of_its_own, *SEVERAL), GLIBC, GLIBC, PRELOADED, LIBC, KEPT.format(f"{GLIBC} keeps"),
        beside="jemalloc in libframes.so",
    ),
    "mimalloc": Row(
        program(lambda: holder("-pthread", "-Wl,--no-as-needed", "-lmimalloc")),
        "mimalloc", "mimalloc", "mimalloc", LIBC, why="its release builds do not count", todo="a release gives free memory back",
        environment=MIMALLOC_KEEPS,
    ),
    "mimalloc, in the program": Row(
        program(mimalloc_built_in, *SEVERAL),
        "mimalloc", "", "mimalloc", ONLY_VALGRIND, able="", why="its malloc is mimalloc", todo="MIMALLOC_SHOW_STATS",
    ),
    "Go": Row(
        program(go_program),
        "Go's runtime", "", "Go's runtime", NONE, able="", why="it is a Go program", todo="net/http/pprof", needs="go",
    ),
    "Rust": Row(program(rust_program), GLIBC, GLIBC, PRELOADED, LIBC, r"RSS stays at .*% of it in use", needs="rustc"),
    "node": Row(
        lambda _: ("node", "-e", NODE), r"glibc malloc \+ V8", GLIBC, rf"{PRELOADED}", LIBC,
        r"outside glibc malloc: [\d.]+ MiB of|RSS .* in glibc malloc, beside V8", beside="V8", needs="node",
    ),
    "python3": Row(lambda _: (sys.executable, "-c", PYTHON), GLIBC, GLIBC, PRELOADED, LIBC),
    "nginx": Row(nginx, GLIBC, GLIBC, PRELOADED, LIBC, needs="nginx"),
    "redis": Row(redis, "jemalloc", "jemalloc", "jemalloc", VERSIONS, needs="redis-server"),
    "memcached": Row(memcached, GLIBC, GLIBC, PRELOADED, LIBC, needs="memcached"),
    "mariadb": Row(mariadb, GLIBC, GLIBC, PRELOADED, LIBC, r".", needs="mariadbd"),
}  # fmt: skip
if shutil.which("java"):  # 190 MB: not among what the set-up installs
    ROWS["Java"] = Row(
        java, r"glibc malloc \+ Java", GLIBC, PRELOADED, LIBC,
        r"outside glibc malloc: [\d.]+ MiB of|RSS .* beside Java", beside="Java",
    )  # fmt: skip


@dataclass
class Session:
    live: Live
    follower: SessionFollower
    asked: int
    pid: int

    def state(self) -> SessionState:
        return self.follower.poll(time.clock_gettime(time.CLOCK_BOOTTIME), live=True)

    def ask(self, verb: str, **args: object) -> Reply:
        return self.live.ask(verb, deadline_s=60.0, **args)


def begun(row: Row, folder: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    folder.mkdir()
    return running(row.argv(folder), environment=row.environment, preload="")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Session]]:
    root = tmp_path_factory.mktemp("matrix")
    with ExitStack() as stack:
        rows = {name: row for name, row in ROWS.items() if not row.needs or shutil.which(row.needs)}
        pids = {
            name: stack.enter_context(begun(row, root / f"target-{n}")).pid
            for n, (name, row) in enumerate(rows.items())
        }
        until(
            lambda: all(map(settled, pids.values())), "all have allocated what they hold", deadline_s=60.0, every_s=0.1
        )
        made = {}
        for number, (name, pid) in enumerate(pids.items()):
            live = stack.enter_context(attached(root / f"session-{number}", pid))
            made[name] = Session(live, SessionFollower(live.folder), live.control.send("ask"), pid)
            stack.callback(made[name].follower.reader.close)
        yield made


def settled(pid: int) -> bool:
    """Whether it sleeps: all that are started here then wait for something that does not come."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] == "S"
    return False


@pytest.mark.parametrize("name", ROWS)
def test_attached(name: str, sessions: dict[str, Session]) -> None:
    row = ROWS[name]
    if name not in sessions:
        pytest.fail(f"{row.needs} is not installed")
    session = sessions[name]
    state = until(lambda: answered(session), "it answers or refuses", deadline_s=60.0)
    guest = state.heap.guest
    assert guest is not None
    assert re.fullmatch(row.header, state.allocator), state.allocator
    assert state.heap.allocator == row.heap
    assert guest.beside == row.beside
    offered = {button.key for button in buttons(state) if button.able}
    assert offered == {*row.able, "s"}
    footer = footer_keys(live=True, running=True, attached=True, tab="heap", width=400, unable=unable(state))
    shown = {key for key, _ in footer}
    assert shown & set("xscl") == offered and ("-+" in shown) == ("l" in offered)
    if row.why:
        assert guest.why.startswith(row.why) and row.todo in guest.todo, guest
    said = first_verdict(session, row.says)
    assert "central lists" not in said and "page heap" not in said
    for key, verb in (("x", "release"), ("s", "snapshot"), ("l", "rate")):
        if key in offered:
            does_what_it_says(session, verb, by_the_allocator=key in row.able)
        elif verb != "rate":
            reply = session.ask(verb)
            assert reply.error is not None and "HEAPCHECK" not in reply.error.todo
            assert not row.why or row.heap or "preloaded" not in reply.error.todo, reply.error
            assert row.why in reply.error.why and row.todo in reply.error.todo, reply.error
    check = session.ask("check").error
    assert check is not None, "none of them was started with a checker"
    assert "HEAPCHECK=normal" not in check.todo or name == "gperftools"
    assert not row.checks or "memtui --check " in check.todo or "HEAPCHECK" in check.todo, check
    if row.heap and row.checks == NONE:
        assert "no check of memtui's can be started with it" in check.todo and "malloc" in check.todo


def answered(session: Session) -> SessionState | None:
    state = session.state()
    return state if state.heap.guest is not None and state.heap.guest.state in ("ready", "refused") else None


def first_verdict(session: Session, pattern: str) -> str:
    """Waits until it is what is expected, and fails with what it is instead."""
    try:
        return until(lambda: verdict(session, pattern), "the first verdict", deadline_s=VERDICT_S, every_s=0.5)
    except AssertionError:
        pytest.fail(f"the verdicts are {session.state().diagnoses}, and the first not {pattern}")


def verdict(session: Session, pattern: str) -> str:
    """The first verdict, with its evidence, once it is what is expected."""
    diagnoses = session.state().diagnoses
    matched = bool(diagnoses) and re.search(pattern, diagnoses[0].sentence)
    return "\n".join((diagnoses[0].sentence, *diagnoses[0].evidence)) if matched else ""


def does_what_it_says(session: Session, verb: str, *, by_the_allocator: bool) -> None:
    if verb == "release":
        state = session.state()
        retention = state.diagnoses[0].word == "RETENTION"
        reply = session.ask("release")
        assert reply.ok and reply.result["after_bytes"] <= reply.result["before_bytes"] + MIB
        if retention or not state.heap.samples:
            # The thread that freed them keeps up to 32 MiB of mimalloc's, one segment.
            least = 30 * MIB if retention else 20 * MIB
            assert reply.result["before_bytes"] - reply.result["after_bytes"] > least
    elif verb == "snapshot" and not by_the_allocator:
        assert session.ask("snapshot").result == {"started": True, "growth": True}
        assert session.ask("snapshot").result == {"started": False, "growth": True}
        assert session.ask("growth", do="stop").ok
    elif verb == "snapshot":
        assert session.ask("snapshot").result == {"started": True}
        assert session.ask("snapshot").result == {"started": False}
    else:
        assert session.ask("rate", release_rate=3.5).result == {"release_rate": 3.5}
        until(lambda: (rate := session.state().rate_read) is not None and rate.rate == 3.5, "the process has the rate")


@pytest.mark.parametrize("name", ROWS)
def test_launched(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    if row.needs and not shutil.which(row.needs):
        pytest.fail(f"{row.needs} is not installed")
    with record(tmp_path, *row.argv(tmp_path), watch=False, environment=dict(row.environment)) as live:
        capabilities = until(lambda: live.reader.rows(CapabilityRow), "what works is recorded")
        (run,) = live.reader.rows(Run)
        assert re.fullmatch(row.launched, run.allocator), run.allocator
        able = {each.name for each in capabilities if each.available and not each.blind and each.name not in NO_MODES}
        if row.checks is not None:
            assert able >= row.checks
            assert GROWTH in able
            assert row.launched == PRELOADED or able & {"memcheck", "lsan"} == row.checks
        for each in capabilities:
            assert each.available or (each.reason and each.remedy)
        if row.checks == NONE:
            assert able == {GROWTH}
        if name == "Go":
            assert all(each.available or row.todo in each.remedy for each in capabilities)
