"""The verdict lines: what memtui makes of what it sees, what it is doing, or why it will not; each with a key that acts."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from memtui.charset import UNICODE, Glyphs
from memtui.status_line import StatusLine, Tone
from memtui.widgets.line import Part, columns, fit
from memtui_parsers.clean_text import clean


def verdict_line(line: StatusLine, glyphs: Glyphs, width: int, word_columns: int = 0) -> Content:
    """One line, the key at its right end; the sentence begins where those of its neighbours do (``word_columns``)."""
    ground = f"on ${line.tone.value}-ground"
    colour = "muted" if line.tone is Tone.CALM else line.tone.value
    hint = f"{line.key} {line.key_words}" if line.key else ""
    head = f" {glyphs.plain(line.glyph)} {line.word:<{word_columns}}  "
    room = width - columns(head) - (columns(hint) + 4 if hint else 1)
    forms = [clean(glyphs.plain(form)) for form in (line.sentence, *line.shorter)]
    sentence = next((form for form in forms if columns(form) <= room), "")
    if not sentence:
        sentence = fit(forms[-1], max(0, room), glyphs.ellipsis)
    parts: list[Part] = [(head, f"bold ${colour} {ground}"), (sentence, f"$foreground {ground}")]
    used = columns(head) + columns(sentence)
    if hint:
        parts.append((" " * max(1, width - used - columns(hint) - 1), ground))
        parts += [(line.key, f"bold $key {ground}"), (f" {line.key_words} ", f"$muted {ground}")]
    else:
        parts.append((" " * max(0, width - used), ground))
    return Content.assemble(*parts)


class Verdicts(Widget):
    """As many of the lines it is shown as it has rows; a click on one asks for what its key does."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Verdicts { height: 1; width: 1fr; text-wrap: nowrap; }"

    class Pressed(Message):
        """A line was clicked; ``key`` is the one it names."""

        def __init__(self, verdicts: Verdicts, key: str) -> None:
            super().__init__()
            self.verdicts = verdicts
            self.key = key

        @property
        def control(self) -> Verdicts:
            return self.verdicts

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._lines: tuple[StatusLine, ...] = ()

    @property
    def lines(self) -> tuple[StatusLine, ...]:
        return self._lines

    def show(self, lines: tuple[StatusLine, ...]) -> None:
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def render(self) -> Content:
        width, height = self.content_size
        shown = self._lines[: max(1, height)]
        words = max((len(line.word) for line in shown), default=0)
        rows = [verdict_line(line, self._glyphs, width, words) for line in shown]
        return Content("\n").join(rows)

    def on_click(self, event: events.Click) -> None:
        if 0 <= event.y < len(self._lines) and (key := self._lines[event.y].key):
            self.post_message(self.Pressed(self, key))
