"""The mode and the rate that are applied, and those that are pending: memtui never relaunches by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from memtui.session.state import DEFAULT_RATE, RateRead, RunView
from memtui_profiler.request import CHECK_OFF

SLIDER_MAX = 10.0
STEP = 0.5
FINE_STEP = 0.1


@dataclass(frozen=True, slots=True)
class PendingControls:
    """``applied_rate`` None: memtui sets none and the process has its default. ``mode`` and ``rate`` None: nothing pending.

    ``read`` is the rate of the running process, None while it has not been read.
    """

    applied_mode: str = CHECK_OFF
    applied_rate: float | None = None
    mode: str | None = None
    rate: float | None = None
    read: RateRead | None = None

    @property
    def shown_mode(self) -> str:
        return self.applied_mode if self.mode is None else self.mode

    @property
    def current_rate(self) -> float:
        return self._launched_rate if self.read is None else self.read.rate

    @property
    def _launched_rate(self) -> float:
        return DEFAULT_RATE if self.applied_rate is None else self.applied_rate

    @property
    def shown_rate(self) -> float:
        return self.current_rate if self.rate is None else self.rate

    @property
    def wanted_rate(self) -> float | None:
        """The rate for the next launch: the one that is shown; None: it is the default, and nothing is set."""
        if self.rate is not None:
            return self.rate
        return self.applied_rate if self.current_rate == self._launched_rate else self.current_rate

    @property
    def changed(self) -> bool:
        return self.mode is not None or self.rate is not None

    def what(self) -> str:
        """Return the names of what is pending: ``mode, rate``."""
        return ", ".join(name for name, value in (("mode", self.mode), ("rate", self.rate)) if value is not None)

    def with_mode(self, mode: str) -> PendingControls:
        return replace(self, mode=None if mode == self.applied_mode else mode)

    def with_rate(self, rate: float) -> PendingControls:
        rate = round(max(0.0, rate), 6)
        return replace(self, rate=None if rate == self.current_rate else rate)

    def reading(self, read: RateRead | None) -> PendingControls:
        """Return the controls after the rate was read from the process: a pending rate that it has already is dropped."""
        if read == self.read:
            return self
        fresh = replace(self, read=read, rate=None)
        return fresh if self.rate is None else fresh.with_rate(self.rate)

    def reverted(self) -> PendingControls:
        return replace(self, mode=None, rate=None)

    def applied(self, run: RunView) -> PendingControls:
        """Return the controls once ``run`` is the newest: its values are applied, and only what differs stays pending."""
        fresh = PendingControls(run.row.mode, run.row.release_rate)
        if self.mode is not None:
            fresh = fresh.with_mode(self.mode)
        return fresh if self.rate is None else fresh.with_rate(self.rate)


def next_half(rate: float, direction: int) -> float:
    """Return the next multiple of 0.5 above or below (2.7 up: 3.0, 3.0 down: 2.5), within 0 to 10, but never back from above 10."""
    steps = rate / STEP
    target = math.floor(steps + 1e-9) + 1 if direction > 0 else math.ceil(steps - 1e-9) - 1
    if direction > 0:
        return max(rate, min(SLIDER_MAX, target * STEP))
    return max(0.0, min(SLIDER_MAX, target * STEP))


@dataclass(frozen=True, slots=True)
class TypedRate:
    """A rate that was typed: its value, or a sentence that says why it is refused; ``warning`` may come with a value."""

    value: float | None
    refusal: str = ""
    warning: str = ""


def parse_rate(text: str) -> TypedRate:
    """Read a release rate as typed; never raises."""
    text = text.strip()
    if not text:
        return TypedRate(None, "Type a number from 0 to 10, decimals allowed.")
    try:
        rate = float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        rate = None
    if rate is None:
        return TypedRate(None, "This is no number: type one from 0 to 10, decimals allowed.")
    if not math.isfinite(rate):
        return TypedRate(None, "A release rate is finite: type a number from 0 to 10.")
    if rate < 0:
        return TypedRate(None, "A release rate is never negative: 0 means never.")
    if rate > SLIDER_MAX:
        return TypedRate(rate, warning="Above 10 is beyond the useful range; it is set as typed.")
    return TypedRate(rate)
