"""What is in each block of a persistent image, record by record, and which of them count."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress.block import (
    HEADER_BYTES,
    PLACE_MASK,
    RECORD_BYTES,
    BlockError,
    Head,
    Record,
    object_crc,
    read_copy,
    read_head,
    read_record,
    table_bytes,
)
from coldpress.errors import DeviceError
from coldpress.flat import reserve
from coldpress.folio import MAX_ORDER
from coldpress.image import Persistent, Source
from coldpress.layout import SUPERBLOCKS
from coldpress.limits import Limits
from coldpress.newest import Newest
from coldpress.rereading import read_again, read_piecemeal, unread
from coldpress.salvage import salvage
from coldpress.scan import Progress, Scan, State
from coldpress.space import BlockSpace
from coldpress.table import FOLIO, TAG_MASK

_TAG = 1  # of the words of what is an object on the device
_WORD = 2  # of all others
_LENGTH_BITS = 17


class _Places:
    """Places of records where no pipeline is: an offset and a length, in one number."""

    def place(self, offset: int, length: int) -> int:
        return offset << _LENGTH_BITS | length

    def locate(self, payload: int) -> tuple[int, int]:
        return payload >> _LENGTH_BITS, payload & (1 << _LENGTH_BITS) - 1


@attrs.frozen
class Seen:
    """A record in a block.

    Attributes: `record`, with its place in the block; `slots`, those of its slots for which it
    counts, since it is their newest; `problem`, what is wrong with its copy or its object, "" if
    nothing is; `rescued`, its object is whole all the same.
    """

    record: Record
    slots: tuple[int, ...]
    problem: str = ""
    rescued: bool = False


@attrs.frozen
class Look:
    """A block, all of it read.

    Attributes: `number`; `offset`; `state`; `head`, or None if it is damaged; `seen`, the records
    that are known, in the order of the table; `unreadable`, why its pages can not be read, by their
    places; `stray`, where behind the last object the first byte is that is not zero, or 0.
    """

    number: int
    offset: int
    state: State
    head: Head | None
    seen: tuple[Seen, ...]
    unreadable: dict[int, DeviceError]
    stray: int


@attrs.define
class Slots:
    """How many slots have what: a page of their own, a part of a folio, a word, a tombstone."""

    objects: int = 0
    folio_pages: int = 0
    words: int = 0
    tombstones: int = 0


class Survey:
    """Scans an image; then each of its blocks can be looked at.

    Attributes: `superblock`; `scan`, with each block's state; `space`, with its live bytes;
    `slots`, what the slots have.

    Raises `DeviceError` if the image can not be read at all. Nothing is ever written.
    """

    def __init__(self, image: Source, found: Persistent, progress: Progress | None = None) -> None:
        self.superblock = one = found.superblock
        self._image = image
        self._sealing = found.sealing
        start = SUPERBLOCKS * one.area
        # What is behind the image's end is zeros, however far a superblock says that it goes.
        size = min(one.size, image.size + -(image.size - start) % one.block)
        self.space = BlockSpace(start, max(0, (size - start) // one.block), one.block)
        self._newest = Newest(
            one.slots, self.space, _Places(), _TAG, lambda one: _WORD, found.sealing, codecs=False
        )
        self.scan = Scan(image, one, self.space, self._newest, found.sealing, progress)
        self.slots = Slots()
        self.scan.run(guess=True)
        if not image.block:
            # A damaged superblock may be the one that told of the last opening.
            told = all(area.superblock for area in found.areas)
            self.scan.look_behind_zeros(self.scan.epoch + (not told))
        self._newest.settle(self._found)

    def _found(self, slot: int, word: int, place: int) -> None:
        if not word:
            self.slots.tombstones += 1
        elif word & TAG_MASK != _TAG:
            self.slots.words += 1
        elif word & FOLIO:
            self.slots.folio_pages += 1
        else:
            self.slots.objects += 1

    def where(self, slot: int) -> int:
        """The offset of the record that counts for the slot; 0 if there is none."""
        return self._newest.where(slot)

    def offset(self, number: int) -> int:
        """Where the block of this number begins."""
        return self.space.start + number * self.space.block

    def look(self, number: int) -> Look:
        """Read a block and check every byte of it."""
        offset, state = self.offset(number), State(self.scan.states[number])
        block = memoryview(reserve(self.space.block))
        bad: dict[int, DeviceError] = {}
        try:
            read_again(self._image, offset, block)
        except DeviceError:
            bad = read_piecemeal(self._image, offset, block, self.superblock.page_size)
        head = None
        if state in (State.GOOD, State.TORN):
            head = self._head(block, min(bad, default=len(block)))
        records: list[Record] = []
        if head is not None:
            at = range(HEADER_BYTES, table_bytes(head.count), RECORD_BYTES)
            records = [read_record(block, one) for one in at]
        elif state in (State.SALVAGED, State.PARTIAL, State.UNKNOWN, State.WIPED):
            limits = Limits.of(self.superblock)
            if state == State.WIPED:
                limits = self.scan.behind_zeros
            records = self._salvaged(number, block, limits)
        seen = [self._seen(offset, one, block, bad, head) for one in records]
        stray = self._stray(block, head, records) if state == State.GOOD and not bad else 0
        return Look(number, offset, state, head, tuple(seen), bad, stray)

    def _head(self, block: memoryview, readable: int) -> Head | None:
        try:
            return read_head(block[:readable], self.superblock.page_size)
        except BlockError:
            return None

    def _salvaged(self, number: int, block: memoryview, limits: Limits) -> list[Record]:
        start = self.offset(number)
        inside = range(start, start + len(block))
        stamp = self.space.stamp(start) & PLACE_MASK

        def is_taken(record: Record) -> bool:
            """Whether the scan has taken it: it is the block's own, or counts."""
            slots = range(record.slot, record.slot + (1 << record.order))
            return record.place == stamp or any(self.where(slot) in inside for slot in slots)

        found = salvage(block, number, limits, self._sealing, is_taken)
        return [attrs.evolve(record, place=at) for at, record in found.records]

    def _seen(
        self,
        offset: int,
        record: Record,
        block: memoryview,
        bad: dict[int, DeviceError],
        head: Head | None,
    ) -> Seen:
        at = record.place
        members = range(record.slot, record.slot + (1 << min(record.order, MAX_ORDER)))
        counts = tuple(
            one for one in members if one < self.superblock.slots and self.where(one) == offset + at
        )
        end = at + RECORD_BYTES + record.length
        why = unread(bad, at, end, self.superblock.page_size)
        if why is not None:
            return Seen(record, counts, f"can not be read: {why}")
        stamp = head.identity.sequence if head else self.space.stamp(offset)
        try:
            read_copy(block, at, record, stamp)
            self._sealing.opened(block[at:], at)
        except BlockError as error:
            body = block[at + RECORD_BYTES : end]
            whole = self._sealing.cipher is None and object_crc(record, body) == record.crc
            return Seen(record, counts, str(error), rescued=whole)
        return Seen(record, counts)

    def _stray(self, block: memoryview, head: Head | None, records: list[Record]) -> int:
        if head is None or not records:
            return 0
        end = max(one.place + RECORD_BYTES + one.length for one in records)
        rest = bytes(block[end : head.pages * self.superblock.page_size])
        left = rest.lstrip(b"\0")
        return end + len(rest) - len(left) if left else 0

    def numbers(self, *states: State) -> Iterator[int]:
        """The blocks in which one of these was found."""
        return (self.space.number(offset) for offset in self.scan.having(*states))
