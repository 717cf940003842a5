"""Packers with one fault each."""

from __future__ import annotations

from typing import ClassVar

from coldpress import OpenBlock, PackedBlock, Victim
from coldpress.block import RECORD_BYTES, read_record, write_header
from coldpress.component import Component
from coldpress.recordblock import RecordBlock
from coldpress.roles import BlockIdentity, DeviceObject, Objects, Placed
from coldpress_plugins.packers.bounce import Bounce
from coldpress_plugins.packers.page import PagePacker
from coldpress_plugins.packers.zspage import ZspagePacker


class OfBlocks(Bounce):
    """A packer with a kind of block of its own."""

    kind: ClassVar[type[RecordBlock]] = RecordBlock

    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        return self.kind(buffer, self._page_size)


class _Dropping(RecordBlock):
    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        packed = super().seal(identity, objects)
        return PackedBlock(packed.data, packed.members[:4])


class DropsAnObject(OfBlocks):
    """Of a block's fifth object and all after it nobody is told."""

    kind = _Dropping


class _Miscounted(RecordBlock):
    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        packed = super().seal(identity, objects)
        payload = sum(victim.length for victim in self.victims)
        pages = len(packed.data) // self._page_size
        write_header(packed.data, identity, pages, len(self.victims) - 1, payload)
        return packed


class MiscountsABlock(OfBlocks):
    """The header has one object less than the block."""

    kind = _Miscounted


class _Misplacing(RecordBlock):
    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        packed = super().seal(identity, objects)
        *most, last = packed.members
        return PackedBlock(packed.data, [*most, Placed(last.victim, last.at + 1, last.length)])


class MisplacesAnOffset(OfBlocks):
    """The last object is one byte before where it is said to be."""

    kind = _Misplacing


class _Stale(RecordBlock):
    def __init__(self, buffer: memoryview, page_size: int) -> None:
        super().__init__(buffer, page_size)
        self._before = bytes(buffer)

    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        packed = super().seal(identity, objects)
        last = packed.members[-1]
        end = last.at + RECORD_BYTES + last.length
        packed.data[end:] = self._before[end : len(packed.data)]
        return packed


class LeavesStaleBytes(OfBlocks):
    """What is behind the last object is what the buffer held before."""

    kind = _Stale


class _StaleGaps(RecordBlock):
    def add(self, victim: Victim, objects: Objects) -> None:
        at = self._end + RECORD_BYTES + victim.length
        before = bytes(self._buffer[at:])
        super().add(victim, objects)
        self._buffer[at:] = before


class LeavesStaleGaps(ZspagePacker):
    """What is between the objects of a zspage is what the buffer held before."""

    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        return _StaleGaps(buffer, self._page_size)


class AcceptsDamage(Bounce):
    """Believes an object without its checksum."""

    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        if bytes(data[RECORD_BYTES : RECORD_BYTES + 8]).strip(b"\0"):
            record = read_record(data, 0)
            wanted.codec, wanted.order = record.codec, record.order
            wanted.data = bytes(data[RECORD_BYTES : RECORD_BYTES + wanted.length])
        else:
            super().extract(data, wanted)


class AcceptsLostWrites(Bounce):
    """Takes an object of whatever block was at its place before."""

    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        if len(data) >= RECORD_BYTES:
            wanted.stamp = read_record(data, 0).place
        super().extract(data, wanted)


class AcceptsShortPages(PagePacker):
    """The checksum of what there is will do."""

    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        wanted.length = min(wanted.length, len(data))
        super().extract(data, wanted)


class _Overlapping(RecordBlock):
    def add(self, victim: Victim, objects: Objects) -> None:
        super().add(victim, objects)
        self._end -= 1


class PutsObjectsOverEachOther(OfBlocks):
    """An object begins where the one before it has its last byte."""

    kind = _Overlapping


class SaysThatAllFits(Bounce):
    """Forgets that a block has a header."""

    def fits(self, length: int, page_size: int) -> bool:
        return length <= self.block


class _SharedTable(RecordBlock):
    shared: ClassVar[list[int]] = []

    def __init__(self, buffer: memoryview, page_size: int) -> None:
        super().__init__(buffer, page_size)
        self._places = self.shared
        self.shared.clear()


class SharesATable(OfBlocks):
    """Blocks that are open at the same time note their places in one list."""

    kind = _SharedTable


class _SharedScratch(RecordBlock):
    scratch: ClassVar[bytearray] = bytearray(8 << 20)

    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        packed = super().seal(identity, objects)
        pieces = [slice(at, at + 512) for at in range(0, len(packed.data), 512)]
        for piece in pieces:
            self.scratch[piece] = packed.data[piece]
        for piece in pieces:
            packed.data[piece] = self.scratch[piece]
        return packed


class SharesAScratch(OfBlocks):
    """Blocks that are sealed at the same time have one scratch buffer."""

    kind = _SharedScratch


class _Curious(RecordBlock):
    def add(self, victim: Victim, objects: Objects) -> None:
        super().add(victim, objects)
        data = self._buffer[self._places[-1] + RECORD_BYTES :][: victim.length]
        objects.decode(victim.codec, bytes(data), self._page_size << victim.order)


class LooksInside(OfBlocks):
    """Decompresses each object, to see whether it can be."""

    kind = _Curious


class _Recounting(RecordBlock):
    def has_room(self, length: int) -> bool:
        used = sum(RECORD_BYTES + victim.length for victim in self.victims)
        return used <= self._end and super().has_room(length)


class CountsAnew(OfBlocks):
    """Adds up all objects to know whether there is room."""

    kind = _Recounting


class LendsTheBuffer(Bounce):
    """What it gives is a view of what was read."""

    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        super().extract(data, wanted)
        wanted.data = data[RECORD_BYTES : RECORD_BYTES + wanted.length]  # type: ignore[assignment]


FAULTS: dict[type[Component], str] = {
    DropsAnObject: "many objects come back [4096]",
    MiscountsABlock: "many objects come back [4096]",
    MisplacesAnOffset: "many objects come back [4096]",
    LeavesStaleBytes: "many objects come back [4096]",
    LeavesStaleGaps: "a block holds a zspage",
    AcceptsDamage: "damaged objects are refused",
    AcceptsLostWrites: "damaged objects are refused",
    AcceptsShortPages: "the bytes of another object are refused",
    PutsObjectsOverEachOther: "many objects come back [4096]",
    SaysThatAllFits: "what fits has room in an empty block",
    SharesATable: "a block is the same whatever the buffer held",
    SharesAScratch: "threads seal and read at the same time",
    LooksInside: "many objects come back [4096]",
    CountsAnew: "an object costs no more in a block of many",
    LendsTheBuffer: "many objects come back [4096]",
}
