"""What a parser did not understand: counted, and told in a note. Nothing that was not understood may read as "no leaks"."""

from __future__ import annotations

from dataclasses import dataclass

from memtui_parsers.values import ReportStatus

EXCERPT_CHARS = 80


@dataclass(slots=True)
class Unread:
    """Lines that look like the checker's and make no sense: how many, and the first (its number, from 1)."""

    count: int = 0
    first_line: int = 0
    first_text: str = ""

    def add(self, line: int, text: str) -> None:
        if not self.count:
            self.first_line, self.first_text = line, text
        self.count += 1

    def notes(self) -> list[str]:
        if not self.count:
            return []
        lines = "1 line makes no sense: it is" if self.count == 1 else f"{self.count} lines make no sense, the first is"
        return [f"{lines} line {self.first_line}: {self.first_text[:EXCERPT_CHARS]!r}"]

    def status(self, status: ReportStatus) -> ReportStatus:
        """Return ``status``, but not "complete" where anything was not understood."""
        return ReportStatus.TRUNCATED if self.count and status is ReportStatus.COMPLETE else status
