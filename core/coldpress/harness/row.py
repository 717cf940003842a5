"""What a comparison found out about one pipeline at one limit."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import attrs

from coldpress.harness.result import Result
from coldpress.harness.timed import percentile_us

BASELINE = "page"
"""The packer that others are measured against: what the kernel does."""


def percent(fraction: float) -> str:
    """A fraction for people: `percent(0.25)` is "25%"."""
    return f"{fraction * 100:g}%"


@attrs.define
class Row:
    """One run of a comparison.

    Attributes:
        pipeline: what the pipeline is called, its file's name.
        packer: its packer's name.
        limit: the pool's limit as a fraction of `footprint_bytes`.
        footprint_bytes: compressed bytes of all pages, each slot's first version.
        result: the run's figures and verdict.
        store_times: durations of a sample of the stores, in nanoseconds.
        load_times: durations of a sample of the loads, in nanoseconds.
        writeback_peak_bytes: most memory that a round of writeback allocated; None: not traced.
        bytes_of_page: bytes written, as a fraction of what the `page` packer wrote at this limit;
            None without one.
        ios_of_page: I/Os written, as a fraction likewise.

    The counters are those before the reading back at the end, which is there to check the pages
    and belongs to no workload.
    """

    pipeline: str
    packer: str
    limit: float
    footprint_bytes: int
    result: Result
    store_times: array[int]
    load_times: array[int]
    writeback_peak_bytes: int | None
    bytes_of_page: float | None = None
    ios_of_page: float | None = None

    @property
    def counters(self) -> dict[str, Any]:
        return self.result.before_reading_back

    @property
    def block_fill(self) -> float | None:
        """Object bytes in what was written to the bytes written; None if nothing was."""
        return _ratio(self.counters["payload_bytes"], self.counters["writeback_bytes"])

    @property
    def cleaner_write_amplification(self) -> float | None:
        """Object bytes written by writeback and cleaner to those by writeback alone."""
        payload = self.counters["payload_bytes"]
        return _ratio(payload, payload - self.counters["cleaned_bytes"])

    @property
    def latencies(self) -> dict[str, float | None]:
        """`store_p50_us`, `store_p99_us`, `load_p50_us`, `load_p99_us`.

        Median and 99th percentile of single stores and loads, in microseconds.
        """
        return {
            f"{call}_p{fraction * 100:.0f}_us": percentile_us(times, fraction)
            for call, times in (("store", self.store_times), ("load", self.load_times))
            for fraction in (0.5, 0.99)
        }

    def asdict(self) -> dict[str, Any]:
        """What `coldpress compare --json` prints, but for the list around it."""
        return {
            "pipeline": self.pipeline,
            "packer": self.packer,
            "limit": self.limit,
            "footprint_bytes": self.footprint_bytes,
            "pages": self.result.pages,
            "verified": self.result.verified,
            "failures": self.result.failures,
            "bytes_of_page": self.bytes_of_page,
            "ios_of_page": self.ios_of_page,
            "block_fill": self.block_fill,
            "cleaner_write_amplification": self.cleaner_write_amplification,
            "writeback_peak_bytes": self.writeback_peak_bytes,
            "cpu_seconds": self.result.cpu_seconds,
            **self.latencies,
            **self.counters,
        }


def against_baseline(rows: Sequence[Row]) -> None:
    """Fill in `bytes_of_page` and `ios_of_page`."""
    baselines = {row.limit: row.counters for row in reversed(rows) if row.packer == BASELINE}
    for row in rows:
        if row.limit in baselines:
            page = baselines[row.limit]
            now = row.counters
            row.bytes_of_page = _ratio(now["writeback_bytes"], page["writeback_bytes"])
            row.ios_of_page = _ratio(now["writeback_blocks"], page["writeback_blocks"])


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
