"""The blocks of a persistent device, which are free only when that is durable."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from coldpress.devicespace import DeviceSpace


class DurableSpace(DeviceSpace):
    """A `DeviceSpace` whose released bytes are free after the next flush.

    An object is released when what came in its place was written, which a crash may undo. Were its
    block written again before that is durable, neither might be there.

    Notes: not thread-safe; the pipeline calls under its lock.
    """

    def __init__(self, block: int, page_size: int, reserve: int, lock: threading.Lock) -> None:
        super().__init__(block, page_size, reserve, lock)
        self._awaiting: dict[int, int] = {}  # bytes, by their block's offset
        self._awaiting_bytes = 0

    def release(self, offset: int, length: int) -> None:
        start = self.at(offset).space.start_of(offset)
        self._awaiting[start] = self._awaiting.get(start, 0) + length
        self._awaiting_bytes += length

    @property
    def awaiting_bytes(self) -> int:
        return self._awaiting_bytes

    def before_flush(self) -> Mapping[int, int]:
        """What may be freed when a flush that begins now has ended."""
        released, self._awaiting = self._awaiting, {}
        return released

    def after_flush(self, released: Mapping[int, int], done: bool) -> None:
        """It has ended; if it failed, these bytes go on waiting."""
        for start, length in released.items():
            if done:
                self._awaiting_bytes -= length
                super().release(start, length)
            else:
                self._awaiting[start] = self._awaiting.get(start, 0) + length
