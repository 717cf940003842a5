"""The slots' entries of a pipeline whose device is persistent.

A record on the device may be the only one that tells what its slot held at the last `sync`, long
after the slot was overwritten in RAM. So each slot's newest record stays where it is until a newer
one is there: the block that it is in has it as one that is live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from coldpress.block import BlockError
from coldpress.entries import Entries
from coldpress.flat import resident, table
from coldpress.folio import MAX_PAGES
from coldpress.roles.entry_type import (
    CacheEntryType,
    DeviceEntryType,
    EntryType,
    PoolEntryType,
    ShadowEntryType,
)
from coldpress.roles.packer import KIND_TOMBSTONE, KIND_WORD, Placed, Victim
from coldpress.roles.policy import Policy
from coldpress.slotlist import SlotList
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK
from coldpress.words import Order

WORD_BYTES = 8

# Marks of a slot, so that of most no other table is looked at, which would make it real memory.
_TOUCHED = 1  # something of it may be on the device
_KEPT = 2  # a record of it stands in the third table
_MISSING = 4  # it is unlogged

_ROLES = (PoolEntryType, CacheEntryType, DeviceEntryType, ShadowEntryType)


def is_in_word(one: EntryType | None) -> bool:
    """Whether the payload of the type alone says what its slots hold."""
    return one is not None and one.durable and not isinstance(one, _ROLES)


def page_of_word(one: EntryType, slot: int, payload: int, page_size: int) -> bytes:
    """The page for which a word of such a type stands that was found on a device.

    Raises `BlockError` if the type makes none of it: the payload is as somebody has written it.
    """
    try:
        page = one.decode(one.fetch(slot, payload))
    except Exception as error:  # whatever a type raises on a payload that it has never returned
        raise BlockError(f"{one.name} has no page for its word: {error}") from error
    if len(page) != page_size:
        raise BlockError(f"{one.name} has {len(page)} bytes for its word")
    return page


class DurableEntries(Entries):
    """`Entries` that know of each slot where its newest record is.

    If neither the word nor the clean copy is that place, a third table has it: of a slot that has
    changed since, or whose word needs no object. What has changed is *superseded*, and released
    when the slot's next record was written. A slot that holds a word of that kind, or is empty
    while something of it may be on the device, and has no record of that yet is *unlogged*.

    `next_sequence` gives the age of the next record. Those of a single page get theirs when they
    are selected, under the lock: at that moment the page is what its slot holds, so whatever the
    slot holds later gets a later one. A folio's record covers slots too that hold something else by
    now, which may be written before the folio is; so it has the age of its publication.

    Attributes: `superseded_bytes`, in records that are kept for slots that have changed;
    `tombstones`, records of empty slots that are needed; `unlogged`; `ids`, of each entry type that
    is written as a word, by name, its id in a record.

    Notes: not thread-safe; the pipeline calls under its lock. Every call is O(1), or O(slots of a
    folio).
    """

    def __init__(
        self,
        slots: int,
        types: Sequence[EntryType],
        policy: Policy,
        cache_order: Order,
        next_sequence: Callable[[], int],
        ids: Mapping[str, int],
        seal: int = 0,
    ) -> None:
        super().__init__(slots, types, policy, cache_order, seal)
        self.superseded_bytes = 0
        self.tombstones = 0
        self.unlogged = SlotList(slots)
        self.ids = ids
        self._next_sequence = next_sequence
        self._in_word = [is_in_word(one) for one in self.types]
        self._last = table("Q", slots)
        self._published = table("Q", slots)  # the age of a folio in RAM, for each member
        self._marks = table("B", slots)
        self._flying: dict[
            int, Victim
        ] = {}  # the latest that was staged of the slot, till it lands
        self._landing: list[int] = []  # slots of the victim in hand of which it is the latest

    # -- a slot changes ---------------------------------------------------------------------

    def publish(self, slot: int, tag: int, payload: int) -> None:
        self._unlog(slot)
        super().publish(slot, tag, payload)
        if self._in_word[tag]:
            self._miss(slot)

    def publish_folio(self, slot: int, tag: int, payload: int, pages: int) -> None:
        slots = range(slot, slot + pages)
        for one in slots:
            self._unlog(one)
        super().publish_folio(slot, tag, payload, pages)
        if self.table.get(slot) & FOLIO:
            sequence = self._next_sequence()
            for one in slots:
                self._published[one] = sequence
        elif self._in_word[tag]:
            for one in slots:
                self._miss(one)

    def empty(self, slot: int) -> bool:
        old = self.table.get(slot)
        if not old or old & TAG_MASK == self.shadow_tag:
            return False
        self._unlog(slot)
        super().empty(slot)
        if self._marks[slot] & _TOUCHED:
            self._miss(slot)
        return True

    def compressed(self, members: Sequence[int], word: int, tag: int, payload: int) -> None:
        super().compressed(members, word, tag, payload)
        if self._in_word[tag]:
            for one in members:
                self._miss(one)

    def _retire(self, slot: int, word: int, leaving: range) -> bool:
        # Its record is the newest still, so the place is kept; `_forsake` then counts it.
        payload = word >> PAYLOAD_AT
        is_there = word & TAG_MASK == self.device_tag
        going: Iterable[int] = (slot,)
        if word & FOLIO:
            going = [one for one in self.members(slot, word) if one in leaving]
        for one in going:
            place = payload if is_there else self._clean[one]
            if place:
                self._keep(one, place)
        return super()._retire(slot, word, leaving)

    def _unlog(self, slot: int) -> None:
        """What a slot that may have a record of its word, or of being empty, holds will change."""
        if self._found(slot):
            return
        last = self._kept(slot)
        if last:
            tag = self.table.get(slot) & TAG_MASK
            empty = tag in (0, self.shadow_tag)
            if empty or self._in_word[tag]:
                self.tombstones -= empty
                self._forsake(last)

    def _forsake(self, place: int) -> None:
        self.superseded_bytes += self.device_type.locate(place)[1]

    # -- on the way to the device -----------------------------------------------------------

    def victim(self, slot: int, sequence: int) -> Victim:
        if self.table.get(slot) & FOLIO:
            sequence = self._published[slot]
        return super().victim(slot, sequence)

    def needs_record(self, slot: int) -> bool:
        """Whether the slot is unlogged, and no record of it is on its way."""
        if not self._is_missing(slot):
            return False
        flying = self._flying.get(slot)
        return flying is None or flying.word != self.table.get(slot) or not self.is_staged(flying)

    def word_victim(self, slot: int) -> Victim:
        """The record that an unlogged slot needs."""
        word = self.table.get(slot)
        sequence = self._next_sequence()
        one = self.types[word & TAG_MASK]
        if one is not None and self._in_word[word & TAG_MASK]:
            length = WORD_BYTES + self.seal
            return Victim(slot, word, self.ids[one.name], 0, length, sequence, KIND_WORD)
        return Victim(slot, word, 0, 0, self.seal, sequence, KIND_TOMBSTONE)

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        if victim.kind == KIND_WORD:
            payload = victim.word >> PAYLOAD_AT
            out[at : at + WORD_BYTES] = payload.to_bytes(WORD_BYTES, "little")
        elif victim.kind != KIND_TOMBSTONE:
            super().copy_into(victim, out, at)

    def stage(self, victim: Victim) -> None:
        super().stage(victim)
        if not victim.sequence:
            return  # on its way from the cache to the pool
        get = self.table.get
        for slot in victim.slots:
            self._marks[slot] |= _TOUCHED
            if get(slot) == victim.word:
                self._flying[slot] = victim
            elif self._is_empty(slot) and not self._kept(slot) and not self._is_missing(slot):
                # The folio's record will be the slot's newest, and tell of a page that is gone.
                self._miss(slot)

    def is_wanted(self, victim: Victim) -> bool:
        # Even if it has changed: a `sync` that came between counts on its record, and what the
        # slots hold now may not be on its way.
        return any(self._flying.get(slot) is victim for slot in victim.slots)

    def written_back(self, placed: Placed, start: int) -> int:
        self._land(placed.victim)
        pages = super().written_back(placed, start)
        self._landed(placed, start)
        return pages

    def synced(self, placed: Placed, start: int) -> None:
        self._land(placed.victim)
        if placed.victim.kind in (KIND_WORD, KIND_TOMBSTONE):
            self._logged(placed, start)
        else:
            super().synced(placed, start)
        self._landed(placed, start)

    def not_written(self, victim: Victim, *, restore: bool) -> None:
        self._land(victim)
        super().not_written(victim, restore=restore)

    def _land(self, victim: Victim) -> None:
        self._landing = [one for one in victim.slots if self._flying.get(one) is victim]
        for slot in self._landing:
            del self._flying[slot]

    def _logged(self, placed: Placed, start: int) -> None:
        victim = placed.victim
        if self.unstage(victim):
            self._found(victim.slot)
            self.tombstones += victim.kind == KIND_TOMBSTONE
        else:
            self._unwanted(self.place(placed, start))

    def _landed(self, placed: Placed, start: int) -> None:
        """The record is on the device, the newest of these slots: older ones are not needed."""
        place = self.place(placed, start)
        for slot in self._landing:
            self._settle(slot)
            if not super().refers(slot, place):
                self._keep(slot, place)
        self._landing = []

    def _settle(self, slot: int) -> None:
        place = self._kept(slot)
        if not place:
            return
        self._keep(slot, 0)
        first = slot & -MAX_PAGES  # the record may be a folio's, and other slots' newest
        stop = min(first + MAX_PAGES, self.table.slots)
        if not any(self.refers(one, place) for one in range(first, stop)):
            self.superseded_bytes -= self.device_type.locate(place)[1]
            self.device_type.release(place)

    def _unwanted(self, place: int) -> None:
        # The slots have changed, but their newer contents have no record yet: this one is kept.
        if self._landing:
            self._forsake(place)
        else:
            self.device_type.release(place)

    # -- on the device ----------------------------------------------------------------------

    def refers(self, slot: int, place: int) -> bool:
        last = self._kept(slot)
        if last:
            return self.device_type.locate(last) == self.device_type.locate(place)
        return super().refers(slot, place)

    def _point(self, slot: int, old: int, new: int) -> None:
        if self._kept(slot):
            self._keep(slot, new)
        else:
            super()._point(slot, old, new)

    def tombstone(self, slot: int) -> int:
        """The place of the record that tells that the slot is empty; 0 if it has none."""
        if self._is_empty(slot) and not self._is_missing(slot):
            return self._kept(slot)
        return 0

    def drop_tombstone(self, slot: int) -> None:
        """Nothing older of the slot is on the device: the record is not needed."""
        place = self._kept(slot)
        self._keep(slot, 0)
        self._marks[slot] &= ~_TOUCHED
        self.tombstones -= 1
        self.device_type.release(place)

    @property
    def metadata_bytes(self) -> int:
        own = resident(self._last, self._published, self._marks)
        return super().metadata_bytes + own + self.unlogged.metadata_bytes

    def _kept(self, slot: int) -> int:
        """The place in the third table; 0 if there is none."""
        return self._last[slot] if self._marks[slot] & _KEPT else 0

    def _keep(self, slot: int, place: int) -> None:
        if place:
            self._marks[slot] |= _KEPT
            self._last[slot] = place
        else:
            self._marks[slot] &= ~_KEPT

    def _is_missing(self, slot: int) -> bool:
        return bool(self._marks[slot] & _MISSING)

    def _miss(self, slot: int) -> None:
        """The slot is unlogged."""
        self._marks[slot] |= _MISSING
        self.unlogged.push_tail(slot)

    def _found(self, slot: int) -> bool:
        """The slot is not unlogged any more; whether it was."""
        if not self._is_missing(slot):
            return False
        self._marks[slot] &= ~_MISSING
        return self.unlogged.remove(slot)

    def owed(self) -> list[int]:
        """The slots of which the device does not have what they hold now."""
        return [*self.dirty(), *self.unlogged.from_tail()]

    def _is_empty(self, slot: int) -> bool:
        return self.table.get(slot) & TAG_MASK in (0, self.shadow_tag)

    # -- found on the device, when it was opened --------------------------------------------

    def recovered(self, slot: int, word: int, place: int) -> None:
        """The slot holds this word, 0 if it is empty; its newest record is at this place."""
        self._marks[slot] |= _TOUCHED
        if word & TAG_MASK != self.device_tag:
            self._keep(slot, place)
        if word:
            self.table.put(slot, word)
            self.counts[word & TAG_MASK] += 1
        else:
            self.tombstones += 1
