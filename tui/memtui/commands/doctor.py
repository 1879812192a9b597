"""``memtui doctor``: lists what works here and what does not, each with the command that repairs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from memtui.display.glyphs import glyphs_for
from memtui.options.parse import Doctor
from memtui.terminal import streams
from memtui.terminal.locale import ascii_only
from memtui_parsers.clean_text import clean
from memtui_profiler.launch.doctor import Finding, diagnose_machine


def run_doctor(options: Doctor) -> int:
    streams.print_lines(finding_lines(diagnose_machine(options.program), ascii=options.ascii or ascii_only()))
    return 0


def finding_lines(findings: Sequence[Finding], *, ascii: bool) -> Iterator[str]:
    """Return one line for each finding, with the names aligned; below what does not work, a line with the remedy.

    A reason and a remedy of several findings are said once, the remedy below the last of those that follow each other.
    """
    glyphs = glyphs_for(ascii=ascii)
    width = max((len(finding.name) for finding in findings), default=0)
    told: set[str] = set()
    for finding, following in zip_longest(findings, findings[1:]):
        mark = ("ok" if finding.ok else "--") if ascii else (glyphs.tick if finding.ok else glyphs.cross)
        detail = "for the same reason" if not finding.ok and finding.detail in told else clean(finding.detail)
        told.add(finding.detail)
        yield glyphs.plain(f"{mark} {clean(finding.name):<{width}}  {detail}")
        is_told_below = following is not None and not following.ok and following.remedy == finding.remedy
        if finding.remedy and not finding.ok and not is_told_below:
            yield glyphs.plain(f"{' ' * len(mark)} {'':<{width}}  {glyphs.arrow} {clean(finding.remedy)}")
