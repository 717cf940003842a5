"""What a block of a pipeline can have: whatever its checksums say, another one is damaged."""

from __future__ import annotations

import attrs

from coldpress.block import (
    EPOCH_AT,
    HEADER_BYTES,
    PLACE_MASK,
    RECORD,
    RECORD_BYTES,
    BlockError,
    Head,
    Record,
    table_bytes,
)
from coldpress.codecs import STORED
from coldpress.durable import WORD_BYTES
from coldpress.folio import MAX_BYTES, MAX_ORDER
from coldpress.layout import seal_bytes
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE, KIND_WORD, room_of
from coldpress.superblock import EPOCHS, Superblock

_LENGTHS = {KIND_WORD: WORD_BYTES, KIND_TOMBSTONE: 0}
_STORED = KIND_OBJECT << 8 | STORED  # the top 16 bits of the record of a page as it is,
_COMPRESSED = range(_STORED + 1, _STORED + 256)  # and of one that is compressed


@attrs.frozen
class Limits:
    """Of the blocks of one persistent device.

    Attributes: `page_size`, `block`, in bytes; `slots`; `first_epoch`, in which it was formatted;
    `seal`, bytes that a record has more than what it is of; `last_epoch`, in which anything may
    have been written. That is not the latest that is known: what counted only after some more
    openings would be newer then than what was stored meanwhile.

    Notes: thread-safe.
    """

    page_size: int
    block: int
    slots: int
    first_epoch: int
    seal: int = 0
    last_epoch: int = EPOCHS - 1

    @classmethod
    def of(cls, one: Superblock) -> Limits:
        """Those of a device with this superblock."""
        seal = seal_bytes(one.encrypted)
        return cls(one.page_size, one.block, one.slots, one.first_epoch, seal)

    def check(self, data: memoryview, head: Head) -> None:
        """Hold a header, and the records behind it in `data`, against them.

        The objects must lie behind the table, in the records' order, each behind the one before,
        and no record may be newer than its block. Raises `BlockError`.
        """
        one = head.identity
        if head.pages * self.page_size > self.block:
            raise BlockError(f"{head.pages} pages are more than a block has")
        if not self.first_epoch <= one.epoch <= self.last_epoch:
            raise BlockError(f"no block was written in epoch {one.epoch}")
        oldest, newest = self.first_epoch << EPOCH_AT, one.epoch + 1 << EPOCH_AT
        end = table_bytes(head.count)
        payload = 0
        slots, seal, stored = self.slots, self.seal, self.page_size + self.seal
        for shape, slot, _, sequence in RECORD.iter_unpack(data[HEADER_BYTES:end]):
            at, length, top = shape & PLACE_MASK, shape >> 24 & PLACE_MASK, shape >> 48
            if at < end or not oldest <= sequence < newest:
                raise BlockError(f"a record of slot {slot} is in a wrong place or of no epoch")
            kind = top >> 8 & 15
            usual = length == stored if top == _STORED else top in _COMPRESSED
            if not (usual and seal < length <= stored and slot < slots):
                self._check_shape(kind, top >> 12, slot, length, top & 255)
            payload += length if kind == KIND_OBJECT else room_of(kind, length)
            end = at + RECORD_BYTES + length
        if end > head.pages * self.page_size:
            raise BlockError("a record's object does not end in its block")
        if payload != head.payload:
            raise BlockError(f"the records have {payload} object bytes, and not {head.payload}")

    def is_possible(self, one: Record) -> bool:
        """Whether a record, wherever it was found, may be one that was written."""
        if not self.first_epoch <= one.sequence >> EPOCH_AT <= self.last_epoch:
            return False
        try:
            self._check_shape(one.kind, one.order, one.slot, one.length, one.codec)
        except BlockError:
            return False
        return True

    def _check_shape(self, kind: int, order: int, slot: int, length: int, codec: int) -> None:
        """Raises `BlockError` if no record is so."""
        if kind == KIND_OBJECT:
            pages = self.page_size << order
            right = 0 < length - self.seal <= pages
            if order:
                whole = order <= MAX_ORDER and pages <= MAX_BYTES
                right = right and whole and length <= MAX_BYTES and not slot % (1 << order)
            if codec == STORED:
                right = right and length == pages + self.seal
        else:
            right = length - self.seal == _LENGTHS.get(kind) and not order
        if not right or slot + (1 << order) > self.slots:
            raise BlockError(f"a record of slot {slot}, kind {kind}, order {order} can not be")
