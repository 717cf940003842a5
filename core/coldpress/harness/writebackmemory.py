"""How much memory a pipeline's writeback allocates."""

from __future__ import annotations

import tracemalloc
from types import TracebackType

_TRACED = 16
"""So many rounds are traced before the distance between two is doubled."""


class WritebackMemory:
    """Entered around each round of writeback; traces the memory of some of them.

    Tracing makes a round several times slower. The first `_TRACED` rounds are traced, then every
    second, every fourth, and so on, `_TRACED` of each kind: about two hundred of 190,000.

    Attributes: `peak`, the most bytes that were allocated during a round and not yet freed; None
    if there was no round.

    Notes: for rounds that do not overlap, of a pipeline that no other thread uses: `tracemalloc`
    counts the allocations of all threads.
    """

    def __init__(self) -> None:
        self.peak: int | None = None
        self._until_next = 1
        self._distance = 1
        self._traced = 0
        self._tracing = False

    def __call__(self) -> WritebackMemory:
        return self

    def __enter__(self) -> None:
        self._until_next -= 1
        if self._until_next:
            return
        self._traced += 1
        if self._traced % _TRACED == 0:
            self._distance *= 2
        self._until_next = self._distance
        self._tracing = True
        tracemalloc.start(1)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tracing:
            self._tracing = False
            self.peak = max(self.peak or 0, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
