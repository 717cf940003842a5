"""The device that is a stretch of RAM."""

from __future__ import annotations

import contextlib
import mmap

import attrs

import coldpress
from coldpress.bounds import check_range
from coldpress.flat import OS_PAGE, reserve


@attrs.define(slots=False, eq=False, kw_only=True)
class MemoryDevice(coldpress.Device):
    """RAM of this process, real only where it was written: for tests and comparisons.

    Notes:
        Thread-safe. A call costs the copying. `flush` has nothing to do.
    """

    name = "memory"

    _mapping: mmap.mmap | None = attrs.field(init=False, default=None)
    _view: memoryview | None = attrs.field(init=False, default=None)

    def open(self) -> None:
        try:
            self._mapping = reserve(self.size)
        except (MemoryError, OverflowError) as error:
            raise coldpress.DeviceError(f"memory: can not reserve {self.size} bytes") from error
        self._view = memoryview(self._mapping)

    @property
    def alignment(self) -> int:
        return 1

    def read_into(self, offset: int, buffer: memoryview) -> None:
        check_range(offset, buffer.nbytes, self.size)
        buffer.cast("B")[:] = self._opened()[offset : offset + buffer.nbytes]

    def write(self, offset: int, data: coldpress.Buffer) -> None:
        source = memoryview(data)
        check_range(offset, source.nbytes, self.size)
        self._opened()[offset : offset + source.nbytes] = source.cast("B")

    def discard(self, offset: int, length: int) -> None:
        check_range(offset, length, self.size)
        self._opened()
        first = -(-offset // OS_PAGE) * OS_PAGE
        last = (offset + length) // OS_PAGE * OS_PAGE
        mapping = self._mapping
        if mapping is not None and first < last:
            with contextlib.suppress(OSError):  # memory locked with mlockall(2) stays as it is
                mapping.madvise(mmap.MADV_DONTNEED, first, last - first)

    def flush(self) -> None:
        self._opened()

    def close(self) -> None:
        # Only let go: a call that still copies holds the view, and the mapping ends with it.
        self._view = self._mapping = None

    def _opened(self) -> memoryview:
        view = self._view
        if view is None:
            raise coldpress.DeviceError("memory: device is closed")
        return view
