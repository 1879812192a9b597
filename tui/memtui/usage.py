"""What ``--help`` prints, written by hand: a page a person reads, not a list a machine made."""

from __future__ import annotations

_LAUNCHING = """\
  --check MODE         leak check: off, minimal, normal, strict, draconian,
                       as-is, local, memcheck, lsan or profile
                       ({default})
  --release-rate R     TCMALLOC_RELEASE_RATE, 0 to 10, decimals welcome
                       (without it nothing is set)
  --tcmalloc WHICH     auto, off, or a library's path
                       (auto: the one it links, else the best one found)
  --env NAME=VALUE     a variable for the target; may be repeated
  --cwd DIR            where the target starts
  --for SECONDS        stop the target after that time
  --follow-children    let children inherit the check, too
  --suppressions FILE  leaks to leave out, in valgrind's or LeakSanitizer's
                       syntax, whichever checker runs; may be repeated
  --valgrind-args ARGS more options for valgrind, as one word of the shell
"""

_WATCHING = """\
  --sample-hz N        samples a second  (10)
  --no-guest           ask the process nothing: no thread of memtui's in it
  --force-guest        ask it even where that cannot be shown to be harmless
"""

_READING = """\
  --suppressions FILE  leaks to leave out, in valgrind's or LeakSanitizer's
                       syntax; may be repeated
"""

_SOURCE_MAP = """\
  --source-map OLD=NEW the sources of the folder OLD of the build are in NEW
                       here; may be repeated
"""

_SHOWING = """\
  --on-exit WHAT       stop or detach, when memtui is left
  --plain              lines instead of a screen
  --ascii              no characters beyond ASCII
"""

_LAUNCH = f"""\
memtui shows live where a native server keeps its memory, and acts on it.

  memtui [OPTIONS] [--] PROGRAM [ARGS...]    launch PROGRAM and watch it
  memtui COMMAND ...

Commands
  attach PID           the same over a process that runs already
  check PROGRAM ...    run it, report its leaks, exit 0 or 1: for CI
  open PATH [PATH]     look at a session, or at what another leak checker or
                       heap profiler wrote; at two: what has come and gone
  resume [SESSION]     back to a live session, or to the last one
  sessions [rm NAME]   the sessions on this machine, or remove some
  doctor [PROGRAM]     what works here, and what would mend the rest
  demo                 a leaky server of our own, to look around

Options
{_LAUNCHING.format(default="off")}{_WATCHING}{_SOURCE_MAP}{_SHOWING}\
  -V, --version        the version
  -h, --help           this; `memtui COMMAND --help` for a command

Everything after PROGRAM is the target's own. A program named like a command:
memtui -- open, or memtui ./open.

  memtui ./rpc_server --port 9000
  memtui --check normal --release-rate 2.5 ./rpc_server
  memtui check --check draconian --format json ./run_tests --all
"""

_ATTACH = f"""\
memtui attach watches a process that runs already and asks it where its memory
is. It never stops the process; leaving lets go of it and leaves nothing behind.

  memtui attach [OPTIONS] PID
  memtui attach --check-now [--format FORMAT] PID

Options
  --for SECONDS        let go of it after that time
{_WATCHING}{_READING}{_SOURCE_MAP}\
  --plain              lines instead of a screen
  --ascii              no characters beyond ASCII
  --check-now          no screen: check it for leaks once and report; for that
                       it must have been started with HEAPCHECK
  --format FORMAT      of that report: text or json  (text)
  --keep               keep the session of that check, and say where it is

Exit codes of --check-now
  0  no leak           2  wrong usage
  1  leaks             3  no check was possible
"""

_CHECK = f"""\
memtui check runs a program under a leak check and reports what leaked.

  memtui check [OPTIONS] [--] PROGRAM [ARGS...]

The report goes to standard output, the program's own output to standard error.

Options
{_LAUNCHING.format(default="normal, where it can work")}{_WATCHING}\
  --format FORMAT      text or json  (text)
  --keep               keep the session, and say where it is

Exit codes
  0  no leak                          4  killed by a signal before the check
  1  leaks                            5  killed by the OOM killer
  2  wrong usage                      6  no leak, but the program failed
  3  it could not start, or there     130  interrupted
     was no check
"""

_OPEN = f"""\
memtui open shows what was recorded before; nothing is launched.

  memtui open [OPTIONS] PATH
  memtui open [OPTIONS] OLDER NEWER

PATH is a session's folder, its session.db, or what a checker or profiler wrote:
  gperftools           a .heap file, the output of a program under HEAPCHECK
  jemalloc             its profiler's .heap file (prof:true)
  valgrind             memcheck's XML (--xml=yes), or its text
  LeakSanitizer        its log, AddressSanitizer's too
  pprof                a profile of the heap in protocol buffers
  heaptrack            folded stacks of bytes:
                       heaptrack_print --flamegraph-cost-type leaked -F FILE
  memtui               a report in JSON
What it is, is told from its contents, also inside of gzip. Of two, what has
come and gone is shown: new, grown, shrunk, gone. Without a terminal the report,
or the difference, is printed as text.

Options
  --format FORMAT      text or json; json is printed, without a screen  (text)
  --sysroot DIR        the program and its libraries, debug files and sources
                       are below DIR, by their paths or by name alone; what is
                       of another build names nothing, and that is said
{_READING}{_SOURCE_MAP}\
  --plain              text instead of a screen
  --ascii              no characters beyond ASCII
"""

_RESUME = f"""\
memtui resume goes back to a session: its target ran on while nobody watched.

  memtui resume [OPTIONS] [SESSION]

SESSION is a name from `memtui sessions`, the beginning of one, or a path.
Without it: the newest live session, else the last one.

Options
{_READING}{_SOURCE_MAP}\
  --plain              lines instead of a screen
  --ascii              no characters beyond ASCII
"""

_SESSIONS = """\
memtui sessions lists what was recorded on this machine, newest first.

  memtui sessions [--ascii]
  memtui sessions rm NAME...

NAME may be the beginning of a name, as long as one session alone has it. A live
session is not removed.
"""

_DOCTOR = """\
memtui doctor says what works on this machine and what does not, each with the
command that mends it.

  memtui doctor [--ascii] [PROGRAM]

With PROGRAM, also what works on it.
"""

_DEMO = f"""\
memtui demo builds a small leaky RPC server with g++ and opens it in memtui.
Without a compiler or tcmalloc it replays a recorded session instead.

  memtui demo [OPTIONS] [--replay]

Options
  --replay             the recorded session, nothing is built
{_LAUNCHING.format(default="draconian")}{_WATCHING}{_SHOWING}\
"""

HELP = {
    "launch": _LAUNCH,
    "attach": _ATTACH,
    "check": _CHECK,
    "open": _OPEN,
    "resume": _RESUME,
    "sessions": _SESSIONS,
    "doctor": _DOCTOR,
    "demo": _DEMO,
}
