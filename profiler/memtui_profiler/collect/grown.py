"""What a dump on growth has that a heap profile has not: samples in the place of objects, and growth that is nobody's."""

from __future__ import annotations

from dataclasses import replace

from memtui_parsers.values import GrowthFacts, HeapProfile

# (bytes, objects, samples) by packed stack; None: not sampled.
Figures = dict[bytes, tuple[int, int, int | None]]
# Less of what nobody was seen to touch is not worth a row: a page here and there.
_LEAST_SHARE = 0.001
_NO_STACK = b""


def counting_samples(profile: HeapProfile) -> HeapProfile:
    """The profile with its objects as what they are, samples: of pages nobody counts objects."""
    figures = list(profile.figures)
    samples = figures[0::4]
    figures[0::4] = figures[2::4] = [0] * len(samples)
    return replace(profile, figures=figures, samples=samples)


def with_nobodys(stacks: Figures, growth: GrowthFacts) -> Figures:
    """The stacks, with a record of its own, which has no stack, for growth that nobody was seen to touch."""
    rest = growth.grown_bytes - sum(size for size, _, _ in stacks.values())
    if rest <= _LEAST_SHARE * growth.grown_bytes:
        return stacks
    size, objects, samples = stacks.get(_NO_STACK, (0, 0, None))
    return {**stacks, _NO_STACK: (size + rest, objects, samples)}
