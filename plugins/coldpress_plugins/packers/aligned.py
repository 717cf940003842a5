"""Objects on page boundaries, for objects that are larger than a page."""

from __future__ import annotations

import attrs

from coldpress import OpenBlock
from coldpress.block import table_bytes
from coldpress.recordblock import RecordBlock
from coldpress_plugins.packers.bounce import Bounce


@attrs.define(slots=False, eq=False, kw_only=True)
class Aligned(Bounce):
    """Each object starts on a page boundary, its last page part empty: for large folios.

    A read touches no page of a neighbour. An object of a single page wastes half a block or more.
    """

    name = "aligned"

    def fits(self, length: int, page_size: int) -> bool:
        return table_bytes(1, page_size) + self.extent(length) <= self.block

    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        return RecordBlock(buffer, self._page_size, align=self._page_size)
