"""All devices of a pipeline as one range of offsets."""

from __future__ import annotations

import random
import threading
from bisect import bisect_right
from collections.abc import Iterable

from coldpress.errors import DeviceError
from coldpress.opendevice import OpenDevice
from coldpress.roles.device import Device


class DeviceSpace:
    """The blocks of all devices: which are in use, where the next one is written.

    A word holds an offset in the one range, so it says which device, too. Blocks are given out from
    the device of which the smallest share is in use, but from one whose write has failed only when
    no other has room, or after some dozen other blocks. `reserve` blocks, of all devices together,
    are kept for the cleaner; doubtful blocks are not among these, or it might have no good one.

    Attributes: `members`, in the order of their offsets; `freed`, how many blocks became free,
    ever; `quiet`, a condition notified when the write of a block has ended, or drains were ended.

    Notes: not thread-safe but for `find` and `at`; the pipeline calls under its lock. Every call is
    O(devices) at most.
    """

    def __init__(self, block: int, page_size: int, reserve: int, lock: threading.Lock) -> None:
        self.block = block
        self.reserve = reserve
        self.freed = 0
        self.quiet = threading.Condition(lock)
        self._page_size = page_size
        self._joined = 0
        self._accepting: tuple[OpenDevice, ...] = ()
        # One object, so that a look without the lock sees what belongs together.
        self._table: tuple[list[int], tuple[OpenDevice, ...]] = ([], ())

    # -- the devices ------------------------------------------------------------------------

    @property
    def members(self) -> tuple[OpenDevice, ...]:
        return self._table[1]

    def join(self, device: Device, largest: int) -> OpenDevice | None:
        """Add an open device; None if no range of its size is free below the offset `largest`."""
        base = self._gap(device.size, largest)
        if base < 0:
            return None
        one = OpenDevice(self._joined, device, base, self.block, self._page_size)
        self._joined += 1
        self._become([*self.members, one])
        return one

    def drain(self, one: OpenDevice, draining: bool) -> None:
        """The device is given no more blocks, or is again."""
        one.draining = draining
        self._become(self.members)

    def end_drains(self) -> None:
        """All devices are given blocks again: what is stored goes before what is drained."""
        for one in self.members:
            one.draining = False
        self._become(self.members)
        self.quiet.notify_all()

    def forget(self, one: OpenDevice) -> None:
        """The device, on which nothing is live or being written, is no more."""
        one.forgotten = True
        self._become([member for member in self.members if member is not one])

    def at(self, offset: int) -> OpenDevice:
        """The device that has this offset. Raises `LookupError` if there is none."""
        bases, members = self._table
        one = members[bisect_right(bases, offset) - 1]
        if one.base <= offset < one.end:
            return one
        raise LookupError(f"no device has the offset {offset}")

    def find(self, offset: int) -> OpenDevice | None:
        """The device that has this offset; None if it was forgotten."""
        try:
            return self.at(offset)
        except LookupError:
            return None

    def _become(self, members: Iterable[OpenDevice]) -> None:
        ordered = tuple(sorted(members, key=lambda one: one.base))
        self._table = ([one.base for one in ordered], ordered)
        self._accepting = tuple(one for one in ordered if not one.draining)

    def _gap(self, size: int, largest: int) -> int:
        """The lowest offset from which so many bytes are free; -1 if there is none."""
        at = 0
        for one in self.members:
            if one.base - at >= size:
                return at
            at = one.end
        return at if at + size <= largest else -1

    # -- blocks of the devices that take any ------------------------------------------------

    @property
    def free(self) -> int:
        """How many blocks writeback may still take, but for the doubtful ones."""
        return max(0, self.unused - self.reserve)

    @property
    def unused(self) -> int:
        """How many blocks may be taken, the reserve included."""
        unused = 0
        for one in self._accepting:
            unused += one.space.unused
        return unused

    @property
    def doubtful(self) -> int:
        """How many blocks may be taken when no other is left: their last write has failed."""
        return sum(one.space.doubtful for one in self._accepting)

    @property
    def count(self) -> int:
        """How many blocks there are that are not bad."""
        return sum(one.space.count - one.space.bad for one in self._accepting)

    @property
    def in_use(self) -> int:
        """How many of them hold live objects or are being written."""
        return sum(one.space.in_use for one in self._accepting)

    @property
    def room(self) -> int:
        """How many more object bytes they could hold at the very most, were they all cleaned."""
        live = sum(one.space.live_bytes for one in self._accepting)
        return (self.count - self.reserve) * self.block - live

    def acquire(self, *, reserve: bool = False) -> int:
        """The offset of a block to write, or -1 if there is none, or none but the reserve."""
        sure = self.free > 0 or (reserve and self.unused > 0)
        best, best_key = None, (True, 2.0)
        for one in self._accepting:
            if not (one.space.unused if sure else one.space.doubtful):
                continue
            key = (one.distrust > 0, one.space.in_use / one.space.count)
            if one.distrust:
                one.distrust -= 1
            if key < best_key:
                best, best_key = one, key
        return best.acquire() if best is not None else -1

    def sample(self, rng: random.Random, most: int) -> Iterable[int]:
        """The offsets of all blocks that were ever used, or of so many of them, at random."""
        used = [one.space.used for one in self._accepting]
        total = sum(map(len, used))
        if total <= most:
            return [offset for offsets in used for offset in offsets]
        drawn = []
        for _ in range(most):
            at = rng.randrange(total)
            for offsets in used:
                if at < len(offsets):
                    drawn.append(offsets[at])
                    break
                at -= len(offsets)
        return drawn

    # -- a block, wherever it is ------------------------------------------------------------

    def commit(self, offset: int, sequence: int, pages: int, payload: int, check: int) -> None:
        """An acquired block was written: all of its `payload` object bytes are live."""
        self.at(offset).commit(offset, sequence, pages, payload, check)
        self.quiet.notify_all()

    def abandon(self, offset: int, error: DeviceError | None) -> None:
        """Give back a block that could not be written; `None`: it was not the device's fault."""
        self.at(offset).abandon(offset, error)
        self.quiet.notify_all()

    def release(self, offset: int, length: int) -> None:
        """The object at this offset is not needed any more."""
        if self.at(offset).space.release(offset, length):
            self.freed += 1

    def stamp(self, offset: int) -> int:
        """The stamp of the block at this offset; 0 if its device was forgotten."""
        one = self.find(offset)
        return one.space.stamp(offset) if one is not None else 0

    def live(self, offset: int) -> int:
        """The live object bytes of the block at this offset."""
        return self.at(offset).space.live(offset)

    # -- sums over all devices --------------------------------------------------------------

    @property
    def live_bytes(self) -> int:
        return sum(one.space.live_bytes for one in self.members)

    @property
    def awaiting_bytes(self) -> int:
        """Bytes that nothing needs once a flush has ended."""
        return 0

    @property
    def payload_bytes(self) -> int:
        return sum(one.space.payload_bytes for one in self.members)

    @property
    def pages(self) -> int:
        return sum(one.space.pages for one in self.members)

    @property
    def bad(self) -> int:
        """How many blocks can not be written any more."""
        return sum(one.space.bad for one in self.members)

    @property
    def queue_depth(self) -> int:
        """How many threads it pays to have reading at once."""
        return max((one.device.queue_depth for one in self.members), default=1)

    @property
    def metadata_bytes(self) -> int:
        return sum(one.space.metadata_bytes for one in self.members)
