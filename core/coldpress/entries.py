"""The slots' entries: swap table, entry types, orders and clean copies, always in step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coldpress.codecs import STORED
from coldpress.origins import Origins
from coldpress.roles.packer import Placed, Victim
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK
from coldpress.words import Words


class Entries(Words):
    """Every change of a slot's word, with all that hangs on it.

    Objects on their way elsewhere, copied into a block or being compressed, are *staged* until
    they are there or have changed. A word may change and come back (a handle is used again), so
    not the word but this mark tells whether a copy that was made of the object is still good.

    Notes: not thread-safe; the pipeline calls under its lock. Every call is O(1), or O(slots of a
    folio).
    """

    superseded_bytes = 0
    """Object bytes on the device that are kept for slots which have changed since."""

    def publish(self, slot: int, tag: int, payload: int) -> None:
        """A new object is the slot's: retire what was there."""
        old = self.table.get(slot)
        warm = self._retire(slot, old, range(slot, slot + 1)) if old else False
        word = payload << PAYLOAD_AT | tag
        self.table.put(slot, word)
        self.counts[tag] += 1
        self.clock += 1
        if self.origins is not None:
            self._note_origin(self.origins, (slot,), word)
        order = self.orders[tag]
        if order is not None:
            order.insert(slot, warm)

    def publish_folio(self, slot: int, tag: int, payload: int, pages: int) -> None:
        """The same for so many slots from this one on."""
        warm = False
        slots = range(slot, slot + pages)
        for one in slots:
            old = self.table.get(one)
            if old:  # else it left with a folio's first slot
                warm |= self._retire(one, old, slots)
        word = self._folio_word(tag, payload)
        for one in slots:
            self.table.put(one, word)
        self.counts[tag] += pages
        self.clock += pages
        if self.origins is not None:
            self._note_origin(self.origins, slots, word)
        order = self.orders[tag]
        if order is not None:
            order.insert(slot, warm)

    def empty(self, slot: int) -> bool:
        """Retire what the slot holds and leave a shadow; False if it held nothing."""
        old = self.table.get(slot)
        if not old or old & TAG_MASK == self.shadow_tag:
            return False
        self._retire(slot, old, range(slot, slot + 1))
        shadow = self.shadow_type.mark(self.clock)
        self.table.put(slot, shadow << PAYLOAD_AT | self.shadow_tag)
        self.counts[self.shadow_tag] += 1
        if self.origins is not None:
            self.origins.note((slot,), STORED)
        return True

    def remember_origins(self, origins: Origins, slots: Iterable[int], codec: int) -> None:
        """What these slots have on the device was made with this codec id, if it is older."""
        for slot in slots:
            word = self.table.get(slot)
            if word & TAG_MASK != self.device_tag:
                origins.older(slot, self._codec(word))
            elif origins.on_device:
                origins.older(slot, codec)

    def stage(self, victim: Victim) -> None:
        """From now on, until it is there, a change of the object is noticed."""
        self._staged[victim.slot, victim.word] = victim

    def changed(self, slot: int, word: int) -> None:
        """The object of this word has other contents: copies that were made of it are stale."""
        self._staged.pop(self._key(slot, word), None)

    def is_wanted(self, victim: Victim) -> bool:
        """Whether a block is worth its writing for the sake of this victim."""
        return self.is_staged(victim)

    def unstage(self, victim: Victim) -> Sequence[int]:
        """The object is not on its way any more: its members, none if it has changed."""
        if not self.is_staged(victim):
            return ()
        del self._staged[victim.slot, victim.word]
        return self.members(victim.slot, victim.word)

    def drop_clean(self, slot: int) -> int:
        """Free the RAM of an evicted object that has a clean copy; how many pages, 0 without."""
        place = self._clean[slot]
        if not place:
            return 0
        word = self.table.get(slot)
        members = self.members(slot, word)
        for one in members:
            self._forget_clean(one)
        self.clean -= 1
        self._become(members, word, place << PAYLOAD_AT | word & FOLIO | self.device_tag)
        self._pool_type(word).release(word >> PAYLOAD_AT)
        return len(members)

    def written_back(self, placed: Placed, start: int) -> int:
        """A staged victim's copy is on the device: free its RAM; how many pages, 0 if it changed.

        `start` is where its block begins.
        """
        place = self.place(placed, start)
        victim = placed.victim
        members = self.unstage(victim)
        if not members:
            self._unwanted(place)
            return 0
        word = victim.word
        self._become(members, word, place << PAYLOAD_AT | word & FOLIO | self.device_tag)
        self._pool_type(word).release(word >> PAYLOAD_AT)
        return len(members)

    def synced(self, placed: Placed, start: int) -> None:
        """The same, but the object stays in RAM too, with a clean copy."""
        place = self.place(placed, start)
        members = self.unstage(placed.victim)
        for one in members:
            self._clean[one] = place
        if members:
            self.clean += 1
        else:
            self._unwanted(place)

    def not_written(self, victim: Victim, *, restore: bool) -> None:
        """A staged victim's block could not be written; `restore`: the policy gets it back."""
        members = self.unstage(victim)
        if members and restore:
            self.policy.restore(members[0])

    def promoted(self, slot: int, word: int, tag: int, payload: int) -> int:
        """The object of the slot's `packed` word is in the pool; its copy stays; how many pages.

        0, and the payload is released, if it is for a folio and the word is not, or the other way
        round.
        """
        new = self._folio_word(tag, payload)
        if (new ^ word) & FOLIO:  # it would be released once for each slot, or too early
            self._type(new).release(payload)
            return 0
        members = self.members(slot, word)
        self._become(members, word, new)
        for one in members:
            self._clean[one] = word >> PAYLOAD_AT
        self.clean += 1
        self.policy.insert(members[0])
        return len(members)

    def compressed(self, members: Sequence[int], word: int, tag: int, payload: int) -> None:
        """What these slots, of one word, have in the cache is now stored so."""
        new = self._folio_word(tag, payload) if word & FOLIO else payload << PAYLOAD_AT | tag
        self._become(members, word, new)
        order = self.orders[tag]
        if order is not None:
            order.insert(members[0])

    def moved(self, slot: int, order: int, old: int, new: int) -> bool:
        """The object at `old` was copied to `new`; False if none of its slots refers to it."""
        slots = self.referring(slot, order, old)
        for one in slots:
            self._point(one, old, new)
        if slots:
            self.device_type.release(old)
        return bool(slots)

    def _point(self, slot: int, old: int, new: int) -> None:
        """The slot refers to `new` in the place of `old`."""
        word = self.table.get(slot)
        if word & TAG_MASK == self.device_tag:
            to = self.device_type.mark_seen(new) if self._seen(word) else new
            self.table.put(slot, to << PAYLOAD_AT | word & FOLIO | self.device_tag)
        else:
            self._clean[slot] = new

    def mark_seen(self, slot: int, word: int) -> None:
        """Remember that the object of this `packed` word was read once."""
        payload = self.device_type.mark_seen(word >> PAYLOAD_AT)
        for one in self.members(slot, word):
            self.table.put(one, payload << PAYLOAD_AT | word & FOLIO | self.device_tag)

    def _become(self, members: Sequence[int], word: int, new: int) -> None:
        """The object of these slots is somewhere else now; what `word` stood for is not freed."""
        for one in members:
            self.table.put(one, new)
        self.counts[word & TAG_MASK] -= len(members)
        self.counts[new & TAG_MASK] += len(members)
        if self.origins is not None:
            self._note_origin(self.origins, members, new)

    def _note_origin(self, origins: Origins, slots: Iterable[int], word: int) -> None:
        """Which compressor made what these slots have now."""
        if word & TAG_MASK != self.device_tag or not origins.on_device:
            origins.note(slots, self._codec(word))  # else it is the object that was in the pool

    def _codec(self, word: int) -> int:
        return self._type(word).codec(word >> PAYLOAD_AT) if word else STORED

    def _retire(self, slot: int, word: int, leaving: range) -> bool:
        """Free what a slot's word stands for; whether the slot was in use a short while ago.

        If it is a folio's, all slots that are `leaving` leave it, their words zero; with slots
        besides them it lives on.
        """
        tag = word & TAG_MASK
        payload = word >> PAYLOAD_AT
        one = self._type(word)
        order = self.orders[tag]
        span = self._span(word)
        place = self._clean[slot]
        if span == 1:
            self._forget_clean(slot)
            self.counts[tag] -= 1
        else:
            staying = self._leave(slot, word, leaving)
            if staying:
                if order is not None:
                    order.rename(slot, staying[0])  # which does nothing if another is its name
                return order is not None
        if self._staged:
            self._staged.pop((slot & -span, word), None)
        if order is not None:
            one.release(payload)
            order.remove(slot)
            if place:
                self.clean -= 1
                self._forsake(place)
            return True  # a hit, as policies count them
        if tag == self.device_tag:
            self._forsake(payload)
            return False
        one.release(payload)
        if tag == self.shadow_tag:
            return self.clock - self.shadow_type.clock(payload) <= len(self.policy)
        return False

    def _forsake(self, place: int) -> None:
        """No slot holds what is at this place of the device any more."""
        self.device_type.release(place)

    def _unwanted(self, place: int) -> None:
        """What was written here is a dead copy: it has changed meanwhile."""
        self.device_type.release(place)

    def _forget_clean(self, slot: int) -> None:
        if self._clean[slot]:  # else the write alone would make the table's page real
            self._clean[slot] = 0

    def _leave(self, slot: int, word: int, leaving: range) -> list[int]:
        """Take those slots from a folio's members; the members that are left."""
        members = self.members(slot, word)
        staying = [one for one in members if one not in leaving]
        for one in members:
            if one in leaving:
                self.table.put(one, 0)
                self._forget_clean(one)
        self.counts[word & TAG_MASK] -= len(members) - len(staying)
        return staying
