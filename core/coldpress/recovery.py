"""Opening a device that has something on it: its blocks are read, of each slot the newest counts.

A first look at some headers tells how far it is durable, W. Then header and records of every block
are read, in the order in which they lie there. Blocks past W come last: of these every byte is
checked, for the write of one may have been cut short. What is not whole is as if it had never been
written, and is made unreadable before anything else is written. Up to W a bad object is told of
when it is loaded; of a block whose records are bad, the objects are searched for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping

from coldpress.block import (
    HEADER_BYTES,
    MAGIC,
    PLACE_MASK,
    RECORD,
    RECORD_BYTES,
    BlockError,
    Head,
    Record,
    head_bytes,
    read_head,
    read_object,
    read_record,
)
from coldpress.durable import WORD_BYTES, DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.errors import ConfigError, Problem
from coldpress.flat import OS_PAGE, reserve, resident, table
from coldpress.folio import MAX_PAGES
from coldpress.roles.packer import KIND_OBJECT, KIND_WORD
from coldpress.salvage import salvage
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK

_PROBES = 64  # headers looked at for W before the others
_TOLD = 256  # blocks between two calls of the progress
_BATCH = OS_PAGE // 8  # slots at a time: a page of the tables

Progress = Callable[[int, int], None]
"""Is called now and then with how many blocks were read, of how many."""


class Recovery:
    """Reads a device into `entries`, which are empty, and into the space of `store`.

    `tags` maps the ids of entry types in records to tags. Attributes: `pages`, slots that hold a
    page again; `sequence`, of the newest block.

    Notes: called once, before anything else uses the pipeline. While it runs it needs 8 bytes for
    each slot on the device, or 25 for those that have no object, besides what the pipeline needs.
    """

    def __init__(
        self,
        store: DurableStore,
        entries: DurableEntries,
        page_size: int,
        tags: Mapping[int, int],
        progress: Progress | None = None,
    ) -> None:
        self.pages = 0
        self.sequence = store.superblock.durable
        self._sealing = store.sealing
        self._uuid = store.superblock.uuid
        self._durable = store.superblock.durable
        self._epochs = range(store.superblock.first_epoch, store.superblock.epoch + 1)
        self._entries = entries
        self._page_size = page_size
        self._tags = tags
        self._progress = progress or (lambda done, count: None)
        (self._home,) = store.space.members
        self._space = self._home.space
        slots = entries.table.slots
        self._best = table("Q", slots)
        self._words = table("Q", slots)
        self._places = table("Q", slots)
        self._codecs = table("B", slots) if entries.origins is not None else None
        self._block = memoryview(reserve(self._space.block))
        self._zeros = bytes(page_size)
        self._tail = array("Q")
        self._salvaged: set[int] = set()

    def run(self) -> None:
        """Raises `DeviceError`, and `ConfigError` for what no entry type takes."""
        space = self._space
        blocks = range(space.start, space.start + space.count * space.block, space.block)
        for probe in range(_PROBES + 1):
            self._head(blocks[probe * (len(blocks) - 1) // _PROBES])
        used = 0
        for number, offset in enumerate(blocks):
            if number % _TOLD == 0:
                self._progress(number, len(blocks))
            if self._scan(offset):
                used = number + 1
        for offset in [offset for offset in self._tail if not self._scan_tail(offset)]:
            space.spoilt(offset, space.block // self._page_size)
            self._home.write(offset, memoryview(reserve(self._page_size)))
        for start in range(0, len(self._best), _BATCH):
            if resident(self._best[start : start + _BATCH]):
                self._settle(range(start, min(start + _BATCH, len(self._best))))
        space.found_all(used)
        self._progress(len(blocks), len(blocks))

    # -- blocks -----------------------------------------------------------------------------

    def _head(self, offset: int) -> Head | None:
        """The block's header, read with its records; None if none of this pipeline is whole."""
        page = self._read(offset, self._page_size)
        size = head_bytes(page)
        if not size:
            return None
        if size > len(page):
            page = self._read(offset, min(size + -size % self._page_size, self._space.block))
        try:
            head = read_head(page, self._page_size)
        except BlockError:
            return None
        if head.identity.uuid != self._uuid:
            return None
        try:
            self._sealing.check(page, head)
        except BlockError:
            return None
        self._durable = max(self._durable, head.identity.durable)
        self.sequence = max(self.sequence, head.identity.sequence)
        return head

    def _scan(self, offset: int) -> bool:
        """Take what is up to W in this block; whether it was ever used."""
        head = self._head(offset)
        if head is None:
            # As `_head` left it; a block whose first page is zeros was never written, or voided.
            if self._block[: self._page_size] == self._zeros:
                return False
            self._salvage(offset)
        elif head.identity.sequence > self._durable:
            self._tail.append(offset)
        else:
            self._take(offset, head, whole=False)
        return True

    def _scan_tail(self, offset: int) -> bool:
        """The same for a block that was past W when it was met; False if it is not whole."""
        head = self._head(offset)
        if head is None:
            return False
        past = head.identity.sequence > self._durable
        if past and not self._is_whole(offset, head):
            return False
        self._take(offset, head, whole=past)
        return True

    def _is_whole(self, offset: int, head: Head) -> bool:
        """Read all of the block: whether all that its header tells of is there."""
        block = self._read(offset, head.pages * self._page_size)
        for number in range(head.count):
            record = read_record(block, HEADER_BYTES + number * RECORD_BYTES)
            inside = block[record.place :]
            try:
                inline = read_object(
                    inside, record.slot, record.length, head.identity.sequence, record.kind
                )
                self._sealing.opened(inside, record.place)
            except BlockError:
                return False
            if (inline.sequence, inline.crc) != (record.sequence, record.crc):
                return False
        return True

    def _salvage(self, offset: int) -> None:
        space = self._space
        block = self._read(offset, space.block)
        space.spoilt(offset, space.block // self._page_size)
        if bytes(block[: len(MAGIC)]) == MAGIC and self._is_foreign(block):
            return
        found = salvage(block, self._epochs, self._entries.table.slots, self._sealing)
        if not found:
            return
        payload = sum(record.room for _, record in found)
        stamp = found[0][1].place
        self._salvaged.add(offset)
        space.found(offset, stamp, space.block // self._page_size, payload)
        for at, record in found:
            self._take_record(offset, at, record)

    def _is_foreign(self, block: memoryview) -> bool:
        try:
            return read_head(block, self._page_size).identity.uuid != self._uuid
        except BlockError:
            return False

    def _take(self, offset: int, head: Head, *, whole: bool) -> None:
        """The records of a block that `_head` has just read; `whole`: all of the block was."""
        self._space.found(offset, head.identity.sequence, head.pages, head.payload)
        best, words, codecs = self._best, self._words, self._codecs
        make, tag = self._entries.device_type.place, self._entries.device_tag
        end = HEADER_BYTES + head.count * RECORD_BYTES
        others = []
        for shape, slot, _, sequence in RECORD.iter_unpack(self._block[HEADER_BYTES:end]):
            if shape >> 56 != KIND_OBJECT:  # of a single page
                others.append((shape, slot, sequence))
            elif sequence > best[slot] or (
                sequence == best[slot] and self._is_later_copy(offset, slot)
            ):
                best[slot] = sequence
                place = make(offset + (shape & PLACE_MASK), shape >> 24 & PLACE_MASK)
                words[slot] = place << PAYLOAD_AT | tag
                if codecs is not None:
                    codecs[slot] = shape >> 48 & 255
        if not others:
            return
        at = range(HEADER_BYTES, end, RECORD_BYTES)
        records = [read_record(self._block, one) for one in at]
        records = [one for one in records if one.order or one.kind != KIND_OBJECT]
        if not whole and any(one.kind == KIND_WORD for one in records):
            self._read(offset, head.pages * self._page_size)
        for record in records:
            self._take_record(offset, record.place, record)

    def _take_record(self, offset: int, at: int, record: Record) -> None:
        """A record at `at` in the block, which is read if it is of a word."""
        place = self._entries.device_type.place(offset + at, record.room)
        word = 0
        if record.kind == KIND_OBJECT:
            folio = FOLIO if record.order else 0
            word = place << PAYLOAD_AT | folio | self._entries.device_tag
        elif record.kind == KIND_WORD:
            word = self._word(offset, at, record, place)
        for slot in range(record.slot, record.slot + (1 << record.order)):
            newest = self._best[slot]
            if record.sequence > newest or (
                record.sequence == newest and self._is_later_copy(offset, slot)
            ):
                self._best[slot] = record.sequence
                self._words[slot] = word
                self._places[slot] = place
                if self._codecs is not None:
                    self._codecs[slot] = record.codec if record.kind == KIND_OBJECT else 0

    def _is_later_copy(self, offset: int, slot: int) -> bool:
        """Whether this block was written after the one of the slot's record, of which it has a
        copy.

        The one that the cleaner copied from may be in the middle of being written again.
        """
        word = self._words[slot]
        is_there = word & TAG_MASK == self._entries.device_tag
        place = word >> PAYLOAD_AT if is_there else self._places[slot]
        other = self._space.start_of(self._entries.device_type.locate(place)[0])
        if self._salvaged.isdisjoint((offset, other)):
            ages = self._space.stamp(offset) - self._space.stamp(other)
            return 0 < ages & 0xFFFFFFFF < 1 << 31
        return other in self._salvaged

    def _word(self, offset: int, at: int, record: Record, place: int) -> int:
        """The word that is recorded here."""
        tag = self._tags.get(record.codec)
        if tag is None:
            message = "the device holds pages of an entry type that 'entries' does not name"
            raise ConfigError([Problem("entries", message)])
        inside = self._block[at:]
        try:
            stamp = self._space.stamp(offset)
            read_object(inside, record.slot, record.length, stamp, record.kind)
            body = self._sealing.opened(inside, at)
        except BlockError:
            # Taken for an object, it is one that is damaged: so the slot's load will tell.
            return place << PAYLOAD_AT | self._entries.device_tag
        payload = int.from_bytes(body[:WORD_BYTES], "little")
        return payload << PAYLOAD_AT | tag

    def _read(self, offset: int, size: int) -> memoryview:
        """So much of the block, at the start of the one buffer."""
        part = self._block[:size]
        self._home.read_into(offset, part)
        return part

    # -- slots ------------------------------------------------------------------------------

    def _settle(self, slots: range) -> None:
        """Each of these slots gets what its newest record says."""
        entries, words = self._entries, self._words
        locate, found_live = entries.device_type.locate, self._space.found_live
        device = entries.device_tag
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
            entries.recovered(slot, word, place)
            self.pages += word != 0
            if self._codecs is not None and entries.origins is not None:
                entries.origins.note((slot,), self._codecs[slot])
