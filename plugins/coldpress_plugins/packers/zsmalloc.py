"""A second zsmalloc for the device: victims of like size share a block, in equal cells."""

from __future__ import annotations

import attrs

from coldpress import OpenBlock
from coldpress.block import RECORD_BYTES, table_bytes
from coldpress.recordblock import RecordBlock
from coldpress_plugins.packers.bounce import Bounce

_GRAIN = 16  # bytes; neighbouring cell sizes are a multiple of it apart


@attrs.define(slots=False, eq=False, kw_only=True)
class ZsmallocPacker(Bounce):
    """Victims copied, in the policy's order, into N-page blocks cut into cells of a size class.

    The idea of the mailing-list thread. As in mm/zsmalloc.c, sizes of which equally many fit share
    a class; here the zspage is the block, and its size is N pages for every class. One block of
    each class is open at a time.
    """

    name = "zsmalloc"

    def open(self, page_size: int) -> None:
        super().open(page_size)
        largest = max(page_size, self.largest_folio(page_size))
        # Each cell's longest object stands for all that need the same.
        lengths = range(-RECORD_BYTES % _GRAIN, largest + _GRAIN, _GRAIN)
        self._cells = sorted({self._cell(length) for length in lengths})
        self._groups = {cell: group for group, cell in enumerate(self._cells)}

    @property
    def open_blocks(self) -> int:
        return len(self._cells)

    def group(self, length: int) -> int:
        return self._groups[self._cell(length)]

    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        return RecordBlock(buffer, self._page_size, cell=self._cells[group])

    def _cell(self, length: int) -> int:
        """The largest cell of which as many fit into a block as of the smallest that will do."""
        need = RECORD_BYTES + length
        need += -need % _GRAIN
        count = max(1, (self.block - table_bytes(0)) // (need + RECORD_BYTES))
        cell = (self.block - table_bytes(count)) // count
        return cell - cell % _GRAIN
