"""Dropping the records of empty slots of which nothing older is on the device any more."""

from __future__ import annotations

from coldpress.block import (
    HEADER_BYTES,
    RECORD_BYTES,
    BlockError,
    read_head,
    read_record,
    table_bytes,
)
from coldpress.durable import DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.errors import DeviceError
from coldpress.flat import reserve, table
from coldpress.limits import Limits
from coldpress.regions import Regions
from coldpress.rereading import read_head_pages
from coldpress.roles.packer import KIND_TOMBSTONE, room_of

SHARE = 16
"""One part in so many of the device may be tombstones before needless ones are sought."""

_OLDER = 1
_HAS = 2  # and nothing older, if that is all


def are_many(store: DurableStore, entries: DurableEntries) -> bool:
    """Whether it is time to look for tombstones that are not needed."""
    (home,) = store.space.members
    each = room_of(KIND_TOMBSTONE, entries.seal)
    return entries.tombstones * each * SHARE > home.device.size


def drop_tombstones(store: DurableStore, entries: DurableEntries, page_size: int) -> int:
    """Read the records of all blocks, free ones included, and drop what no older one is against.

    How many were dropped: none if a block can not be read, for what is in it may be older. Nothing
    is being written or moved meanwhile, and the lock is held: a copy that lands later would not be
    seen. What was overwritten lately may come back by a crash until the next flush, and until then
    the tombstone's own block is not written again.
    """
    (home,) = store.space.members
    space = home.space
    if store.is_writing:
        return 0
    regions, limits = Regions(entries.table.slots), Limits.of(store.superblock)
    bits, seen = regions.bits, table("B", regions.entries)
    buffer = memoryview(reserve(space.block))
    for offset in space.used:
        try:
            page = read_head_pages(home, offset, buffer, page_size)
        except DeviceError:
            return 0
        if not any(page):
            continue
        try:
            head = read_head(page, page_size)
        except BlockError:
            return 0
        if head.identity.uuid != store.superblock.uuid:
            continue
        if head.identity.number != space.number(offset):
            return 0
        try:
            store.sealing.check(page, head)
            limits.check(page, head)
        except BlockError:
            return 0
        for at in range(HEADER_BYTES, table_bytes(head.count), RECORD_BYTES):
            record = read_record(page, at)
            place = entries.device_type.place(offset + record.place, record.room)
            first = record.slot + regions[record.slot >> bits]
            if record.kind == KIND_TOMBSTONE and entries.tombstone(record.slot) == place:
                seen[first] |= _HAS
                continue
            for one in range(first, first + (1 << record.order)):
                seen[one] |= _OLDER
    dropped = 0
    for region, by in regions.items():
        start = region << bits
        found = bytes(seen[start + by : start + by + (1 << bits)])
        at = found.find(_HAS)
        while at >= 0:
            entries.drop_tombstone(start + at)
            dropped += 1
            at = found.find(_HAS, at + 1)
    return dropped
