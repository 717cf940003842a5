"""The reserved mapping in which a pool keeps its pages."""

from __future__ import annotations

import mmap

from coldpress.budget import PoolBudget
from coldpress.flat import OS_PAGE, reserve, resident, table

_STEP = 1 << 20  # bytes overwritten at a time


class ReservedMapping:
    """Extents of up to `extent` bytes each, in one reserved stretch of address space.

    An extent lies at `number * extent` and never moves, so an object inside it is contiguous and
    needs no mapping step. Only the bytes that were asked for count against the budget; the rest of
    the extent is address space, which is free. A released extent goes back to the operating
    system at once (MADV_DONTNEED) and reads as zeros when it is used again.

    Parameters:
        budget: what the bytes of acquired extents are taken from.
        extent: bytes, a multiple of the operating system's page.
        count: how many extents there are at most.

    Attributes:
        view: the whole mapping; extent N begins at N * `extent`.
        metadata_bytes: resident bytes of the list of released extents.

    Notes:
        Not thread-safe: the pipeline calls under its lock. `acquire` and `release` are O(1). Raises
        `ValueError` for an extent that is no multiple of the operating system's page.
    """

    def __init__(self, budget: PoolBudget, extent: int, count: int) -> None:
        if extent <= 0 or extent % OS_PAGE:
            raise ValueError(f"an extent of {extent} bytes is no multiple of {OS_PAGE}")
        self.extent = extent
        self._budget = budget
        self._mapping = reserve(extent * count)
        self.view = memoryview(self._mapping)
        self._free = table("I", count)  # a stack of released numbers
        self._free_count = 0
        self._fresh = 0  # numbers from here on were never used
        self._count = count

    def acquire(self, size: int) -> int:
        """The number of an extent with `size` bytes, or -1 if there is no room."""
        if not self._free_count and self._fresh == self._count:
            return -1
        if not self._budget.take(size):
            return -1
        if self._free_count:
            self._free_count -= 1
            return int(self._free[self._free_count])
        self._fresh += 1
        return self._fresh - 1

    def release(self, number: int, size: int) -> None:
        """Give an extent, acquired with this `size`, back to the operating system."""
        self._forget(number * self.extent, size)
        self._budget.give(size)
        self._free[self._free_count] = number
        self._free_count += 1

    def close(self) -> None:
        """Give all of it back to the operating system, even if something still holds the view."""
        self._forget(0, self._fresh * self.extent)

    def _forget(self, start: int, size: int) -> None:
        try:
            self._mapping.madvise(mmap.MADV_DONTNEED, start, size)
        except OSError:  # locked memory (mlockall) stays, but nothing may be read there any more
            zeros = memoryview(bytes(min(size, _STEP)))
            for at in range(start, start + size, _STEP):
                end = min(at + _STEP, start + size)
                self.view[at:end] = zeros[: end - at]

    def resident_bytes(self) -> int:
        """What of the mapping is in RAM, as the operating system counts it."""
        return resident(self.view[: self._fresh * self.extent])

    @property
    def metadata_bytes(self) -> int:
        return resident(self._free)
