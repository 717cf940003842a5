"""The devices as the pipeline uses them: blocks out, objects back."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator

import attrs

from coldpress.block import EPOCH_AT, BlockError, Record, read_header
from coldpress.devicespace import DeviceSpace
from coldpress.errors import CorruptBlock, DeviceError, DeviceUnusable
from coldpress.flat import reserve
from coldpress.folio import folio_limit
from coldpress.health import TRIES
from coldpress.layout import reserve_blocks, seal_bytes
from coldpress.mark import Mark
from coldpress.opendevice import OpenDevice
from coldpress.rereading import PAUSES, Tally, read_again
from coldpress.roles.compressor import Compressor
from coldpress.roles.device import Device
from coldpress.roles.packer import (
    BlockIdentity,
    DeviceObject,
    Objects,
    OpenBlock,
    PackedBlock,
    Packer,
)
from coldpress.sealing import Sealing

_SILENT = 8  # reads in a row that failed for good: until one goes well, each is tried but once


@attrs.define
class DeviceCounters:
    """I/Os and bytes, kept under the pipeline's lock."""

    writes: int = 0
    write_bytes: int = 0
    written_payload: int = 0
    reads: int = 0
    read_bytes: int = 0
    errors: int = 0


class BlockStore:
    """Places blocks on the devices, reads single objects back and checks every byte of them.

    Attributes: `space`, `counters`, `last_error` (the latest failed write, or None);
    `failures`, writes in a row that have failed, on whatever device; `rereads`, failed reads;
    `largest_folio`, the most bytes of a folio's object for the packer; `sealing`, what encryption
    makes of blocks.

    Notes: `read`, `seal`, `records` and `start` are called by any number of threads without a lock;
    all else under the pipeline's lock.
    """

    def __init__(
        self, device: Device, packer: Packer, page_size: int, lock: threading.Lock
    ) -> None:
        self._page_size = page_size
        self._lock = lock
        self._seal_bytes = seal_bytes(device.encrypt)
        self.use(packer)
        self.space = self._new_space(
            packer.block, page_size, reserve_blocks(device.persistent), lock
        )
        self.counters = DeviceCounters()
        self.last_error: DeviceError | None = None
        self.failures = 0
        self.rereads = Tally()
        self._uuid = secrets.token_bytes(16)
        self._epoch = 1
        self._sequence = 0
        self._record_sequence = 0
        self._freed_at_discard = 0
        self._scratch = threading.local()
        self.sealing = Sealing()
        if device.encrypt and not device.persistent:
            from coldpress.cipher import Cipher  # here alone: what it needs may not be installed

            self.sealing = Sealing(Cipher.ephemeral(self._uuid))
        self.start(device)
        self.space.join(device, device.size)

    _new_space: type[DeviceSpace] = DeviceSpace

    def start(self, device: Device) -> None:
        """Open a device and make it this pipeline's own. Raises `DeviceError`, and it is closed."""
        try:
            device.open()
        except DeviceError as error:
            raise DeviceUnusable(str(error)) from error
        try:
            if self._page_size % device.alignment:
                raise DeviceUnusable(
                    f"the device needs I/O aligned to {device.alignment} bytes, "
                    f"pages have {self._page_size}"
                )
            self._begin(device)
        except BaseException:
            with contextlib.suppress(DeviceError):  # the first error says what is wrong
                device.close()
            raise

    def use(self, packer: Packer) -> None:
        """Blocks are this packer's from now on. What others wrote has the same format."""
        self.packer = packer
        self.largest_folio = folio_limit(packer, self._page_size, self._seal_bytes)

    def next_sequence(self) -> int:
        """The age of the next record; a later one is always larger."""
        self._record_sequence += 1
        return self._epoch << EPOCH_AT | self._record_sequence

    def next_identity(self, block: int) -> BlockIdentity:
        """What the header of the next block says, which will be at this offset."""
        self._sequence += 1
        number = self.space.at(block).space.number(block)
        return BlockIdentity(self._uuid, self._epoch, self._sequence, number=number)

    def has_room(self) -> bool:
        """Whether a block is free; if not, `last_error` says so.

        When no more is free, drains are given up: what is stored must find its room.
        """
        space = self.space
        if space.free:
            return True
        space.end_drains()
        if space.free or space.doubtful:
            return True
        bad = sum(one.space.bad for one in space.members)
        # A device that is not persistent frees its blocks without any flush.
        failed = space.members[0].health.flush_error if space.awaiting_bytes else ""
        are, their = ("devices are", "their") if len(space.members) > 1 else ("device is", "its")
        self.last_error = DeviceError(
            f"the {are} full: {space.in_use} of {their} {space.count} blocks are in use and "
            f"{space.reserve} are kept for the cleaner"
            + (f", {bad} more can not be written any more" if bad else "")
            + (f", and none can be freed without a flush, which failed: {failed}" if failed else "")
            + "; a larger [device] size or another device is needed"
        )
        return False

    def seal(self, block: OpenBlock, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        """Finish a block, ready for `put`, and encrypt it if the devices are encrypted."""
        packed = block.seal(identity, objects)
        self.sealing.seal(packed)
        return packed

    def put(self, block: int, packed: PackedBlock) -> None:
        """Write the block at this offset, acquired from `space`, in one I/O.

        Without the lock: the device is there for as long as one of its blocks is being written.
        Raises `DeviceError`.
        """
        self.space.at(block).write(block, packed.data)

    def written(self, block: int, packed: PackedBlock, identity: BlockIdentity) -> None:
        """`put` has ended well: everything in the block is live."""
        payload = sum(placed.length for placed in packed.members)
        pages = len(packed.data) // self._page_size
        self.space.commit(block, identity.sequence, pages, payload, packed.check)
        self.last_error = None
        self.failures = 0
        self.counters.writes += 1
        self.counters.write_bytes += len(packed.data)
        self.counters.written_payload += payload

    def failed(self, block: int, error: BaseException, what: str, *, copies: bool = False) -> None:
        """`what` has failed, and not only if it was in `put`: the block may be given out again.

        `copies`: all in the block is of objects that are on the device, and stay there.
        """
        own = error if isinstance(error, DeviceError) else None
        self.space.abandon(block, own)
        self.last_error = own or DeviceError(f"{what}: {error}")
        if own is not None:
            self.failures += 1
            self.counters.errors += 1

    def persist(self, write: Callable[[], None]) -> None:
        """Call `write`, which goes on where it was, again until TRIES writes in a row have failed.

        Raises its `DeviceError`. A flush is never tried again: it might seem to go well.
        """
        while True:
            errors = self.counters.errors
            try:
                write()
                return
            except DeviceError:
                if self.counters.errors == errors or self.failures >= TRIES:
                    raise

    def reference(self, slot: int, offset: int, length: int) -> DeviceObject:
        """What `read` needs to read this object, and to know if its block is reused meanwhile."""
        home = self.space.at(offset)
        stamp, check = home.space.stamp_and_check(offset)
        return DeviceObject(slot, offset, length, stamp, check, home=home)

    def read(self, wanted: DeviceObject) -> None:
        """Read the object, in one I/O of just its sectors, and fill in what is missing.

        With `wanted.pages` the I/O is all of its block, if that can be read, and the other objects
        in it are `wanted.others`. Raises `DeviceError` if the read fails and `BlockError` if the
        bytes are not those that were written; that may mean that the block was reused meanwhile.
        """
        # The device as it was when the object was looked up: by now, another may have its offsets.
        home = _home(wanted)
        if wanted.pages:
            start = home.space.start_of(wanted.offset)
            buffer = self._buffer(wanted.pages * self._page_size)
            try:
                home.read_into(start, buffer)
            except DeviceError:
                wanted.pages = 0  # it may be another object's sector that can not be read
        if not wanted.pages:
            align = home.alignment
            start = wanted.offset - wanted.offset % align
            end = wanted.offset + self.packer.extent(wanted.length)
            if end > home.space.start_of(wanted.offset) + home.space.block:
                raise BlockError("the object does not end in its block")
            buffer = self._buffer(end + -end % align - start)
            try:
                self.read_from(home, start, buffer)
            except DeviceError as error:
                where = home.block_at(wanted.offset)
                raise DeviceError(f"slot {wanted.slot}: {where}: {error}") from error
        wanted.read_bytes = len(buffer)
        self._extract(buffer[wanted.offset - start :], wanted, home)
        if wanted.pages:
            wanted.others = list(self._others(buffer, start, wanted))

    def read_from(self, home: OpenDevice, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from this offset on; more than one try if need be. Raises `DeviceError`.

        Without a lock, if the buffer is the caller's own.
        """
        health = home.health
        try:
            # Of a device that does not answer at all, the pauses of thousands would add up; one
            # that was drained and closed does not come back.
            hopeless = health.unanswered >= _SILENT or home.forgotten
            read_again(home, offset, buffer, self.rereads, () if hopeless else PAUSES)
        except DeviceError:
            health.unanswered += 1
            raise
        health.unanswered = 0

    def _others(
        self, block: memoryview, start: int, wanted: DeviceObject
    ) -> Iterator[DeviceObject]:
        """The objects of the block that begins at `start`, but for the wanted one.

        What is damaged is left out: whoever loads it will be told.
        """
        try:
            records = self.records(block)
        except BlockError:
            return
        home = _home(wanted)
        for record in records:
            offset = start + record.place
            if offset == wanted.offset:
                continue
            other = DeviceObject(
                record.slot, offset, record.length, wanted.stamp, wanted.check, home=home
            )
            with contextlib.suppress(BlockError):
                self._extract(block[record.place :], other, home)
                yield other

    def _extract(self, data: memoryview, wanted: DeviceObject, home: OpenDevice) -> None:
        self.packer.extract(data, wanted)
        if self.sealing.cipher is not None:
            at = wanted.offset - home.space.start_of(wanted.offset)
            wanted.data = bytes(self.sealing.opened(data, at))

    def records(self, block: memoryview) -> list[Record]:
        """The records of a block, as they were written.

        Raises `BlockError`.
        """
        header = read_header(block, self._page_size)
        self.sealing.check(block, header)
        return header.records

    def age(self, block: int) -> int:
        """How many blocks were written since the one at this offset."""
        return (self._sequence - self.space.stamp(block)) & 0xFFFFFFFF

    def is_current(self, wanted: DeviceObject) -> bool:
        """Whether the block is still the one that `reference` saw."""
        home = wanted.home
        if home is None or home.forgotten:
            return False
        return home.space.stamp(wanted.offset) == wanted.stamp

    def pages_of(self, wanted: DeviceObject) -> int:
        """How many pages were written of the object's block."""
        return _home(wanted).space.pages_of(wanted.offset)

    def corrupt(self, wanted: DeviceObject, why: BlockError) -> CorruptBlock:
        """The error for an object whose bytes are damaged."""
        home = _home(wanted)
        block = home.space.number(wanted.offset)
        return CorruptBlock(
            wanted.slot, block, wanted.offset - home.base, str(why), device=home.number
        )

    def count_read(self, done: DeviceObject) -> None:
        """Count a read that `read` did."""
        self.counters.reads += 1
        self.counters.read_bytes += done.read_bytes

    def announce(self, codec: int, compressor: Compressor) -> None:
        """Objects with this codec id, made by this compressor, may come. Raises `DeviceError`."""

    def settle(self, *, unlocked: bool) -> None:
        """Free the blocks that only a flush keeps from being free. Raises `DeviceError`."""

    def flush(self, *, unlocked: bool = False) -> None:
        """Make durable what was written, and tell the devices which blocks are free again."""
        for one in self.space.members:
            one.flush()
        self._discard()

    def _discard(self) -> None:
        members = self.space.members
        if self.space.freed != self._freed_at_discard:
            self._freed_at_discard = self.space.freed
            for one in members:
                one.discard()

    def close(self) -> None:
        """Release all devices, and wake who waits for one. Raises the first `DeviceError`."""
        self.space.quiet.notify_all()
        with contextlib.ExitStack() as closing:
            for one in reversed(self.space.members):
                closing.callback(one.device.close)

    def _buffer(self, size: int) -> memoryview:
        # One per thread, aligned because it is a mapping of its own; a larger one replaces it.
        buffer: memoryview | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._scratch.buffer = memoryview(reserve(size + -size % (32 << 10)))
        return buffer[:size]

    def _begin(self, device: Device) -> None:
        """Make an open device this pipeline's own."""
        # The device's owner is told by these bytes: `file` and `nvme` refuse to overwrite others'.
        page = memoryview(reserve(self._page_size))
        mark = Mark(self._page_size, self.space.block, self._uuid, self._epoch)
        mark.write(page)
        device.write(0, page)


def _home(wanted: DeviceObject) -> OpenDevice:
    """The device of an object that `reference` gave."""
    if wanted.home is None:
        raise ValueError("the object was not looked up on a device")
    return wanted.home
