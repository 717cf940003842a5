"""A block of objects with records, being filled: what most packers are made of."""

from __future__ import annotations

from coldpress.block import RECORD_BYTES, shape_of, table_bytes, write_header, write_object
from coldpress.roles.allocator import Zspage
from coldpress.roles.packer import (
    BlockIdentity,
    Objects,
    OpenBlock,
    PackedBlock,
    Placed,
    Victim,
)

_HANDLE_BYTES = 8  # in front of each object in a zspage, in RAM


class RecordBlock(OpenBlock):
    """Objects in cells, one behind the other, after a table of their records.

    Parameters: `buffer`, `page_size`; `cell`, the bytes that each object takes, its inline record
    included, 0 for just what it needs; `align`, what every object's place is a multiple of.

    How long the table is shows only when the block is sealed. So objects are copied to where they
    would be without one, and all moved behind it at the end, by one memmove.
    """

    def __init__(
        self, buffer: memoryview, page_size: int, *, cell: int = 0, align: int = 1
    ) -> None:
        self.victims: list[Victim] = []
        self._buffer = buffer
        self._page_size = page_size
        self._cell = cell
        self._align = align
        self._places: list[int] = []
        self._end = 0
        self._least_pages = 1

    def like(self, zspage: Zspage) -> None:
        # An inline record takes the place of the handle in front of the object. The free objects
        # of the zspage are written too, as zeros, and one page more for the records.
        self._cell = zspage.size - _HANDLE_BYTES + RECORD_BYTES
        self._least_pages = min(zspage.pages + 1, len(self._buffer) // self._page_size)

    def has_room(self, length: int) -> bool:
        table = table_bytes(len(self.victims) + 1, self._align)
        return table + self._end + RECORD_BYTES + length <= len(self._buffer)

    def add(self, victim: Victim, objects: Objects) -> None:
        at = self._end
        objects.copy_into(victim, self._buffer, at + RECORD_BYTES)
        used = at + RECORD_BYTES + victim.length
        end = max(used, at + self._cell) if self._cell else used + -used % self._align
        end = min(end, len(self._buffer))
        self._buffer[used:end] = bytes(end - used)  # no stale memory reaches the device
        self._places.append(at)
        self.victims.append(victim)
        self._end = end

    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        buffer = self._buffer
        count = len(self.victims)
        begin = table_bytes(count, self._align)
        last = self._places[-1] + RECORD_BYTES + self.victims[-1].length
        buffer[begin : begin + last] = buffer[:last]
        buffer[table_bytes(count) : begin] = bytes(begin - table_bytes(count))
        pages = max(-(-(begin + last) // self._page_size), self._least_pages)
        size = pages * self._page_size
        buffer[begin + last : size] = bytes(size - begin - last)
        members = []
        table = table_bytes(0)
        for victim, place in zip(self.victims, self._places, strict=True):
            at = begin + place
            shape = shape_of(victim.length, victim.codec, victim.order, victim.kind)
            write_object(buffer, table, at, victim.slot, shape, victim.sequence, identity.sequence)
            members.append(Placed(victim, at, victim.room))
            table += RECORD_BYTES
        payload = sum(victim.room for victim in self.victims)
        write_header(buffer, identity, pages, count, payload)
        return PackedBlock(buffer[:size], members)
