"""What ``--help`` prints: a page for each command, written by hand around the options of the table."""

from __future__ import annotations

from textwrap import wrap

from memtui.options.table import DEFAULT_MODES, OPTIONS
from memtui.options.values import CHECK_AUTO

# Columns of the words beside an option's name.
_BEGIN, _WIDTH = 23, 54


def _options(command: str) -> str:
    """The lines of the options that ``command`` takes, each with a line feed."""
    mode = DEFAULT_MODES.get(command, "").replace(CHECK_AUTO, "normal, where it can work")
    lines = []
    for option in OPTIONS:
        if command in option.commands:
            text = option.other_help.get(command, option.help).format(mode=mode)
            first, *more = wrap(text, _WIDTH)
            lines += [
                f"  {option.usage:<{_BEGIN - 3}} {first}",
                *(" " * _BEGIN + line for line in more),
            ]
    return "".join(f"{line}\n" for line in lines)


HELP = {
    "launch": f"""\
memtui shows live where a native server keeps its memory, and acts on it.

  memtui [OPTIONS] [--] PROGRAM [ARGS...]    launch PROGRAM and watch it
  memtui COMMAND ...

Commands
  attach PID           the same over a process that runs already
  regions PID          what it has mapped: heap, stacks, files, huge pages
  check PROGRAM ...    run it, report its leaks, exit 0 or 1: for CI
  open PATH [PATH]     look at a session, or at what another leak checker or
                       heap profiler wrote; at two: what has come and gone
  resume [SESSION]     back to a live session, or to the last one
  sessions [rm NAME]   the sessions on this machine, or remove some
  doctor [PROGRAM]     what works here, and what would mend the rest
  demo                 a leaky server of our own, to look around

Options
{_options("launch")}\
  -V, --version        the version
  -h, --help           this; `memtui COMMAND --help` for a command

Everything after PROGRAM is the target's own. A program named like a command:
memtui -- open, or memtui ./open.

  memtui ./rpc_server --port 9000
  memtui --check normal --release-rate 2.5 ./rpc_server
  memtui check --check draconian --format json ./run_tests --all
""",
    "attach": f"""\
memtui attach watches a process that runs already and asks it where its memory
is. It never stops the process; leaving detaches and leaves nothing behind.

  memtui attach [OPTIONS] PID
  memtui attach --check-now [--format FORMAT] PID
  memtui attach --growth SECONDS [--format FORMAT] PID

In place of PID the name of a process will do, where one alone has it.

Options
{_options("attach")}
Exit codes of --check-now
  0  no leak           2  wrong usage
  1  leaks             3  no check was possible
Exit codes of --growth
  0  what grew by stack, or nothing did    3  refused, or it cannot be told
  2  wrong usage                         130  interrupted: the report is of
                                              the time until then
""",
    "regions": f"""\
memtui regions shows what a process has mapped, in groups: heap, thread stacks,
heaps of runtimes, shared memory, each file; with what is resident, dirty, in
swap and in huge pages. It reads /proc alone; meanwhile the process cannot map
memory, for some 30 ms per GiB that is resident.

  memtui regions [OPTIONS] PID

In place of PID the name of a process will do, where one alone has it.

Options
{_options("regions")}\
""",
    "check": f"""\
memtui check runs a program under a leak check and reports what leaked.

  memtui check [OPTIONS] [--] PROGRAM [ARGS...]

The report goes to standard output, the program's own output to standard error.

Options
{_options("check")}
Exit codes
  0  no leak                          4  killed by a signal before the check
  1  leaks                            5  killed by the OOM killer
  2  wrong usage                      6  no leak, but the program failed
  3  it could not start, or there     130  interrupted
     was no check
""",
    "open": f"""\
memtui open shows what was recorded before; nothing is launched.

  memtui open [OPTIONS] PATH
  memtui open [OPTIONS] OLDER NEWER

PATH is a session's folder, its session.db, or what a checker or profiler wrote:
  gperftools           a .heap file, the output of a program under HEAPCHECK
  jemalloc             its profiler's .heap file (prof:true)
  valgrind             memcheck's XML (--xml=yes) or text, profiles of massif
                       and DHAT
  LeakSanitizer        its log, AddressSanitizer's too
  pprof                a profile of the heap in protocol buffers
  heaptrack            its data (.zst, .gz), or folded stacks of bytes:
                       heaptrack_print --flamegraph-cost-type leaked -F FILE
  memtui               a report in JSON
  an allocator         what it prints of itself: tcmalloc's GetStats, jemalloc's
                       malloc_stats_print, glibc's malloc_info, malloc_stats,
                       mimalloc's mi_stats_print, Redis' INFO memory: Heap tab
What it is, is told from its contents, also inside of gzip or zstd. Of two, what
has come and gone is shown: new, grown, shrunk, gone. Without a terminal the
report, or the difference, is printed as text.

Options
{_options("open")}\
""",
    "resume": f"""\
memtui resume goes back to a session: its target ran on while nobody watched.

  memtui resume [OPTIONS] [SESSION]

SESSION is a name from `memtui sessions`, the beginning of one, or a path.
Without it: the newest live session, else the last one.

Options
{_options("resume")}\
""",
    "sessions": f"""\
memtui sessions lists what was recorded on this machine, newest first.

  memtui sessions [--ascii]
  memtui sessions rm NAME...

NAME may be the beginning of a name, as long as one session alone has it. A live
session is not removed.

Options
{_options("sessions")}\
""",
    "doctor": f"""\
memtui doctor says what works on this machine and what does not, each with the
command that mends it.

  memtui doctor [--ascii] [PROGRAM]

With PROGRAM, also what works on it.

Options
{_options("doctor")}\
""",
    "demo": f"""\
memtui demo builds a small leaky RPC server with g++ and opens it in memtui.
Without a compiler or tcmalloc it replays a recorded session instead.

  memtui demo [OPTIONS] [--replay]

Options
{_options("demo")}\
""",
}
