"""The verdict lines: a diagnosis, what memtui is doing, or why it refuses a command, with the key that acts on it; and evidence."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.session.status_line import StatusLine, Tone
from memtui.viewer.widgets.key_clicked import KeyClicked
from memtui.viewer.widgets.line import Part, columns, fit
from memtui_parsers.clean_text import clean


def verdict_line(line: StatusLine, glyphs: Glyphs, width: int, word_columns: int = 0) -> Content:
    """Return one line: its word in ``word_columns``, so that sentences are aligned, the sentence, and the key at the right."""
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


def why_content(lines: tuple[StatusLine, ...], glyphs: Glyphs) -> Content:
    """Return each verdict with its sentence and its evidence."""
    parts: list[Part] = []
    for line in lines:
        colour = "muted" if line.tone is Tone.CALM else line.tone.value
        parts.append("\n\n" if parts else "")
        parts += [(f"{glyphs.plain(line.glyph)} {line.word}\n", f"bold ${colour}")]
        parts += [(f"{clean(glyphs.plain(line.sentence))}\n", "$strong")]
        for sentence in line.evidence:
            parts += [(f"\n {glyphs.middot} ", "$muted"), clean(glyphs.plain(sentence))]
    return Content.assemble(*parts) if parts else Content("Nothing to explain yet: there are no samples.")


class Verdicts(Widget):
    """As many verdict lines as the widget has rows; a click on one presses its key."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Verdicts { height: 1; width: 1fr; text-wrap: nowrap; }"

    lines: reactive[tuple[StatusLine, ...]] = reactive(())

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs

    def render(self) -> Content:
        width, height = self.content_size
        shown = self.lines[: max(1, height)]
        word_columns = max((len(line.word) for line in shown), default=0)
        return Content("\n").join(verdict_line(line, self._glyphs, width, word_columns) for line in shown)

    def on_click(self, event: events.Click) -> None:
        if 0 <= event.y < len(self.lines) and (key := self.lines[event.y].key):
            self.post_message(KeyClicked(key))
