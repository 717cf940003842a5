"""The device as the pipeline uses it: blocks out, objects back."""

from __future__ import annotations

import contextlib
import secrets
import struct
import threading
from collections.abc import Iterator

import attrs

from coldpress.block import BlockError, read_header
from coldpress.checksum import crc32
from coldpress.errors import CorruptBlock, DeviceError, DeviceUnusable
from coldpress.flat import reserve
from coldpress.layout import RESERVE_BLOCKS, SUPERBLOCK_MAGIC, SUPERBLOCKS
from coldpress.roles.device import Device
from coldpress.roles.packer import BlockIdentity, DeviceObject, PackedBlock, Packer
from coldpress.space import BlockSpace

_SUPERBLOCK = struct.Struct("<8sIII16sQ")
_CRC = struct.Struct("<I")
_VERSION = 1
_COUNTER_BITS = 44  # of a record's sequence; the epoch is above them


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
    """Places blocks on the device, reads single objects back and checks every byte of them.

    Attributes: `space`, `counters`, `last_error` (the latest failed write, or None);
    `largest_folio`, the most bytes of a folio's object for the packer.

    Notes: `read` is called by any number of threads without a lock; all else under the
    pipeline's lock.
    """

    def __init__(self, device: Device, packer: Packer, page_size: int) -> None:
        self.device = device
        self.packer = packer
        self.largest_folio = packer.largest_folio(page_size)
        self.space = BlockSpace(
            SUPERBLOCKS * page_size, device.size, packer.block, page_size, RESERVE_BLOCKS
        )
        self.counters = DeviceCounters()
        self.last_error: DeviceError | None = None
        self._page_size = page_size
        self._uuid = secrets.token_bytes(16)
        self._epoch = 1
        self._sequence = 0
        self._record_sequence = 0
        self._freed_at_discard = 0
        self._scratch = threading.local()
        try:
            device.open()
        except DeviceError as error:
            raise DeviceUnusable(str(error)) from error
        try:
            self._alignment = device.alignment
            if page_size % self._alignment:
                raise DeviceUnusable(
                    f"the device needs I/O aligned to {self._alignment} bytes, "
                    f"pages have {page_size}"
                )
            self._write_superblock(packer.block)
        except BaseException:
            with contextlib.suppress(DeviceError):  # the first error says what is wrong
                device.close()
            raise

    def next_sequence(self) -> int:
        """The age of the next record; a later one is always larger."""
        self._record_sequence += 1
        return self._epoch << _COUNTER_BITS | self._record_sequence

    def next_identity(self) -> BlockIdentity:
        """What the header of the next block says."""
        self._sequence += 1
        return BlockIdentity(self._uuid, self._epoch, self._sequence)

    def has_room(self) -> bool:
        """Whether a block is free; if not, `last_error` says so."""
        if self.space.free:
            return True
        used = self.space.in_use
        self.last_error = DeviceError(
            f"the device is full: {used} of its {self.space.count} blocks are in use and "
            f"{RESERVE_BLOCKS} are kept for the cleaner; a larger [device] size is needed"
        )
        return False

    def put(self, block: int, packed: PackedBlock) -> None:
        """Write a block, acquired from `space`, in one I/O. Raises `DeviceError`."""
        self.device.write(self.space.offset_of(block), packed.data)

    def written(self, block: int, packed: PackedBlock, identity: BlockIdentity) -> None:
        """`put` has ended well: everything in the block is live."""
        payload = sum(placed.length for placed in packed.members)
        pages = len(packed.data) // self._page_size
        self.space.commit(block, identity.sequence, pages, payload, packed.check)
        self.last_error = None
        self.counters.writes += 1
        self.counters.write_bytes += len(packed.data)
        self.counters.written_payload += payload

    def failed(self, block: int, error: DeviceError) -> None:
        """`put` has failed: the block is free again."""
        self.space.abandon(block)
        self.last_error = error
        self.counters.errors += 1

    def reference(self, slot: int, offset: int, length: int) -> DeviceObject:
        """What `read` needs to read this object, and to know if its block is reused meanwhile."""
        space = self.space
        return DeviceObject(slot, offset, length, space.stamp(offset), space.check(offset))

    def read(self, wanted: DeviceObject) -> None:
        """Read the object, in one I/O of just its sectors, and fill in what is missing.

        With `wanted.pages` the I/O is all of its block, and the other objects in it are
        `wanted.others`. Raises `DeviceError` if the read fails and `BlockError` if the bytes are
        not those that were written; that may mean that the block was reused meanwhile.
        """
        if wanted.pages:
            start = self.space.offset_of(self.space.block_of(wanted.offset))
            end = start + wanted.pages * self._page_size
        else:
            align = self._alignment
            start = wanted.offset - wanted.offset % align
            end = wanted.offset + self.packer.extent(wanted.length)
            end += -end % align
        buffer = self._buffer(end - start)
        try:
            self.device.read_into(start, buffer)
        except DeviceError as error:
            block = self.space.block_of(wanted.offset)
            raise DeviceError(f"slot {wanted.slot}: block {block}: {error}") from error
        wanted.read_bytes = end - start
        self.packer.extract(buffer[wanted.offset - start :], wanted)
        if wanted.pages:
            wanted.others = list(self._others(buffer, start, wanted))

    def _others(
        self, block: memoryview, start: int, wanted: DeviceObject
    ) -> Iterator[DeviceObject]:
        """The objects of the block that begins at `start`, but for the wanted one.

        What is damaged is left out: whoever loads it will be told.
        """
        try:
            records = read_header(block, self._page_size).records
        except BlockError:
            return
        for record in records:
            offset = start + record.place
            if offset == wanted.offset:
                continue
            other = DeviceObject(record.slot, offset, record.length, wanted.stamp, wanted.check)
            with contextlib.suppress(BlockError):
                self.packer.extract(block[record.place :], other)
                yield other

    def age(self, block: int) -> int:
        """How many blocks were written since this one."""
        stamp = self.space.stamp(self.space.offset_of(block))
        return (self._sequence - stamp) & 0xFFFFFFFF

    def is_current(self, wanted: DeviceObject) -> bool:
        """Whether the block is still the one that `reference` saw."""
        return self.space.stamp(wanted.offset) == wanted.stamp

    def corrupt(self, wanted: DeviceObject, why: BlockError) -> CorruptBlock:
        """The error for an object whose bytes are damaged."""
        block = self.space.block_of(wanted.offset)
        return CorruptBlock(wanted.slot, block, wanted.offset, str(why))

    def count_read(self, done: DeviceObject) -> None:
        """Count a read that `read` did."""
        self.counters.reads += 1
        self.counters.read_bytes += done.read_bytes

    def flush(self) -> None:
        """Make durable what was written, and tell the device which blocks are free again."""
        self.device.flush()
        if self.space.freed != self._freed_at_discard:
            self._freed_at_discard = self.space.freed
            for offset, length in self.space.take_discards():
                self.device.discard(offset, length)

    def close(self) -> None:
        """Release the device."""
        self.device.close()

    def _buffer(self, size: int) -> memoryview:
        # One per thread, aligned because it is a mapping of its own; a larger one replaces it.
        buffer: memoryview | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._scratch.buffer = memoryview(reserve(size + -size % (32 << 10)))
        return buffer[:size]

    def _write_superblock(self, block: int) -> None:
        # The device's owner is told by these bytes: `file` and `nvme` refuse to overwrite others'.
        page = memoryview(reserve(self._page_size))
        _SUPERBLOCK.pack_into(
            page, 0, SUPERBLOCK_MAGIC, _VERSION, self._page_size, block, self._uuid, self._epoch
        )
        _CRC.pack_into(page, _SUPERBLOCK.size, crc32(page[: _SUPERBLOCK.size]))
        self.device.write(0, page)
