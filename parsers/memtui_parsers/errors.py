"""The error of every parser, for input that is not in the format it was taken for."""

from __future__ import annotations

EXCERPT_CHARS = 80


class ParseError(ValueError):
    """Input that cannot be read as the format it was taken for.

    ``line`` counts from 1 (0: the whole input), ``excerpt`` is the offending text, cut to 80 characters and made safe
    to print, ``reason`` is a short phrase without a full stop, ``todo`` what helps ('': no more than a whole file does).
    """

    def __init__(self, reason: str, *, line: int = 0, excerpt: str | bytes = "", todo: str = "") -> None:
        if isinstance(excerpt, bytes):
            excerpt = excerpt[: EXCERPT_CHARS * 4].decode("utf-8", "backslashreplace")
        printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in excerpt[: EXCERPT_CHARS + 1])
        self.reason = reason
        self.todo = todo
        self.line = line
        self.excerpt = printable if len(printable) <= EXCERPT_CHARS else printable[: EXCERPT_CHARS - 1] + "…"
        prefix = f"line {line}: " if line else ""
        suffix = f": {self.excerpt!r}" if self.excerpt else ""
        super().__init__(f"{prefix}{reason}{suffix}")
