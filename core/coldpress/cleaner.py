"""The cleaner: makes whole blocks free out of blocks that are mostly dead.

The segment cleaner of the log-structured file system (Rosenblum and Ousterhout, SOSP '91): blocks
are chosen by cost and benefit, their live objects are copied together, oldest first and still
compressed, and the blocks they came from are free.
"""

from __future__ import annotations

import random
import threading

import attrs

from coldpress.block import RECORD_BYTES, table_bytes
from coldpress.blockstore import BlockStore
from coldpress.errors import DeviceError
from coldpress.health import TRIES
from coldpress.moving import Move, Mover

LOW = 3
"""Free blocks; below that the cleaner is due."""

_CANDIDATES = 48  # blocks looked at for each choice; more choose hardly better
_ENOUGH = 2  # blocks gained at a time, so that writeback soon goes on
_MOST_WRITES = 16  # for them, however full the blocks are
_FULL = 0.95  # a block with more of it live is not worth its copying


@attrs.define
class CleanerCounters:
    """Kept under the pipeline's lock."""

    blocks: int = 0
    bytes: int = 0


class Cleaner:
    """Frees blocks for writeback, through a block of the reserve.

    Attributes: `counters`; `busy`, whether a thread is cleaning; `done`, a condition notified when
    it has ended.

    Notes: every method is called under the pipeline's lock; with `unlocked` that is let go while
    blocks are read and written. One thread cleans at a time, others find it `busy`.
    """

    def __init__(self, store: BlockStore, mover: Mover, lock: threading.Lock) -> None:
        self.counters = CleanerCounters()
        self.busy = False
        self.done = threading.Condition(lock)
        self._store = store
        self._mover = mover
        self._random = random.Random(0)

    def clean(self, *, unlocked: bool) -> bool:
        """Copy the live objects of some blocks into fewer; whether that freed any."""
        if self.busy or not self._store.packer.keeps_compressed:
            return False
        self.busy = True
        try:
            return self._clean(unlocked) > 0
        finally:
            self.busy = False
            self.done.notify_all()

    def _clean(self, unlocked: bool) -> int:
        """How many blocks were gained, until that is _ENOUGH or nothing is worth its copying."""
        gained = 0
        chosen: set[int] = set()
        waiting: list[Move] = []
        unreadable = 0  # of a device that does not answer, not every block is tried
        for _ in range(_MOST_WRITES):
            # Not enough yet for a full block.
            while unreadable < TRIES and self._take(waiting) == len(waiting):
                block = self._choose(chosen)
                if block < 0:
                    break
                chosen.add(block)
                waiting += self._mover.read(block, unlocked=unlocked)
                unreadable += self._mover.is_unreadable(block)
            taken = self._take(waiting)
            if taken == 0 or (taken == len(waiting) and gained > 0):
                break  # the rest would be a short block
            freed = self._write(waiting[:taken], unlocked)
            if freed < 0:
                break
            del waiting[:taken]
            self.counters.blocks += freed
            gained += freed - 1
            if gained >= _ENOUGH:
                break
        return gained

    def _take(self, waiting: list[Move]) -> int:
        """How many of these, from the first on, one block has room for."""
        payload = 0
        for count, move in enumerate(waiting):
            payload += move.victim.length
            size = table_bytes(count + 1) + (count + 1) * RECORD_BYTES + payload
            if size > self._store.space.block:
                return count
        return len(waiting)

    def _choose(self, chosen: set[int]) -> int:
        """The offset of the block that is most worth its copying, among some; -1 if none is."""
        space = self._store.space
        best, best_score = -1, 0.0
        for block in space.sample(self._random, _CANDIDATES):
            live = space.live(block)
            used = live / space.block
            if not live or used > _FULL or block in chosen or self._mover.is_unreadable(block):
                continue
            age = self._store.age(block)
            score = (1 - used) * age / (1 + used)
            if score > best_score:
                best, best_score = block, score
        return best

    def _write(self, moves: list[Move], unlocked: bool) -> int:
        """Write a block of these, oldest first; how many became free by it, -1 if it failed."""
        oldest_first = sorted(moves, key=lambda move: move.victim.sequence)
        freed = self._store.space.freed
        moved = self._mover.write(oldest_first, cleaning=True, unlocked=unlocked)
        if moved is None:
            return -1
        try:
            self._store.settle(unlocked=unlocked)
        except DeviceError:
            return -1  # the next flush, which somebody waits for, will tell
        self.counters.bytes += moved.length
        return self._store.space.freed - freed
