"""What a sampled heap profile stands for: all allocations, estimated from the sampled ones as google-pprof and jeprof do it."""

from __future__ import annotations

import math
from typing import NamedTuple

# What google-pprof takes where a header names no period.
DEFAULT_BYTES = 128 << 10


class Sampling(NamedTuple):
    """``mean_bytes``: allocated between two samples, on average; 0: every allocation is counted.

    ``poisson``: a block of s bytes was sampled with the chance 1-exp(-s/mean_bytes). Else the older way: blocks below
    ``mean_bytes`` count as if they had that size.
    """

    mean_bytes: float
    poisson: bool

    def estimate(self, objects: int, size_bytes: int) -> tuple[float, float]:
        """(objects, bytes) that one line's counts stand for. Lines of one stack are estimated before they are added up."""
        if objects <= 0 or size_bytes <= 0:
            return objects, size_bytes
        ratio = size_bytes / objects / self.mean_bytes
        factor = -1 / math.expm1(-ratio) if self.poisson else max(1.0, 1 / ratio)
        return objects * factor, size_bytes * factor


EVERYTHING = Sampling(0, poisson=False)


def sampling_of(kind: str, period: int, *, equal_totals: bool) -> Sampling:
    """By a header's word and number after ``@``, '' and 0 where there is none; ``equal_totals``: in use and ever allocated."""
    if kind == "heapprofile" or (kind and "heap" not in kind) or not (kind or equal_totals):
        return EVERYTHING
    poisson = "_v2" in kind
    # The number of the older kind is the largest distance of two samples, so twice the mean.
    return Sampling((period if poisson else period / 2) or DEFAULT_BYTES, poisson)
