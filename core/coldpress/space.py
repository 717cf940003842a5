"""Which blocks of a device are in use, and how much of each is live."""

from __future__ import annotations

from collections import deque

from coldpress.flat import resident, table

BAD_AFTER = 3
"""Failed writes of a block, none of it between them going well, after which it is bad."""

_REST = 32  # blocks written until one whose write has failed is tried again


class BlockSpace:
    """A device's blocks, all of one size; `count` of them, the first at `start`.

    A block is known by its *offset*, in the range of all devices; any offset inside it will do. For
    each block: its live and written object bytes, its pages, and the low 32 bits of its sequence,
    the *stamp*, which no later use of the same block shares. A block is free again as soon as
    nothing in it is live.

    A block whose write has failed is *doubtful*: it gets another try after some dozen other blocks,
    or when there is no other. After BAD_AFTER tries it is *bad*, and not used any more.

    Attributes: `bad`, how many blocks are.

    Notes: not thread-safe; the pipeline calls under its lock. Every call is O(1).
    """

    def __init__(self, start: int, count: int, block: int) -> None:
        self.start = start
        self.block = block
        self.count = count
        self.live_bytes = 0
        self.payload_bytes = 0
        self.pages = 0  # of the blocks in use
        self._live = table("I", count)
        self._payload = table("I", count)
        self._pages = table("H", count)
        self._stamp = table("I", count)
        self._check = table("I", count)
        self._written = table("B", count)  # since the block was discarded
        self._free = table("I", count)  # a stack of blocks that were used before
        self._free_count = 0
        self._fresh = 0  # blocks from here on were never used
        self.bad = 0
        self._commits = 0
        self._failing = False  # the last write has failed, of whichever block
        self._failed: deque[tuple[int, int]] = deque()  # doubtful blocks, and `_commits` then
        self._failures: dict[int, int] = {}  # in a row, that are held against a block

    @property
    def in_use(self) -> int:
        """How many blocks hold live objects or are being written."""
        return self._fresh - self._free_count - len(self._failed) - self.bad

    @property
    def unused(self) -> int:
        """How many blocks may be taken, but for the doubtful ones."""
        return self.count - self._fresh + self._free_count

    @property
    def doubtful(self) -> int:
        """How many blocks the last write of which has failed may be taken."""
        return len(self._failed)

    @property
    def used(self) -> range:
        """The offsets of all blocks that were ever used."""
        return range(self.start, self.start + self._fresh * self.block, self.block)

    def acquire(self) -> int:
        """The offset of a block to write; there is one."""
        failed = self._failed
        rested = failed and not self._failing and self._commits - failed[0][1] >= _REST
        if rested or not self.unused:
            block, _ = failed.popleft()
        elif self._free_count:
            self._free_count -= 1
            block = self._free[self._free_count]
        else:
            self._fresh += 1
            block = self._fresh - 1
        return self.start + block * self.block

    def abandon(self, offset: int, *, blamed: bool) -> None:
        """Give back a block that could not be written; `blamed`: that is held against it."""
        block = self.number(offset)
        self._stamp[block] = 0
        # Only the first failure after a write that went well is held against its block: of a device
        # that is unplugged all writes fail, and none of these blocks is bad.
        failures = self._failures.pop(block, 0) + (blamed and not self._failing)
        self._failing = True
        if failures >= BAD_AFTER:
            self.bad += 1
            return
        if failures:
            self._failures[block] = failures
        self._failed.append((block, self._commits))

    def spoilt(self, offset: int, pages: int) -> None:
        """What a failed write left in the block may be so many pages long."""
        self._pages[self.number(offset)] = pages

    def commit(self, offset: int, sequence: int, pages: int, payload: int, check: int) -> None:
        """The block was written: all of its `payload` object bytes are live."""
        block = self.number(offset)
        self._commits += 1
        self._failing = False
        self._failures.pop(block, None)
        self._check[block] = check
        self._written[block] = 1
        self._live[block] = self._payload[block] = payload
        self._pages[block] = pages
        self._stamp[block] = sequence & 0xFFFFFFFF
        self.live_bytes += payload
        self.payload_bytes += payload
        self.pages += pages

    def release(self, offset: int, length: int) -> bool:
        """The object at this offset is not needed any more; whether its block became free."""
        block = self.number(offset)
        left = self._live[block] - length
        if left < 0:
            raise ValueError(f"more than block {block} holds was released")
        self._live[block] = left
        self.live_bytes -= length
        if left:
            return False
        self.payload_bytes -= self._payload[block]
        self.pages -= self._pages[block]
        self._push(block)
        return True

    def found(self, offset: int, sequence: int, pages: int, payload: int) -> None:
        """The device was opened with this block on it; nothing in it is live yet."""
        block = self.number(offset)
        self._payload[block] = payload
        self._pages[block] = pages
        self._stamp[block] = sequence & 0xFFFFFFFF
        self._written[block] = 1

    def found_live(self, offset: int, length: int) -> None:
        """So many bytes of it are."""
        self._live[self.number(offset)] += length

    def found_all(self, used: int) -> None:
        """That was all, and so many blocks were used before. Those without live bytes are free."""
        self._fresh = used
        for block in range(used):
            live = self._live[block]
            if live:
                self.live_bytes += live
                self.payload_bytes += self._payload[block]
                self.pages += self._pages[block]
            else:
                self._push(block)

    def stamp(self, offset: int) -> int:
        """The stamp of the block at this offset."""
        return self._stamp[(offset - self.start) // self.block]

    def stamp_and_check(self, offset: int) -> tuple[int, int]:
        """The stamp of the block at this offset, and what the packer keeps of it."""
        block = (offset - self.start) // self.block
        return self._stamp[block], self._check[block]

    def pages_of(self, offset: int) -> int:
        """How many pages were written of the block at this offset."""
        return self._pages[self.number(offset)]

    def live(self, offset: int) -> int:
        """The live object bytes of the block at this offset."""
        return self._live[self.number(offset)]

    def payload(self, offset: int) -> int:
        """The object bytes that were written to the block at this offset, live or not."""
        return self._payload[self.number(offset)]

    def number(self, offset: int) -> int:
        """The number, on its device, of the block at this offset."""
        return (offset - self.start) // self.block

    def start_of(self, offset: int) -> int:
        """The offset at which the block at this offset starts."""
        return offset - (offset - self.start) % self.block

    def take_discards(self) -> list[tuple[int, int]]:
        """The free blocks that were written since the last call, as (offset, length) of runs."""
        runs: list[tuple[int, int]] = []
        for block in sorted(b for b in self._free[: self._free_count] if self._written[b]):
            self._written[block] = 0
            offset = self.start + block * self.block
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
        self._free[self._free_count] = block
        self._free_count += 1
