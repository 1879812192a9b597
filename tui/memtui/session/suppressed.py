"""What suppression files leave of a report."""

from __future__ import annotations

from collections.abc import Sequence

from memtui_parsers.values import LeakReport


def not_suppressed(report: LeakReport, files: Sequence[str]) -> LeakReport:
    """Return the report without the leaks that the files at these paths name; notes say how much that is."""
    if not files:
        return report
    # Imported here: few have such files.
    from memtui_profiler.checkers.suppression_files import without_suppressed

    return without_suppressed(report, files)
