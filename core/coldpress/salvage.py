"""What is left of a block with a damaged header: the records in front of its objects."""

from __future__ import annotations

from collections.abc import Iterator

from coldpress.block import RECORD_BYTES, BlockError, Record, read_object, read_record
from coldpress.folio import MAX_BYTES, MAX_ORDER
from coldpress.layout import SEAL_BYTES
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE
from coldpress.sealing import Sealing

EPOCH_AT = 44
"""How far to the right a record's sequence is shifted to get its epoch."""


def salvage(
    block: memoryview, epochs: range, slots: int, sealing: Sealing
) -> list[tuple[int, Record]]:
    """The records that stand just before objects of which every byte is as it was written.

    Each with its place in the block; all of them from one use of it. `epochs` are those that a
    record of this pipeline may have. O(bytes), slow: for blocks that are damaged.
    """
    found = list(_inline(block, epochs, slots, sealing))
    if not found:
        return []
    _, newest = max(found, key=lambda one: one[1].sequence)
    return [(at, record) for at, record in found if record.place == newest.place]


def _inline(
    block: memoryview, epochs: range, slots: int, sealing: Sealing
) -> Iterator[tuple[int, Record]]:
    at = 0
    last = len(block) - RECORD_BYTES
    while at <= last:
        record = read_record(block, at)
        if (
            record.sequence >> EPOCH_AT in epochs
            and KIND_OBJECT <= record.kind <= KIND_TOMBSTONE
            and record.order <= MAX_ORDER
            and record.length <= MAX_BYTES + SEAL_BYTES
            and record.slot + (1 << record.order) <= slots
        ):
            try:
                read_object(block[at:], record.slot, record.length, record.place, kind=record.kind)
                sealing.opened(block[at:], at)
            except BlockError:
                pass
            else:
                yield at, record
                at += RECORD_BYTES + record.length
                continue
        at += 1
