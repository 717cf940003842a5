"""How long single calls of a pipeline take."""

from __future__ import annotations

from array import array
from time import perf_counter_ns

from coldpress.component import Buffer
from coldpress.harness.runner import Stats, Target

_EVERY = 8
"""One of so many calls is timed: a percentile needs no more, and the others pay nothing."""


class Timed:
    """A pipeline, seen through a watch: every eighth `store` and `load` is timed.

    Attributes: `store_times`, `load_times`, nanoseconds in flat arrays.

    Notes: not thread-safe.
    """

    def __init__(self, pipeline: Target) -> None:
        self.store_times = array("Q")
        self.load_times = array("Q")
        self._pipeline = pipeline
        self._stores = 0
        self._loads = 0
        self.store_many = pipeline.store_many
        self.load_many = pipeline.load_many
        self.invalidate = pipeline.invalidate
        self.pool_resident_bytes = pipeline.pool_resident_bytes

    def store(self, slot: int, page: Buffer, /) -> None:
        self._stores += 1
        if self._stores % _EVERY:
            self._pipeline.store(slot, page)
            return
        begin = perf_counter_ns()
        self._pipeline.store(slot, page)
        self.store_times.append(perf_counter_ns() - begin)

    def load(self, slot: int, /) -> bytes:
        self._loads += 1
        if self._loads % _EVERY:
            return self._pipeline.load(slot)
        begin = perf_counter_ns()
        page = self._pipeline.load(slot)
        self.load_times.append(perf_counter_ns() - begin)
        return page

    def stats(self) -> Stats:
        return self._pipeline.stats()


def percentile_us(times: array[int], fraction: float) -> float | None:
    """The time, in microseconds, that this fraction of the calls did not exceed; None of none."""
    if not times:
        return None
    ordered = sorted(times)
    return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)] / 1000
