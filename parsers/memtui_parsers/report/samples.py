"""What is said of figures that are estimated from samples."""

from __future__ import annotations

from collections.abc import Collection

from memtui_parsers.values import FEW_SAMPLES


def few_samples_note(samples: Collection[int]) -> list[str]:
    """A note on the stacks of a report that rest on few samples each, if there are any. ``samples``: of each stack."""
    few = sum(count < FEW_SAMPLES for count in samples)
    if not few:
        return []
    stacks = "1 stack rests" if few == 1 else f"{few} stacks rest"
    return [f"{stacks} on fewer than {FEW_SAMPLES} samples, of {len(samples)} in all: such figures are rough"]
