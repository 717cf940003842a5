"""The bounce buffer: victims back to back in one block, in the policy's order."""

from __future__ import annotations

import attrs

from coldpress import OpenBlock, Packer
from coldpress.block import RECORD_BYTES, extract_object, table_bytes
from coldpress.recordblock import RecordBlock
from coldpress.roles import DeviceObject


@attrs.define(slots=False, eq=False, kw_only=True)
class Bounce(Packer):
    """Copies victims back to back into one N-page buffer: nothing pinned, no class waste.

    The first victim that does not fit any more begins the next block, so blocks leave in exactly
    the policy's order.
    """

    name = "bounce"

    def open(self, page_size: int) -> None:
        self._page_size = page_size

    def fits(self, length: int, page_size: int) -> bool:
        return table_bytes(1) + self.extent(length) <= self.block

    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        return RecordBlock(buffer, self._page_size)

    def extent(self, length: int) -> int:
        return RECORD_BYTES + length

    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        extract_object(data, wanted)
