"""Estimates all allocations from the sampled ones of a heap profile: as google-pprof and jeprof do, for Go as `go tool pprof`."""

from __future__ import annotations

import math
from typing import NamedTuple

# The period that google-pprof assumes where a header names none.
_DEFAULT_PERIOD_BYTES = 128 << 10


class Sampling(NamedTuple):
    """How allocations were sampled: once in ``mean_bytes`` on average; 0: all of them were counted.

    With ``poisson``, a block of s bytes was sampled with probability 1-exp(-s/mean_bytes). In the older way, a block
    smaller than ``mean_bytes`` counts as if it had that size. ``whole``: the estimates of each line are cut to whole
    numbers, as `go tool pprof` does it; google-pprof and jeprof do not.
    """

    mean_bytes: float
    poisson: bool
    whole: bool = False

    def estimate(self, objects: int, size_bytes: int) -> tuple[float, float]:
        """Return (objects, bytes) of all allocations, estimated from the counts of one line.

        Lines of one stack are estimated before they are added up.
        """
        if objects <= 0 or size_bytes <= 0:
            return objects, size_bytes
        ratio = size_bytes / objects / self.mean_bytes
        factor = -1 / math.expm1(-ratio) if self.poisson else max(1.0, 1 / ratio)
        estimates = objects * factor, size_bytes * factor
        return (int(estimates[0]), int(estimates[1])) if self.whole else estimates


NO_SAMPLING = Sampling(0, poisson=False)


def sampling_of(kind: str, period: int, *, equal_totals: bool, go: bool = False) -> Sampling:
    """Return the sampling that a header's word and number after ``@`` mean ('' and 0: none).

    ``equal_totals``: the header has the same figures in use as ever allocated. ``go``: Go wrote it.
    """
    if kind == "heapprofile" or (kind and "heap" not in kind) or not (kind or equal_totals):
        return NO_SAMPLING
    new = "_v2" in kind
    # The older kind states the largest distance of two samples, which is twice the mean; so does Go.
    mean_bytes = period if new else period / 2
    if go and mean_bytes <= 1:
        return NO_SAMPLING
    return Sampling(mean_bytes or _DEFAULT_PERIOD_BYTES, poisson=new or go, whole=go)
