"""The cleaner: makes whole blocks free out of blocks that are mostly dead.

The segment cleaner of the log-structured file system (Rosenblum and Ousterhout, SOSP '91): blocks
are chosen by cost and benefit, their live objects are copied together, oldest first and still
compressed, and the blocks they came from are free.
"""

from __future__ import annotations

import random
import threading

import attrs

from coldpress.block import RECORD_BYTES, BlockError, Record, read_header, read_object, table_bytes
from coldpress.blockstore import BlockStore
from coldpress.entries import Entries
from coldpress.errors import DeviceError
from coldpress.flat import reserve
from coldpress.locks import released
from coldpress.recordblock import RecordBlock
from coldpress.roles.packer import Victim

_CANDIDATES = 48  # blocks looked at for each choice; more choose hardly better
_ENOUGH = 2  # blocks gained at a time, so that writeback soon goes on
_MOST_WRITES = 16  # for them, however full the blocks are
_FULL = 0.95  # a block with more of it live is not worth its copying


@attrs.define
class CleanerCounters:
    """Kept under the pipeline's lock."""

    blocks: int = 0
    bytes: int = 0


@attrs.frozen(eq=False)
class _Move:
    """An object on its way from one block to another. `stamp` is that of the block it leaves."""

    victim: Victim
    place: int
    stamp: int
    data: memoryview


class _Moves:
    """The objects of one new block, as the block sees them."""

    def __init__(self, by_victim: dict[Victim, _Move]) -> None:
        self.by_victim = by_victim

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        out[at : at + victim.length] = self.by_victim[victim].data

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        raise TypeError("a cleaned object stays compressed")


class Cleaner:
    """Frees blocks for writeback, through a block of the reserve.

    Notes: every method is called under the pipeline's lock; with `unlocked` that is let go while
    blocks are read and written. One thread cleans at a time, others find it `busy`.
    """

    def __init__(
        self, entries: Entries, store: BlockStore, page_size: int, lock: threading.Lock
    ) -> None:
        self.counters = CleanerCounters()
        self.busy = False
        self._entries = entries
        self._store = store
        self._page_size = page_size
        self._lock = lock
        self._random = random.Random(0)
        self._unreadable: set[int] = set()

    def clean(self, *, unlocked: bool) -> bool:
        """Copy the live objects of some blocks into fewer; whether that freed any."""
        if self.busy or not self._store.packer.keeps_compressed:
            return False
        self.busy = True
        try:
            return self._clean(unlocked) > 0
        finally:
            self.busy = False

    def _clean(self, unlocked: bool) -> int:
        """How many blocks were gained, until that is _ENOUGH or nothing is worth its copying."""
        gained = 0
        chosen: set[int] = set()
        waiting: list[_Move] = []
        for _ in range(_MOST_WRITES):
            while self._take(waiting) == len(waiting):  # not enough yet for a full block
                block = self._choose(chosen)
                if block < 0:
                    break
                chosen.add(block)
                waiting += self._read(block, unlocked)
            taken = self._take(waiting)
            if taken == 0 or (taken == len(waiting) and gained > 0):
                break  # the rest would be a short block
            freed = self._write(waiting[:taken], unlocked)
            if freed is None:
                break
            del waiting[:taken]
            self.counters.blocks += freed
            gained += freed - 1
            if gained >= _ENOUGH:
                break
        return gained

    def _take(self, waiting: list[_Move]) -> int:
        """How many of these, from the first on, one block has room for."""
        payload = 0
        for count, move in enumerate(waiting):
            payload += move.victim.length
            size = table_bytes(count + 1) + (count + 1) * RECORD_BYTES + payload
            if size > self._store.space.block:
                return count
        return len(waiting)

    def _choose(self, chosen: set[int]) -> int:
        """The block with the most benefit for its cost, among some; -1 if none is worth it."""
        space = self._store.space
        best, best_score = -1, 0.0
        for block in space.sample(self._random, _CANDIDATES):
            live = space.live(block)
            used = live / space.block
            if not live or used > _FULL or block in chosen or block in self._unreadable:
                continue
            age = self._store.age(block)
            score = (1 - used) * age / (1 + used)
            if score > best_score:
                best, best_score = block, score
        return best

    def _read(self, block: int, unlocked: bool) -> list[_Move]:
        """The live objects of a block."""
        space = self._store.space
        start = space.offset_of(block)
        stamp = space.stamp(start)
        data = memoryview(reserve(space.block))
        records: list[Record] = []
        try:
            with released(self._lock, unlocked):
                self._store.device.read_into(start, data)
                records = read_header(data, self._page_size).records
        except (BlockError, DeviceError):
            # Its objects may still be read one by one; what is damaged is named when it is loaded.
            self._unreadable.add(block)
            return []
        self._store.counters.reads += 1
        self._store.counters.read_bytes += len(data)
        if space.stamp(start) != stamp:
            return []  # it became free and was written again while it was read
        found = []
        for record in records:
            place = self._entries.device_type.place(start + record.place, record.length)
            if not self._entries.referring(record.slot, record.order, place):
                continue
            try:
                read_object(data[record.place :], record.slot, record.length, stamp)
            except BlockError:
                self._unreadable.add(block)
                continue
            body = record.place + RECORD_BYTES
            victim = Victim(
                record.slot, 0, record.codec, record.order, record.length, record.sequence
            )
            found.append(_Move(victim, place, stamp, data[body : body + record.length]))
        return found

    def _write(self, collected: list[_Move], unlocked: bool) -> int | None:
        """Write a block of these, oldest first; how many became free by it, None if it failed."""
        store = self._store
        number = store.space.acquire(reserve=True)
        if number < 0:
            return None
        collected = sorted(collected, key=lambda move: move.victim.sequence)
        moves = _Moves({move.victim: move for move in collected})
        out = RecordBlock(memoryview(reserve(store.space.block)), self._page_size)
        identity = store.next_identity()
        try:
            with released(self._lock, unlocked):
                for move in collected:
                    out.add(move.victim, moves)
                packed = out.seal(identity, moves)
                store.put(number, packed)
        except DeviceError as error:
            store.failed(number, error)
            return None
        store.written(number, packed, identity)
        start = store.space.offset_of(number)
        freed = store.space.freed
        for placed in packed.members:
            move = moves.by_victim[placed.victim]
            new = self._entries.place(placed, start)
            offset, _ = self._entries.device_type.locate(move.place)
            # The block may have become free and been written again: its places mean others then.
            same = store.space.stamp(offset) == move.stamp
            victim = placed.victim
            if same and self._entries.moved(victim.slot, victim.order, move.place, new):
                self.counters.bytes += placed.length
            else:
                self._entries.device_type.release(new)
        return store.space.freed - freed
