"""Victims between pool and device: open blocks, and the buffers that they are filled in."""

from __future__ import annotations

import mmap
from contextlib import ExitStack

from coldpress.budget import PoolBudget
from coldpress.errors import PluginError
from coldpress.flat import reserve
from coldpress.layout import STAGED_SHARE
from coldpress.recordblock import RecordBlock
from coldpress.roles.packer import OpenBlock, Packer


def headroom(limit: int, packer: Packer, in_flight: int) -> int:
    """The part of the pool's limit that is set aside for staged blocks, an eighth at most.

    But always one block: without it nothing could ever be written.
    """
    wanted = packer.open_blocks + in_flight
    return packer.block * max(1, min(wanted, limit // STAGED_SHARE // packer.block))


class Staging:
    """The open block of each group, and the buffers lent to open blocks and to those in flight.

    A buffer is real memory from its first use until `trim`, and counts as staged meanwhile:
    giving it back after each block would cost a page fault for every page of the next.

    Attributes: `buffers`, how many may be lent at once, when the budget's headroom is what it
    shall be: after another packer has come, it follows as bytes of the pool become free, and as
    buffers come back.

    Notes: not thread-safe; the pipeline calls under its lock.
    """

    def __init__(self, packer: Packer, budget: PoolBudget) -> None:
        self.buffers = budget.headroom // packer.block
        self._packer = packer
        self._budget = budget
        self._cold = [reserve(packer.block) for _ in range(self.buffers)]
        self._warm: list[mmap.mmap] = []
        self._lent: dict[OpenBlock, mmap.mmap] = {}
        self._open: dict[int, OpenBlock] = {}

    def block_for(self, length: int) -> tuple[OpenBlock | None, OpenBlock | None]:
        """The open block for an object of this length, or else a block to write before that.

        The latter has no room for the object, or it is the oldest and no buffer is left. Neither,
        if all buffers are in flight.
        """
        group = self._packer.group(length)
        block = self._open.get(group)
        if block is not None:
            if block.has_room(length):
                return block, None
            return None, self._open.pop(group)
        block = self.lend(group)
        if block is None:
            return None, self.oldest()
        if not block.has_room(length):
            self.give_back(block)
            raise PluginError(f"packer {self._packer.name!r} can not hold what it said would fit")
        self._open[group] = block
        return block, None

    def lend(self, group: int) -> OpenBlock | None:
        """An empty block of the group, which the caller closes; None if no buffer is left."""
        if self._warm:
            mapping = self._warm.pop()
        elif self._cold and self._may_stage():
            mapping = self._cold.pop()
            self._budget.stage(self._packer.block)
        else:
            return None
        block = self._packer.begin(memoryview(mapping), group)
        self._lent[block] = mapping
        return block

    def log_block(self, page_size: int) -> OpenBlock:
        """An empty block for records of slots that have no object; it has a buffer of its own."""
        return RecordBlock(memoryview(reserve(self._packer.block)), page_size)

    def oldest(self) -> OpenBlock | None:
        """Close the block that has been open longest, to be written short; None if none is."""
        for group in self._open:
            return self._open.pop(group)
        return None

    def give_back(self, block: OpenBlock) -> None:
        """The block was written, or could not be: a buffer that was lent is free again."""
        mapping = self._lent.pop(block, None)
        if mapping is not None:
            mapping[:] = bytes(len(mapping))  # what was freed in the pool is not to be found here
            self._warm.append(mapping)

    def trim(self) -> None:
        """Give the buffers that are not lent back to the system."""
        while self._warm:
            mapping = self._warm.pop()
            mapping.madvise(mmap.MADV_DONTNEED)
            self._budget.unstage(self._packer.block)
            self._cold.append(mapping)
        self._shrink()

    def change(self, packer: Packer, buffers: int, more: list[mmap.mmap], undo: ExitStack) -> None:
        """From now on blocks are this packer's, of the same size; none is open.

        `more` are the buffers that it wants besides those that are there.
        """
        undo.callback(self._become, self._packer, self.buffers, self._cold, self._budget.headroom)
        self._become(packer, buffers, [*self._cold, *more], self._budget.headroom)
        self._shrink()

    def _become(self, packer: Packer, buffers: int, cold: list[mmap.mmap], headroom: int) -> None:
        self._packer = packer
        self.buffers = buffers
        self._cold = cold
        self._budget.headroom = headroom

    def take_open(self) -> list[OpenBlock]:
        """Close all open blocks, which are not to be written."""
        blocks = list(self._open.values())
        self._open.clear()
        return blocks

    @property
    def bytes(self) -> int:
        """What the headroom shall be."""
        return self.buffers * self._packer.block

    @property
    def idle(self) -> bool:
        """Whether no block is open or in flight."""
        return not self._lent

    def _may_stage(self) -> bool:
        budget, block = self._budget, self._packer.block
        return budget.staged + block <= budget.headroom or budget.set_aside(block)

    def _shrink(self) -> None:
        """Give up what is there for more than `buffers`, as far as it is not in use."""
        budget = self._budget
        budget.headroom = min(budget.headroom, max(self.bytes, budget.staged))
        while self._cold and len(self._cold) + len(self._warm) + len(self._lent) > self.buffers:
            self._cold.pop()
