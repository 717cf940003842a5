"""What a run found out."""

from __future__ import annotations

from typing import Any

import attrs

_SHOWN = 20
_NOT_PRINTED = {"page_size", "stores", "loads", "cpu_seconds", "messages"} | {
    "before_reading_back",
    "counters",
}


@attrs.define
class Result:
    """The figures of one run.

    Attributes:
        pages: slots that hold a page at the end.
        verified: those of them that were read back at the end and found equal to the input.
        stores: pages given to the pipeline, in all.
        loads: pages asked back from it, in all.
        store_seconds: time inside the pipeline's calls for `stores`.
        load_seconds: time inside the pipeline's calls for `loads`.
        final_reads: pages read back at the end.
        pool_resident_peak: most bytes of the pool that the operating system had in RAM, sampled.
        failures: checks and calls that failed.
        messages: what the first of them said.
        interrupted: the run was stopped before its end.
        cpu_seconds: CPU time of the whole process until the reading back.
        before_reading_back: the pipeline's counters when the pages began to be read back.
        counters: the pipeline's counters at the end.
        pipeline: the components' names by role.
    """

    page_size: int
    pipeline: dict[str, str]
    pages: int = 0
    verified: int = 0
    stores: int = 0
    loads: int = 0
    store_seconds: float = 0.0
    load_seconds: float = 0.0
    final_reads: int = 0
    pool_resident_peak: int = 0
    failures: int = 0
    interrupted: bool = False
    cpu_seconds: float = 0.0
    messages: list[str] = attrs.Factory(list)
    before_reading_back: dict[str, int] = attrs.Factory(dict)
    counters: dict[str, int] = attrs.Factory(dict)

    def fail(self, message: str) -> None:
        """Count a failure; only the first ones are kept in words."""
        self.failures += 1
        if len(self.messages) < _SHOWN:
            self.messages.append(message)

    @property
    def final_refaults(self) -> int:
        """Pages that the device served when all were read back at the end."""
        if not self.before_reading_back:  # it did not come to that
            return 0
        return self.counters["refaults"] - self.before_reading_back["refaults"]

    @property
    def ratio(self) -> float | None:
        """Bytes of the stored pages to bytes of their objects, in the pool and on the device.

        None if there is no object. An object that was promoted counts in both places.
        """
        objects = self.counters["compressed_bytes"] + self.counters["live_bytes"]
        return self.counters["stored_pages"] * self.page_size / objects if objects else None

    @property
    def saved_bytes(self) -> int:
        """Bytes not written, against writing back each of the same pages uncompressed."""
        written = self.counters["written_back_pages"] * self.page_size
        return written - self.counters["writeback_bytes"]

    def asdict(self) -> dict[str, Any]:
        """What `coldpress run --json` prints."""
        own = attrs.asdict(self, filter=lambda field, _: field.name not in _NOT_PRINTED)
        derived = {"final_refaults": self.final_refaults, "ratio": self.ratio}
        return {**own, **derived, **self.counters}
