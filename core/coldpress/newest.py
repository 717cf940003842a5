"""Which record of each slot counts: of all that are on a device, the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from coldpress.errors import ConfigError, Problem
from coldpress.flat import OS_PAGE, resident, table
from coldpress.folio import MAX_PAGES
from coldpress.roles.packer import KIND_OBJECT, KIND_WORD
from coldpress.sealing import Sealing
from coldpress.space import BlockSpace
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK

_PAYLOAD_BITS = 64 - PAYLOAD_AT
_BATCH = OS_PAGE // 8  # slots at a time: a page of the tables
_REGION = 4096 * _BATCH  # slots of which it is asked first whether any has a record

Found = Callable[[int, int, int], None]
"""Is called with a slot, its word, and the place of its newest record."""


class Places(Protocol):
    """Where a record is, as a payload of a word: what a `DeviceEntryType` has of it."""

    def place(self, offset: int, length: int) -> int: ...

    def locate(self, payload: int) -> tuple[int, int]: ...


class Newest:
    """Is shown the records of a device block by block, and keeps of each slot the newest.

    Parameters: `space`, the device's blocks, which is told what is found in them; `places` and
    `tag`, of the words that slots get whose object is on the device; `tags`, by the ids of entry
    types in records, those of the words that need no object; `sealing`, of the device.

    Attributes: `codecs`, of each slot the id of the compressor of its object, or None if nobody
    asks; `salvaged`, the blocks of which only the low bits of their sequence are known.

    Notes: not thread-safe. It needs 8 bytes for each slot on the device, or 25 for those that have
    no object.
    """

    def __init__(
        self,
        slots: int,
        space: BlockSpace,
        places: Places,
        tag: int,
        tags: Mapping[int, int],
        sealing: Sealing,
        *,
        codecs: bool,
    ) -> None:
        self.slots = slots
        self.codecs = table("B", slots) if codecs else None
        self.salvaged: set[int] = set()
        self._space = space
        self._places_of = places
        self._tag = tag
        self._tags = tags
        self._sealing = sealing
        self._best = table("Q", slots)
        self._words = table("Q", slots)
        self._places = table("Q", slots)

    def take(self, offset: int, head: Head, data: memoryview) -> list[Record]:
        """The records of single pages, in a block of which `data` has at least all records.

        The other ones, which `take_record` is for, are returned.
        """
        best, words, codecs = self._best, self._words, self.codecs
        make, tag = self._places_of.place, self._tag
        end = HEADER_BYTES + head.count * RECORD_BYTES
        others = 0
        for shape, slot, _, sequence in RECORD.iter_unpack(data[HEADER_BYTES:end]):
            if shape >> 56 != KIND_OBJECT:  # of a single page
                others += 1
            elif sequence > best[slot] or (
                sequence == best[slot] and self._is_later_copy(offset, slot)
            ):
                best[slot] = sequence
                place = make(offset + (shape & PLACE_MASK), shape >> 24 & PLACE_MASK)
                words[slot] = place << PAYLOAD_AT | tag
                if codecs is not None:
                    codecs[slot] = shape >> 48 & 255
        if not others:
            return []
        records = [read_record(data, at) for at in range(HEADER_BYTES, end, RECORD_BYTES)]
        return [one for one in records if one.order or one.kind != KIND_OBJECT]

    def lacks(self, record: Record) -> bool:
        """Whether the record is newer than what is known of one of its slots."""
        slots = range(record.slot, record.slot + (1 << record.order))
        return any(record.sequence > self._best[slot] for slot in slots)

    def take_record(self, offset: int, at: int, record: Record, data: memoryview) -> None:
        """A record at `at` in the block, which is `data` as far as it is needed for a word."""
        place = self._places_of.place(offset + at, record.room)
        word = 0
        if record.kind == KIND_OBJECT:
            folio = FOLIO if record.order else 0
            word = place << PAYLOAD_AT | folio | self._tag
        elif record.kind == KIND_WORD:
            word = self._word(offset, at, record, place, data)
        for slot in range(record.slot, record.slot + (1 << record.order)):
            newest = self._best[slot]
            if record.sequence > newest or (
                record.sequence == newest and self._is_later_copy(offset, slot)
            ):
                self._best[slot] = record.sequence
                self._words[slot] = word
                self._places[slot] = place
                if self.codecs is not None:
                    self.codecs[slot] = record.codec if record.kind == KIND_OBJECT else 0

    def settle(self, found: Found) -> None:
        """Tell of each slot that has a record, and the space which bytes are live."""
        for start in self._touched(range(self.slots), _REGION):
            region = range(start, min(start + _REGION, self.slots))
            for batch in self._touched(region, _BATCH):
                self._settle(range(batch, min(batch + _BATCH, self.slots)), found)

    def where(self, slot: int) -> int:
        """The offset of the slot's newest record, in front of its object; 0 if it has none."""
        return self._locate(slot)[0] if self._best[slot] else 0

    def _touched(self, slots: range, step: int) -> Iterator[int]:
        """Where each so many of these slots begin of which one may have a record."""
        for start in slots[::step]:
            if resident(self._best[start : min(start + step, slots.stop)]):
                yield start

    def _settle(self, slots: range, found: Found) -> None:
        words = self._words
        locate, found_live = self._places_of.locate, self._space.found_live
        device = self._tag
        for slot, sequence in zip(slots, self._best[slots.start : slots.stop], strict=True):
            if not sequence:
                continue
            word = words[slot]
            if word & TAG_MASK == device:
                place = word >> PAYLOAD_AT
                first = slot & -MAX_PAGES
                shared = word & FOLIO and word in words[first:slot].tolist()
            else:
                place, shared = self._places[slot], False
            if not shared:
                found_live(*locate(place))
            found(slot, word, place)

    def _locate(self, slot: int) -> tuple[int, int]:
        word = self._words[slot]
        is_there = word & TAG_MASK == self._tag
        return self._places_of.locate(word >> PAYLOAD_AT if is_there else self._places[slot])

    def _is_later_copy(self, offset: int, slot: int) -> bool:
        """Whether this block was written after the one of the slot's record, of which it has a
        copy.

        The one that the cleaner copied from may be in the middle of being written again.
        """
        other = self._space.start_of(self._locate(slot)[0])
        if self.salvaged.isdisjoint((offset, other)):
            ages = self._space.stamp(offset) - self._space.stamp(other)
            return 0 < ages & 0xFFFFFFFF < 1 << 31
        return other in self.salvaged

    def _word(self, offset: int, at: int, record: Record, place: int, data: memoryview) -> int:
        """The word that is recorded here."""
        tag = self._tags.get(record.codec)
        if tag is None:
            message = "the device holds pages of an entry type that 'entries' does not name"
            raise ConfigError([Problem("entries", message)])
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
