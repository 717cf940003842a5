"""Which blocks of the device are in use, and how much of each is live."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from coldpress.flat import resident, table


class BlockSpace:
    """The device's blocks, all of one size, from `start` to the last whole one.

    For each block: its live and written object bytes, its pages, and the low 32 bits of its
    sequence, the *stamp*, which no later use of the same block shares. A block is free again as
    soon as nothing in it is live. `reserve` blocks are kept for the cleaner.

    Notes: not thread-safe; the pipeline calls under its lock. Every call is O(1).
    """

    def __init__(self, start: int, size: int, block: int, page_size: int, reserve: int) -> None:
        self.start = start
        self.block = block
        self.count = max(0, (size - start) // block)
        self.reserve = reserve
        self.live_bytes = 0
        self.payload_bytes = 0
        self.pages = 0  # of the blocks in use
        self.freed = 0  # how many blocks became free, ever
        self.page_size = page_size
        self._live = table("I", self.count)
        self._payload = table("I", self.count)
        self._pages = table("H", self.count)
        self._stamp = table("I", self.count)
        self._check = table("I", self.count)
        self._written = table("B", self.count)  # since the block was discarded
        self._free = table("I", self.count)  # a stack of blocks that were used before
        self._free_count = 0
        self._fresh = 0  # blocks from here on were never used
        self._failed: deque[int] = deque()  # the last write of these failed

    @property
    def free(self) -> int:
        """How many blocks writeback may still take."""
        return max(0, self.count - self.in_use - self.reserve)

    @property
    def in_use(self) -> int:
        """How many blocks hold live objects or are being written."""
        return self._fresh - self._free_count - len(self._failed)

    def acquire(self, *, reserve: bool = False) -> int:
        """The number of a block to write, or -1 if there is none, or none but the reserve."""
        if not self.free and not (reserve and self.in_use < self.count):
            return -1
        if self._free_count:
            self._free_count -= 1
            return int(self._free[self._free_count])
        if self._fresh < self.count:
            self._fresh += 1
            return self._fresh - 1
        return self._failed.popleft()

    def abandon(self, block: int) -> None:
        """Give back a block that could not be written: it is used again when no other is left."""
        self._stamp[block] = 0
        self._failed.append(block)

    def commit(self, block: int, sequence: int, pages: int, payload: int, check: int) -> None:
        """The block was written: all of its `payload` object bytes are live."""
        self._check[block] = check
        self._written[block] = 1
        self._live[block] = self._payload[block] = payload
        self._pages[block] = pages
        self._stamp[block] = sequence & 0xFFFFFFFF
        self.live_bytes += payload
        self.payload_bytes += payload
        self.pages += pages

    def release(self, offset: int, length: int) -> None:
        """The object at this device offset is not needed any more."""
        block = (offset - self.start) // self.block
        left = self._live[block] - length
        if left < 0:
            raise ValueError(f"more than block {block} holds was released")
        self._live[block] = left
        self.live_bytes -= length
        if not left:
            self.payload_bytes -= self._payload[block]
            self.pages -= self._pages[block]
            self._push(block)

    def stamp(self, offset: int) -> int:
        """The stamp of the block at this device offset."""
        return int(self._stamp[(offset - self.start) // self.block])

    def check(self, offset: int) -> int:
        """What the packer keeps of the block at this device offset."""
        return int(self._check[(offset - self.start) // self.block])

    def pages_of(self, offset: int) -> int:
        """How many pages were written of the block at this device offset."""
        return int(self._pages[(offset - self.start) // self.block])

    def live(self, block: int) -> int:
        """The live object bytes of a block."""
        return int(self._live[block])

    def sample(self, rng: random.Random, most: int) -> Iterable[int]:
        """All blocks that were ever used, or so many of them, drawn at random."""
        if self._fresh <= most:
            return range(self._fresh)
        return [rng.randrange(self._fresh) for _ in range(most)]

    def block_of(self, offset: int) -> int:
        """The number of the block at this device offset."""
        return (offset - self.start) // self.block

    def offset_of(self, block: int) -> int:
        """The device offset at which a block starts."""
        return self.start + block * self.block

    def take_discards(self) -> list[tuple[int, int]]:
        """The free blocks that were written since the last call, as (offset, length) of runs."""
        runs: list[tuple[int, int]] = []
        for block in sorted(b for b in self._free[: self._free_count] if self._written[b]):
            self._written[block] = 0
            offset = self.offset_of(block)
            if runs and sum(runs[-1]) == offset:
                runs[-1] = (runs[-1][0], runs[-1][1] + self.block)
            else:
                runs.append((offset, self.block))
        return runs

    @property
    def metadata_bytes(self) -> int:
        return resident(
            self._live,
            self._payload,
            self._pages,
            self._stamp,
            self._check,
            self._free,
            self._written,
        )

    def _push(self, block: int) -> None:
        self.freed += 1
        self._free[self._free_count] = block
        self._free_count += 1
