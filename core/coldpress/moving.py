"""Objects from one block of a device to another, still as they were written."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import attrs

from coldpress.block import BlockError, Record, read_copy
from coldpress.blockstore import BlockStore
from coldpress.entries import Entries
from coldpress.errors import DeviceError
from coldpress.flat import reserve
from coldpress.locks import released
from coldpress.recordblock import RecordBlock
from coldpress.roles.packer import DeviceObject, OpenBlock, Victim

UNREADABLE_SECONDS = 5.0
"""So long the cleaner leaves a block alone that could not be read."""


@attrs.frozen(eq=False)
class Move:
    """An object on its way from one block to another. `stamp` is that of the block it leaves.

    `data` is not encrypted, though the victim's length includes a seal.
    """

    victim: Victim
    place: int
    stamp: int
    data: bytes | memoryview


@attrs.frozen
class Moved:
    """What was written: the first `count` moves; and moved by it: so many bytes of objects."""

    count: int
    length: int


class _Moves:
    """The objects of one new block, as the block sees them."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self.by_victim = {move.victim: move for move in moves}

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        data = self.by_victim[victim].data  # without its seal: the new block gives it another
        out[at : at + len(data)] = data

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        return data  # only a packer that writes pages decompressed asks, and what it wrote is one


class Mover:
    """Reads blocks, and writes what is live in them to others.

    Notes: every method is called under the pipeline's lock; with `unlocked` that is let go while
    blocks are read and written. An object may change, leave, or be moved by another thread
    meanwhile: the word and the place of the clean copy, compared when all is written, tell.
    """

    def __init__(
        self, entries: Entries, store: BlockStore, page_size: int, lock: threading.Lock
    ) -> None:
        self._entries = entries
        self._store = store
        self._page_size = page_size
        self._lock = lock
        self._unreadable: dict[int, tuple[int, float]] = {}  # by offset: stamp, and until when

    def is_unreadable(self, block: int) -> bool:
        """Whether something in the block at this offset could not be read."""
        mark = self._unreadable.get(block)
        if mark is None:
            return False
        stamp, until = mark
        return stamp == self._store.space.stamp(block) and time.monotonic() < until

    def read(self, block: int, *, unlocked: bool) -> list[Move]:
        """The live objects of the block at this offset, by its records."""
        space = self._store.space
        home = space.find(block)
        if home is None:
            return []
        stamp = home.space.stamp(block)
        data = memoryview(reserve(space.block))
        records: list[Record] = []
        try:
            with released(self._lock, unlocked):
                self._store.read_from(home, block, data)
                records = self._store.records(data)
        except (BlockError, DeviceError) as error:
            # Its objects may still be read one by one; what is damaged is named when it is loaded.
            # What is damaged stays so, but the device may answer again.
            damaged = isinstance(error, BlockError)
            until = math.inf if damaged else time.monotonic() + UNREADABLE_SECONDS
            self._unreadable[block] = stamp, until
            return []
        self._store.counters.reads += 1
        self._store.counters.read_bytes += len(data)
        if space.stamp(block) != stamp:
            return []  # it became free and was written again while it was read
        found = []
        for record in records:
            place = self._entries.device_type.place(block + record.place, record.room)
            if not self._entries.referring(record.slot, record.order, place):
                continue
            try:
                # What is moved goes with the record, and leaves all of its slots.
                read_copy(data, record.place, record, stamp)
                body = self._store.sealing.opened(data[record.place :], record.place)
            except BlockError:
                self._unreadable[block] = stamp, math.inf
                continue
            victim = Victim(
                record.slot,
                0,
                record.codec,
                record.order,
                record.length,
                record.sequence,
                record.kind,
            )
            found.append(Move(victim, place, stamp, body))
        return found

    def of_object(self, one: DeviceObject) -> Move | None:
        """The move of an object that was read by itself; None if no slot refers to it any more."""
        place = self._entries.device_type.place(one.offset, one.length)
        if not self._store.is_current(one):
            return None
        if not self._entries.referring(one.first_slot, one.order, place):
            return None
        sequence = one.sequence or self._store.next_sequence()
        victim = Victim(one.first_slot, 0, one.codec, one.order, one.length, sequence)
        return Move(victim, place, one.stamp, one.data)

    def write(self, moves: Sequence[Move], *, cleaning: bool, unlocked: bool) -> Moved | None:
        """Write one block of these, of as many as it has room for, from the first on.

        `cleaning`: it may be one of those that are kept for that. None if there is no block, or it
        could not be written.
        """
        store = self._store
        block = store.space.acquire(reserve=cleaning)
        if block < 0:
            return None
        identity = store.next_identity(block)
        try:
            with released(self._lock, unlocked):
                objects = _Moves(moves)
                out = self._filled(moves, objects)
                packed = store.seal(out, identity, objects)
                store.put(block, packed)
        except BaseException as error:
            store.failed(block, error, "moving objects", copies=True)
            if isinstance(error, DeviceError):
                return None
            raise  # a plugin's fault; everything is where it was
        store.written(block, packed, identity)
        length = 0
        for placed in packed.members:
            move = objects.by_victim[placed.victim]
            new = self._entries.place(placed, block)
            offset, _ = self._entries.device_type.locate(move.place)
            # The block may have become free and been written again: its places mean others then.
            same = store.space.stamp(offset) == move.stamp
            victim = placed.victim
            if same and self._entries.moved(victim.slot, victim.order, move.place, new):
                length += placed.length
            else:
                self._entries.device_type.release(new)
        return Moved(len(out.victims), length)

    def _filled(self, moves: Sequence[Move], objects: _Moves) -> OpenBlock:
        """A block of these, from the first on, as many as it has room for."""
        packer = self._store.packer
        buffer = memoryview(reserve(packer.block))
        out: OpenBlock
        if packer.keeps_compressed:
            out = RecordBlock(buffer, self._page_size)
        else:
            out = packer.begin(buffer, packer.group(moves[0].victim.length))
        for move in moves:
            if not out.has_room(move.victim.length):
                break
            out.add(move.victim, objects)
        return out
