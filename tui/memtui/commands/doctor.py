"""``memtui doctor``: what works here and what does not, each with the command that mends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from memtui.charset import glyphs_for
from memtui.commands.report_output import ascii_only
from memtui.options import Doctor
from memtui_parsers.clean_text import clean
from memtui_profiler.doctor import Finding, diagnose_machine


def run_doctor(options: Doctor) -> int:
    findings = diagnose_machine(options.program)
    for line in finding_lines(findings, ascii=options.ascii or ascii_only()):
        sys.stdout.write(f"{line}\n")
    return 0


def finding_lines(findings: Sequence[Finding], *, ascii: bool) -> Iterator[str]:
    """One line each, names aligned, and under what does not work the remedy."""
    glyphs = glyphs_for(ascii=ascii)
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        mark = ("ok" if finding.ok else "--") if ascii else (glyphs.tick if finding.ok else glyphs.cross)
        yield glyphs.plain(f"{mark} {clean(finding.name):<{width}}  {clean(finding.detail)}")
        if finding.remedy and not finding.ok:
            yield glyphs.plain(f"{' ' * len(mark)} {'':<{width}}  {glyphs.arrow} {clean(finding.remedy)}")
