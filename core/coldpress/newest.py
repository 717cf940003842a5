"""Which record of each slot counts: of all that are on a device, the newest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coldpress.block import (
    HEADER_BYTES,
    PLACE_MASK,
    RECORD,
    RECORD_BYTES,
    BlockError,
    Head,
    Record,
    read_copy,
    read_record,
)
from coldpress.durable import WORD_BYTES
from coldpress.flat import table
from coldpress.folio import MAX_PAGES
from coldpress.regions import Regions
from coldpress.roles.packer import KIND_OBJECT, KIND_WORD
from coldpress.sealing import Sealing
from coldpress.space import BlockSpace
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK

_PAYLOAD_BITS = 64 - PAYLOAD_AT

_SLOT_BYTES = 24  # in the three tables
_TIMES = 16  # the tables of all slots may be as many times as large as the blocks

Found = Callable[[int, int, int], None]
"""Is called with a slot, its word, and the place of its newest record."""


class Places(Protocol):
    """Where a record is, as a payload of a word: what a `DeviceEntryType` has of it."""

    def place(self, offset: int, length: int) -> int: ...

    def locate(self, payload: int) -> tuple[int, int]: ...


class Newest:
    """Is shown the records of a device block by block, and keeps of each slot the newest.

    Parameters: `space`, the device's blocks, which is told what is found in them; `places` and
    `tag`, of the words that slots get whose object is on the device; `tag_of`, which gives that of
    words that need no object for the id of an entry type in their record; `sealing`, of the device.

    With `codecs`, `codec` can be asked for.

    Attributes: `salvaged`, the blocks of which only the low bits of their sequence are known.

    Notes: not thread-safe. It needs 8 bytes for each slot on the device, or 25 for those that have
    no object, in regions (see `Regions`): not much more than 16 times what the blocks have.
    """

    def __init__(
        self,
        slots: int,
        space: BlockSpace,
        places: Places,
        tag: int,
        tag_of: Callable[[int], int],
        sealing: Sealing,
        *,
        codecs: bool,
    ) -> None:
        self.salvaged: set[int] = set()
        scattered = slots * _SLOT_BYTES > _TIMES * space.count * space.block
        self._regions = Regions(slots, scattered=scattered)
        entries = self._regions.entries
        self._space = space
        self._places_of = places
        self._tag = tag
        self._tag_of = tag_of
        self._sealing = sealing
        self._best = table("Q", entries)
        self._words = table("Q", entries)
        self._places = table("Q", entries)
        self._codecs = table("B", entries) if codecs else None

    def take(self, offset: int, head: Head, data: memoryview) -> list[Record]:
        """The records of single pages, in a block of which `data` has at least all records.

        The other ones, which `take_record` is for, are returned.
        """
        best, words, codecs = self._best, self._words, self._codecs
        regions, bits = self._regions, self._regions.bits
        make, tag = self._places_of.place, self._tag
        end = HEADER_BYTES + head.count * RECORD_BYTES
        others = 0
        for shape, slot, _, sequence in RECORD.iter_unpack(data[HEADER_BYTES:end]):
            if shape >> 56 != KIND_OBJECT:  # of a single page
                others += 1
                continue
            one = slot + regions[slot >> bits]
            if sequence > best[one] or (sequence == best[one] and self._is_later_copy(offset, one)):
                best[one] = sequence
                place = make(offset + (shape & PLACE_MASK), shape >> 24 & PLACE_MASK)
                words[one] = place << PAYLOAD_AT | tag
                if codecs is not None:
                    codecs[one] = shape >> 48 & 255
        if not others:
            return []
        records = [read_record(data, at) for at in range(HEADER_BYTES, end, RECORD_BYTES)]
        return [one for one in records if one.order or one.kind != KIND_OBJECT]

    def lacks(self, record: Record) -> bool:
        """Whether the record is newer than what is known of one of its slots."""
        first = self._regions.entry(record.slot)
        if first < 0:
            return True
        return any(record.sequence > one for one in self._best[first : first + (1 << record.order)])

    def take_record(self, offset: int, at: int, record: Record, data: memoryview) -> None:
        """A record at `at` in the block, which is `data` as far as it is needed for a word."""
        place = self._places_of.place(offset + at, record.room)
        word = 0
        if record.kind == KIND_OBJECT:
            folio = FOLIO if record.order else 0
            word = place << PAYLOAD_AT | folio | self._tag
        elif record.kind == KIND_WORD:
            word = self._word(offset, at, record, place, data)
        first = record.slot + self._regions[record.slot >> self._regions.bits]
        for one in range(first, first + (1 << record.order)):
            newest = self._best[one]
            if record.sequence > newest or (
                record.sequence == newest and self._is_later_copy(offset, one)
            ):
                self._best[one] = record.sequence
                self._words[one] = word
                self._places[one] = place
                if self._codecs is not None:
                    self._codecs[one] = record.codec if record.kind == KIND_OBJECT else 0

    def settle(self, found: Found) -> None:
        """Tell of each slot that has a record, and the space which bytes are live."""
        bits = self._regions.bits
        for region, by in sorted(self._regions.items()):
            first = region << bits
            self._settle(range(first, first + (1 << bits)), by, found)

    def where(self, slot: int) -> int:
        """The offset of the slot's newest record, in front of its object; 0 if it has none."""
        one = self._regions.entry(slot)
        return self._locate(one)[0] if one >= 0 and self._best[one] else 0

    def codec(self, slot: int) -> int:
        """The id of the compressor of the slot's object; 0 if it has none, or was not asked for."""
        one = self._regions.entry(slot)
        return self._codecs[one] if one >= 0 and self._codecs is not None else 0

    def _settle(self, slots: range, by: int, found: Found) -> None:
        """The same for slots whose entries are at their number and `by`."""
        words = self._words
        locate, found_live = self._places_of.locate, self._space.found_live
        device = self._tag
        best = self._best[slots.start + by : slots.stop + by]
        for slot, sequence in zip(slots, best, strict=True):
            if not sequence:
                continue
            one = slot + by
            word = words[one]
            if word & TAG_MASK == device:
                place = word >> PAYLOAD_AT
                first = one & -MAX_PAGES  # of a folio, which lies in one region
                shared = word & FOLIO and word in words[first:one].tolist()
            else:
                place, shared = self._places[one], False
            if not shared:
                found_live(*locate(place))
            found(slot, word, place)

    def _locate(self, one: int) -> tuple[int, int]:
        """Offset and length of the newest record of the slot whose entries are here."""
        word = self._words[one]
        is_there = word & TAG_MASK == self._tag
        return self._places_of.locate(word >> PAYLOAD_AT if is_there else self._places[one])

    def _is_later_copy(self, offset: int, one: int) -> bool:
        """Whether this block was written after that of the record for the slot whose entries are
        here, of which it has a copy.

        The one that the cleaner copied from may be in the middle of being written again.
        """
        other = self._space.start_of(self._locate(one)[0])
        if self.salvaged.isdisjoint((offset, other)):
            ages = self._space.stamp(offset) - self._space.stamp(other)
            return 0 < ages & 0xFFFFFFFF < 1 << 31
        return other in self.salvaged

    def _word(self, offset: int, at: int, record: Record, place: int, data: memoryview) -> int:
        """The word that is recorded here."""
        tag = self._tag_of(record.codec)
        try:
            read_copy(data, at, record, self._space.stamp(offset))
            body = self._sealing.opened(data[at:], at)
        except BlockError:
            # Taken for an object, it is one that is damaged: so the slot's load will tell.
            return place << PAYLOAD_AT | self._tag
        payload = int.from_bytes(body[:WORD_BYTES], "little")
        if payload >> _PAYLOAD_BITS:  # no word has room for it
            return place << PAYLOAD_AT | self._tag
        return payload << PAYLOAD_AT | tag
