"""The lines of a session as text for people, grep and awk."""

from __future__ import annotations

from memtui.display import figures
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine
from memtui.session.ways import without_key
from memtui.text.report import leak_lines
from memtui_parsers.clean_text import clean
from memtui_parsers.values import LeakReport
from memtui_profiler.session.region_looks import RecordedLook, region_words
from memtui_profiler.session.rows import Event, GuestRow, Run, RunEnd, Sample

LEAK_LINES = 5
REGIONS_EVERY_S = 60.0
REGIONS_IN_LINE = 6
# Where the process has one thread, and nobody has wanted it to be asked.
ASK_OPTION = "--ask asks it"


def size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "-"
    return figures.tight(size_bytes) if size_bytes else "0"


def parts_of(sample: Sample) -> tuple[int, int]:
    """Return anonymous memory and files at the time of RSS, in bytes; the rest of RSS is shared memory."""
    anon_bytes = max(0, sample.rss_bytes - sample.shared_bytes)
    return anon_bytes, max(0, sample.shared_bytes - (sample.shmem_bytes or 0))


def sample_line(sample: Sample, pid: int, bytes_per_s: float) -> str:
    """Return the line of a second. Anonymous memory is that of the time of RSS, so that the parts add up."""
    anon_bytes, file_bytes = parts_of(sample)
    threads = "-" if sample.threads is None else sample.threads
    line = (
        f"{figures.clock(sample.at_s)} run {sample.run} pid {pid} rss {size(sample.rss_bytes)} "
        f"anon {size(anon_bytes)} file {size(file_bytes)} swap {size(sample.swap_bytes)} "
        f"threads {threads} {figures.rate(bytes_per_s)}"
    )
    if sample.in_use_bytes is None or sample.kept_bytes is None:
        return line
    # At the end of the line: scripts read the fields before by their places.
    return f"{line} in use {size(sample.in_use_bytes)} kept {size(sample.kept_bytes)}"


def event_line(event: Event) -> str:
    return f"{figures.clock(event.at_s)} event {clean(event.kind, 40)}: {ascii_arrows(event.text)}"


def regions_line(look: RecordedLook) -> str:
    """Return what fills RSS: the largest regions, and in how many mappings the stacks of threads are."""
    shown = []
    for row in look.regions[:REGIONS_IN_LINE]:
        count = f" in {row.mappings}" if row == look.stacks else ""
        shown.append(f"{clean(region_words(row), 60)} {size(row.rss_bytes)}{count}")
    rest = look.whole.rss_bytes - sum(row.rss_bytes for row in look.regions[:REGIONS_IN_LINE])
    rest_words = f", others {size(rest)}" if rest > 0 else ""
    whole = f"rss {size(look.whole.rss_bytes)}, huge pages {size(look.whole.huge_bytes)}"
    return f"{figures.clock(look.at_s)} regions {whole}: {', '.join(shown)}{rest_words}"


def not_asked(guest: GuestRow) -> tuple[str, str] | None:
    """Why there are no figures of the process's allocator, and what to do; None while there are, or none yet."""
    if guest.state == "waiting":
        return "it has one thread", ASK_OPTION
    return (guest.why, guest.todo) if guest.state in ("refused", "off") or no_figures(guest) else None


def no_figures(guest: GuestRow) -> bool:
    """Whether the process answers, and its allocator has no figures."""
    return guest.state == "ready" and bool(guest.why)


def ascii_arrows(text: str) -> str:
    """Return a sentence that was written for the screen in ASCII arrows: grep and awk read the lines, too."""
    return clean(text).replace("→", "->")


class PlainForm:
    """A line for each, but for what events tell anyway (a run, its end), and one a minute for what is mapped."""

    def __init__(self) -> None:
        self._regions_told_s = float("-inf")

    def begin(self, meta: dict[str, str]) -> list[str]:
        return []

    def run(self, run: Run) -> list[str]:
        return []

    def run_end(self, end: RunEnd) -> list[str]:
        return []

    def sample(self, sample: Sample, pid: int, bytes_per_s: float) -> list[str]:
        return [sample_line(sample, pid, bytes_per_s)]

    def event(self, event: Event) -> list[str]:
        return [event_line(event)]

    def guest(self, guest: GuestRow) -> list[str]:
        why = not_asked(guest)
        word = "no figures" if no_figures(guest) else "not asked"
        return [] if why is None else [f"{figures.clock(guest.at_s)} {word}: {clean(why[0])}; {clean(why[1])}"]

    def regions(self, look: RecordedLook) -> list[str]:
        if look.at_s - self._regions_told_s < REGIONS_EVERY_S:
            return []
        self._regions_told_s = look.at_s
        return [regions_line(look)]

    def report(self, at_s: float, number: int, report: LeakReport) -> list[str]:
        return [f"{figures.clock(at_s)} {line}" for line in leak_lines(report, LEAK_LINES)]

    def verdict(self, verdict: StatusLine, at_s: float, state: SessionState) -> list[str]:
        line = f"{figures.clock(at_s)} diagnosis {verdict.word.lower()}: {ascii_arrows(verdict.sentence)}"
        todo = without_key(verdict.action, state)
        return [f"{line} ({todo})" if todo else line]
