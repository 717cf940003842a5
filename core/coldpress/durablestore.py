"""The store of blocks on a persistent device: superblock, durable watermark, reuse of blocks."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from functools import partial
from itertools import chain

import attrs

from coldpress.blockstore import BlockStore
from coldpress.devicespace import DeviceSpace
from coldpress.durablespace import DurableSpace
from coldpress.errors import ConfigError, DeviceError, DeviceUnusable, Problem
from coldpress.flat import reserve
from coldpress.keyfile import read_key_file
from coldpress.knownids import KnownIds
from coldpress.layout import LARGEST_AREA, PERSISTENT_MAGIC, SUPERBLOCKS, superblock_area
from coldpress.locks import released
from coldpress.registry import Registry
from coldpress.rereading import read_again
from coldpress.roles.compressor import Compressor
from coldpress.roles.device import Device
from coldpress.roles.packer import BlockIdentity, PackedBlock, Packer
from coldpress.sealing import Sealing
from coldpress.superblock import (
    EPOCHS,
    HEAD_BYTES,
    USED_UP,
    Ciphers,
    Superblock,
    SuperblockError,
    WrongKey,
    decode,
    newest_of,
)
from coldpress.voiding import void

_log = logging.getLogger("coldpress")


class DurableStore(BlockStore):
    """A `BlockStore` on one persistent device.

    Attributes: `superblock`, the one that was written last; `ids`, what the ids in records mean;
    `opened`, the generation of the superblock that the device was opened with.

    Notes: `read` and `put` are called without a lock; all else under the pipeline's lock, which
    `flush` and `settle` let go if they are told so.
    """

    space: DurableSpace
    _new_space: type[DeviceSpace] = DurableSpace

    def __init__(
        self,
        device: Device,
        packer: Packer,
        page_size: int,
        lock: threading.Lock,
        slots: int,
        registry: Registry,
    ) -> None:
        self._slots = slots
        self._reopened = False
        self.opened = 0
        self._durable = 0  # every block up to this sequence is
        self._writing: dict[int, int] = {}  # the sequence of each block that is being written
        # By their sequences, blocks whose write has failed or was cut short: where they are, and
        # whether a newer version of what they had may be nowhere.
        self._failed: dict[int, tuple[int, bool]] = {}
        super().__init__(device, packer, page_size, lock)
        self.ids = KnownIds(self.superblock.ids, registry)

    # -- the superblock ---------------------------------------------------------------------

    def _begin(self, device: Device) -> None:
        area = superblock_area(self._page_size, device.size, True)
        ciphers = _ciphers(device.encrypt) if device.encrypt else None
        found = [self._read_area(device, at, area, ciphers) for at in (0, area)]
        whole = [one for one in found if isinstance(one, Superblock)]
        newest = newest_of(whole, ciphers)
        wrong = self._why_not(device, newest, found)
        if newest is not None and not wrong:
            self.superblock = newest
            self.opened = newest.generation
            self._use_key(ciphers)
            return
        if wrong and not device.format:
            hint = "format = true gives up what is there"
            raise ConfigError([Problem("device", f"{text}; {hint}") for text in wrong])
        # What lies there of a pipeline before has epochs before the first of this one.
        before = newest if newest is not None and not newest.is_used_up else None
        epoch = before.epoch + 1 if before is not None else 2
        self.superblock = Superblock(
            page_size=self._page_size,
            block=self.packer.block,
            slots=self._slots,
            size=device.size,
            area=area,
            uuid=secrets.token_bytes(16),
            generation=before.generation if before is not None else 0,
            epoch=epoch,
            first_epoch=epoch,
            durable=0,
            encrypted=ciphers is not None,
        )
        self._use_key(ciphers)
        # Both, before anything else: of a device that has only one, nothing else was written.
        for _ in range(2):
            self._write_area(device, attrs.evolve(self.superblock))
            device.flush()

    def _use_key(self, ciphers: Ciphers | None) -> None:
        """What is written from now on is sealed with the key for this uuid, if there is one."""
        self.sealing = Sealing(ciphers(self.superblock.uuid) if ciphers else None)

    def _read_area(
        self, device: Device, at: int, area: int, ciphers: Ciphers | None
    ) -> Superblock | SuperblockError | None:
        """The superblock there, or what is wrong with it; None if none was ever written."""
        buffer = self._buffer(area)
        try:
            read_again(device, at, buffer)
        except DeviceError as error:
            return SuperblockError(str(error))
        try:
            return decode(buffer, ciphers)
        except SuperblockError as error:
            there = bytes(buffer[: len(PERSISTENT_MAGIC)]) == PERSISTENT_MAGIC
            return error if there else None

    def _why_not(
        self,
        device: Device,
        newest: Superblock | None,
        found: Sequence[Superblock | SuperblockError | None],
    ) -> list[str]:
        """What keeps this pipeline from using what is on the device."""
        label = f"{device.name} device"
        if newest is None and any(isinstance(one, WrongKey) for one in found):
            return [f"the key in {device.encrypt} is not the one that the {label} was written with"]
        if newest is not None and newest.encrypted != bool(device.encrypt):
            if newest.encrypted:
                return [f"the {label} is encrypted, and 'encrypt' does not name its key file"]
            return [f"the {label} is not encrypted, but 'encrypt' names a key file"]
        if newest is not None:
            differ = newest.differences(
                self._page_size, self.packer.block, self._slots, device.size
            )
            if newest.is_used_up:
                return [f"the {label} can not be written any more: its numbers come to an end"]
            return [f"the {label} holds another pipeline: {text}" for text in differ]
        a, b = found
        # At the first opening A is written before B, and nothing else before both are.
        if b is None and (a is None or self._is_blank_behind_a(device)):
            return []
        return [f"the {label} holds a pipeline, but both superblocks are damaged: {b or a}"]

    def _is_blank_behind_a(self, device: Device) -> bool:
        """Whether there are zeros where B may be, and where blocks begin, and all can be read."""
        page, block = self._page_size, self.packer.block
        start = SUPERBLOCKS * superblock_area(page, device.size, True)
        # Of a pipeline with another size B is somewhere else, but there.
        head = min(SUPERBLOCKS * LARGEST_AREA, device.size)
        places = chain(
            range(page, head - page + 1, page), range(start, device.size - block + 1, block)
        )
        part, zeros = self._buffer(page), bytes(page)
        try:
            for at in places:
                read_again(device, at, part)
                if bytes(part) != zeros:
                    return False
        except DeviceError:
            return False
        return True

    def write_superblock(self) -> None:
        """Write the other one, with what is durable now and all ids. Raises `DeviceError`.

        If there is a new id, both: with one of them damaged, the other must not give it again.
        """
        device = self.space.members[0].device
        new = any(one not in self.superblock.ids for one in self.ids.all)
        for _ in range(1 + new):
            one = attrs.evolve(self.superblock, ids=self.ids.all, durable=self._durable)
            self._write_area(device, one)
            device.flush()

    def announce(self, codec: int, compressor: Compressor) -> None:
        before = self.ids.all
        if not self.ids.use(codec, compressor):
            return
        try:
            self.write_superblock()
        except BaseException:
            self.ids.all = before
            raise

    def _write_area(self, device: Device, one: Superblock) -> None:
        one = attrs.evolve(one, generation=one.generation + 1)
        data = one.encode(self.sealing.cipher)
        if len(data) > one.area:
            message = (
                f"what the codecs need, such as a dictionary, takes {len(data) - HEAD_BYTES} "
                "bytes of a superblock that has room for "
                f"{one.area - HEAD_BYTES}; a larger [device] size gives more"
            )
            raise ConfigError([Problem("compressor", message)])
        size = len(data) + -len(data) % self._page_size
        buffer = memoryview(reserve(size))
        buffer[: len(data)] = data
        device.write((one.generation + 1) % 2 * one.area, buffer)
        self.superblock = one

    def reopened(self, sequence: int, epoch: int) -> None:
        """All was read, up to a block of this sequence; now others may be written.

        `epoch` is the latest that was found: if the newer superblock is damaged, the other one may
        have an earlier one, and what is written now has to be newer than all that is there.

        What was read is flushed first: it may have been in a cache only. Raises `DeviceError`.
        """
        before = self.superblock
        if epoch + 1 >= EPOCHS or sequence >= USED_UP:  # what is written would not be read again
            raise DeviceUnusable("a block's numbers come to an end: no other can be written")
        device = self.space.members[0].device
        device.flush()
        self._sequence = sequence
        self._durable = min([*self._failed, sequence + 1]) - 1
        self._uuid = before.uuid
        self._epoch = epoch + 1
        self.superblock = attrs.evolve(before, epoch=self._epoch)
        self.write_superblock()
        self._reopened = True
        if self.superblock.is_nearly_used_up:
            _log.warning(
                "the numbers of the %s device come to an end: before long it can not be opened any "
                "more, and at most %d times; store its pages on one that is formatted anew",
                device.name,
                EPOCHS - 2 - self._epoch,
            )

    # -- blocks -----------------------------------------------------------------------------

    def next_identity(self, block: int) -> BlockIdentity:
        identity = attrs.evolve(super().next_identity(block), durable=self._durable)
        self._writing[block] = identity.sequence
        return identity

    @property
    def is_writing(self) -> bool:
        """Whether a block is being written."""
        return any(one.writing for one in self.space.members)

    def put(self, block: int, packed: PackedBlock) -> None:
        (home,) = self.space.members
        size = len(packed.data)
        before = home.space.pages_of(block) * self._page_size
        if before > size:
            # Records of an earlier use would outlive what tells that they are old.
            home.write(block + size, memoryview(reserve(before - size)))
        home.write(block, packed.data)

    def void(self, block: int) -> None:
        """Make the block at this offset as if it had never been written. Raises `DeviceError`."""
        (home,) = self.space.members
        void(home, block, self.space.block, self._page_size)

    def cleared(self, block: int, sequence: int) -> bool:
        """`void` a block of this sequence whose write was cut short, as an opening has found.

        If that fails, which costs no other block, W waits for it as for one whose write has failed.
        """
        try:
            self.void(block)
        except DeviceError:
            self._failed[sequence] = block, True
            return False
        return True

    def failed(self, block: int, error: BaseException, what: str, *, copies: bool = False) -> None:
        super().failed(block, error, what, copies=copies)
        # Up to the watermark a block is trusted, and this one may be there in part.
        self._failed[self._writing.pop(block)] = block, copies
        home = self.space.find(block)
        if home is not None:
            home.space.spoilt(block, self.packer.block // self._page_size)

    def written(self, block: int, packed: PackedBlock, identity: BlockIdentity) -> None:
        super().written(block, packed, identity)
        del self._writing[block]
        # What a failed write has left there is written over.
        self._failed = {one: left for one, left in self._failed.items() if left[0] != block}

    # -- durable ----------------------------------------------------------------------------

    def flush(self, *, unlocked: bool = False) -> None:
        # A block that is being written now may be missed by the flush.
        durable = min([*self._writing.values(), *self._failed, self._sequence + 1]) - 1
        gone = self.space.before_flush()
        done = False
        try:
            with released(self._lock, unlocked):
                self.space.members[0].flush()
            done = True
        finally:
            self.space.after_flush(gone, done)
        self._durable = max(self._durable, durable)
        self._discard()

    def forget_failed(self, *, unlocked: bool) -> None:
        """A `sync` has written anew all that is in RAM: failed writes hold W up no more.

        Of what they had there are newer records now, whatever of it is on the device. But copies
        that were made to clean a block are as old as what they are copies of, and of what an
        opening found to be cut short nothing was in RAM: these have to be made unreadable. Nobody
        writes blocks meanwhile.
        """
        for sequence, (block, alone) in list(self._failed.items()):
            try:
                with released(self._lock, unlocked):
                    self.void(block)
            except DeviceError:
                if alone:
                    continue  # W waits, until the next time
            del self._failed[sequence]

    def close(self) -> None:
        try:
            if self._reopened:
                # The next opening need not look at the tail, whichever of the two is damaged then.
                for _ in range(2):
                    self.write_superblock()
        finally:
            super().close()

    def settle(self, *, unlocked: bool) -> None:
        if self.space.awaiting_bytes:
            self.flush(unlocked=unlocked)


def _ciphers(path: str) -> Ciphers:
    """What makes a cipher of a key file. Raises `ConfigError`."""
    from coldpress.cipher import Cipher  # here alone: what it needs may not be installed

    try:
        return partial(Cipher.of_key, read_key_file(path))
    except ValueError as error:
        raise ConfigError([Problem("device.encrypt", str(error))]) from None
