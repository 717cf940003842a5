"""A device that the pipeline has open: its blocks, and which offsets are its own."""

from __future__ import annotations

from coldpress.component import Buffer
from coldpress.errors import DeviceError, DeviceFull, named_block
from coldpress.health import Health
from coldpress.layout import SUPERBLOCKS, superblock_area
from coldpress.roles.device import Device
from coldpress.space import BlockSpace

_DISTRUST = 32  # blocks that go to other devices after a write to this one failed


class OpenDevice:
    """One of the pipeline's devices, which may be several.

    All of them together have one range of offsets; this one's own begin at `base`, whole pages, and
    end before `end`.

    Attributes: `number`, never given to another; `space`, its blocks; `draining`, whether it takes
    no more blocks; `writing`, how many of its blocks are being written; `distrust`, how many blocks
    shall go to others before it is given the next; `health`, how its calls end; `forgotten`,
    whether it is out of use.

    Notes: `read_into`, `write` and `flush` are called by any number of threads without a lock, all
    else under the pipeline's lock.
    """

    def __init__(self, number: int, device: Device, base: int, block: int, page_size: int) -> None:
        self.number = number
        self.device = device
        self.base = base
        self.end = base + device.size + -device.size % page_size
        area = superblock_area(page_size, device.size, device.persistent)
        head = SUPERBLOCKS * area
        self.space = BlockSpace(base + head, max(0, (device.size - head) // block), block)
        self.alignment = device.alignment
        self.draining = False
        self.writing = 0
        self.distrust = 0
        self.health = Health(f"device {number} ({device.name})")
        self.forgotten = False

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from this offset on. Raises `DeviceError`."""
        self.device.read_into(offset - self.base, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of the data at this offset. Raises `DeviceError`."""
        try:
            self.device.write(offset - self.base, data)
        except DeviceError as error:
            self.health.write_failed(error)
            raise
        self.health.written()

    def flush(self) -> None:
        """Make durable what was written. Raises `DeviceError`."""
        try:
            self.device.flush()
        except DeviceError as error:
            self.health.flushed(error)
            raise
        self.health.flushed(None)

    def acquire(self) -> int:
        """The offset of a block to write; there is one."""
        self.writing += 1
        return self.space.acquire()

    def commit(self, offset: int, sequence: int, pages: int, payload: int, check: int) -> None:
        """An acquired block was written."""
        self.writing -= 1
        self.distrust = 0
        self.space.commit(offset, sequence, pages, payload, check)

    def abandon(self, offset: int, error: DeviceError | None) -> None:
        """An acquired block could not be written; `None`: it was not the device that failed."""
        self.writing -= 1
        self.distrust = _DISTRUST
        # With no space left on the medium, it is not the block that is bad.
        blamed = error is not None and not isinstance(error, DeviceFull)
        self.space.abandon(offset, blamed=blamed)

    def discard(self) -> None:
        """Tell the device which blocks are free again."""
        for offset, length in self.space.take_discards():
            self.device.discard(offset - self.base, length)

    def block_at(self, offset: int) -> str:
        """The block at this offset, as messages name it."""
        return named_block(self.number, self.space.number(offset))
