"""A slider for tcmalloc's release rate, 0 to 10, moved by keys, mouse and wheel. It proposes a rate and does not apply it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from memtui.control.pending import FINE_STEP, SLIDER_MAX, STEP
from memtui.display.figures import show_rate
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.widgets.line import Part


class RateSlider(Widget, can_focus=True):
    """``value``: the rate that the user wants, ``applied``: the one of the process. One mark where they are equal, else two."""

    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", f"step({-STEP})", "less by 0.5", show=False, id="slider.less"),
        Binding("right", f"step({STEP})", "more by 0.5", show=False, id="slider.more"),
        Binding("ctrl+left", f"step({-FINE_STEP})", "less by 0.1", show=False, id="slider.less-fine"),
        Binding("ctrl+right", f"step({FINE_STEP})", "more by 0.1", show=False, id="slider.more-fine"),
        Binding("home", "set_rate(0.0)", "never", show=False, id="slider.never"),
        Binding("end", f"set_rate({SLIDER_MAX})", "the most", show=False, id="slider.most"),
    ]

    DEFAULT_CSS = "RateSlider { height: 1; width: 1fr; min-width: 8; pointer: pointer; }"

    value: reactive[float] = reactive(1.0, init=False)
    applied: reactive[float] = reactive(1.0, init=False)

    class Changed(Message):
        """The user moved the slider to ``value``."""

        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._dragging = False

    def validate_value(self, value: float) -> float:
        return round(max(0.0, value), 6)

    @property
    def pending(self) -> bool:
        """Whether the rate that the user wants is not applied yet."""
        return self.value != self.applied

    def render(self) -> Content:
        glyphs, width = self._glyphs, max(2, self.content_size.width)
        bar, track = "$primary", "$muted" if self.has_focus else "$rule"
        thumb, waiting = ("$strong", "$strong") if self.has_focus else ("$primary", "$warn")
        mark, style = (glyphs.thumb_pending, waiting) if self.pending else (glyphs.thumb, thumb)
        if self.value > SLIDER_MAX:
            figure = f" {show_rate(self.value)} "
            filled = max(0, width - len(figure) - 1)
            return Content.assemble((glyphs.bar * filled, bar), (figure, f"bold {style}"), (mark, f"bold {style}"))
        at = self._column(self.value, width)
        was = self._column(min(self.applied, SLIDER_MAX), width)
        parts: list[Part] = [(glyphs.bar * at, bar), (mark, f"bold {style}"), (glyphs.track * (width - at - 1), track)]
        line = Content.assemble(*parts)
        if self.pending and was != at:
            line = line[:was] + Content.styled(glyphs.thumb, thumb) + line[was + 1 :]
        return line

    @staticmethod
    def _column(rate: float, width: int) -> int:
        return round(rate / SLIDER_MAX * (width - 1))

    def propose(self, rate: float) -> None:
        """Move the slider as the user does, and post Changed."""
        before = self.value
        self.value = rate
        if self.value != before:
            self.post_message(self.Changed(self.value))

    def action_step(self, by: float) -> None:
        limit = max(SLIDER_MAX, self.value)
        self.propose(round(min(limit, max(0.0, self.value + by)), 6))

    def action_set_rate(self, rate: float) -> None:
        self.propose(rate)

    def _to_column(self, column: int) -> None:
        share = min(1.0, max(0.0, column / max(1, self.content_size.width - 1)))
        self.propose(round(share * SLIDER_MAX / STEP) * STEP)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self._dragging = True
        self.capture_mouse()
        self._to_column(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragging:
            event.stop()
            self._to_column(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._dragging:
            event.stop()
            self._dragging = False
            self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_step(FINE_STEP)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_step(-FINE_STEP)
