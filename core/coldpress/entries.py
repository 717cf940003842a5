"""The slots' entries: swap table, entry types, policy and clean copies, always in step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from coldpress.errors import PluginError
from coldpress.flat import resident, table
from coldpress.roles.allocator import Zspage
from coldpress.roles.entry_type import (
    DeviceEntryType,
    EntryType,
    PoolEntryType,
    ShadowEntryType,
)
from coldpress.roles.packer import Placed, Victim
from coldpress.roles.policy import Policy
from coldpress.table import TAG_BITS, TAG_MASK, SwapTable


class Entries:
    """Every change of a slot's word, with all that hangs on it.

    A slot whose object is in the pool is in the policy; its object may have a *clean copy* on the
    device too (it was promoted, or synced), kept as a place in a second flat table.

    `types` gets its tags in order, from 1. Attributes: `counts`, slots per tag; `stored`, slots
    that hold a page; `clean`, how many have a clean copy; `staged`, the objects that were copied
    into a block, until that is written or the slot changes. A slot's word may change and come
    back (a handle is used again), so not the word but this mark tells whether a copy on its way
    to the device is still the slot's.

    Notes: not thread-safe; the pipeline calls under its lock. Every call but `dirty` is O(1).
    """

    def __init__(
        self,
        slots: int,
        types: Sequence[EntryType],
        device_type: DeviceEntryType,
        shadow_type: ShadowEntryType,
        policy: Policy,
    ) -> None:
        if len(types) > TAG_MASK:
            raise ValueError(f"{len(types)} entry types; a word's tag has room for {TAG_MASK}")
        self.table = SwapTable(slots)
        self.policy = policy
        self.types: list[EntryType | None] = [None, *types]
        self.pool_types: list[PoolEntryType | None] = [
            one if isinstance(one, PoolEntryType) else None for one in self.types
        ]
        self.counts = [0] * len(self.types)
        self.device_type = device_type
        self.device_tag = self.types.index(device_type)
        self.shadow_type = shadow_type
        self.shadow_tag = self.types.index(shadow_type)
        self.clock = 0
        self.staged: dict[int, Victim] = {}
        self.clean = 0
        self._clean = table("Q", slots)

    @property
    def stored(self) -> int:
        """How many slots hold a page, in RAM or on the device."""
        return sum(self.counts) - self.counts[self.shadow_tag]

    def counted_as(self, counter: str) -> int:
        """The slots of all entry types that feed this counter."""
        return sum(
            count
            for one, count in zip(self.types, self.counts, strict=True)
            if one is not None and one.counts_as == counter
        )

    def publish(self, slot: int, tag: int, payload: int) -> None:
        """A new object is the slot's: retire what was there, tell the policy."""
        old = self.table.get(slot)
        warm = False
        if old:
            warm = self._retire(slot, old)
        self.table.put(slot, payload << TAG_BITS | tag)
        self.counts[tag] += 1
        self.clock += 1
        if self.pool_types[tag] is not None:
            self.policy.insert(slot, warm)

    def empty(self, slot: int) -> bool:
        """Retire what the slot holds and leave a shadow; False if it held nothing."""
        old = self.table.get(slot)
        if not old or old & TAG_MASK == self.shadow_tag:
            return False
        self._retire(slot, old)
        shadow = self.shadow_type.mark(self.clock)
        self.table.put(slot, shadow << TAG_BITS | self.shadow_tag)
        self.counts[self.shadow_tag] += 1
        return True

    def victim(self, slot: int, sequence: int) -> Victim:
        """The slot's pool object, described for a packer."""
        word = self.table.get(slot)
        codec, length = self._pool_type(word).describe(word >> TAG_BITS)
        return Victim(slot, word, codec, 0, length, sequence)

    def zspage(self, victim: Victim) -> Zspage | None:
        """The zspage in which the victim lies together with other slots' objects, if it does."""
        return self._pool_type(victim.word).zspage(victim.word >> TAG_BITS)

    def is_companion(self, slot: int) -> bool:
        """Whether a slot that a zspage names may leave together with the others in it."""
        return slot < self.table.slots and self.is_dirty(slot)

    def stage(self, victim: Victim) -> None:
        """From now on until it is written, a change of the slot is noticed."""
        self.staged[victim.slot] = victim

    def is_dirty(self, slot: int) -> bool:
        """Whether the slot's only copy is in the pool and not on its way to the device."""
        tag = self.table.get(slot) & TAG_MASK
        return (
            self.pool_types[tag] is not None and not self._clean[slot] and slot not in self.staged
        )

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        """Copy the compressed bytes of a victim, which is unchanged."""
        self._pool_type(victim.word).copy_into(victim.word >> TAG_BITS, out, at)

    def drop_clean(self, slot: int) -> bool:
        """Free the RAM of an evicted slot that has a clean copy; False if it has none."""
        place = self._clean[slot]
        if not place:
            return False
        self._clean[slot] = 0
        self.clean -= 1
        self._to_device(slot, self.table.get(slot), place)
        return True

    def written_back(self, placed: Placed, start: int) -> bool:
        """A staged victim's copy is on the device: free its RAM, if the slot has not changed.

        `start` is where its block begins.
        """
        place = self.device_type.place(start + placed.at, placed.length)
        if not self._unstage(placed.victim):
            self.device_type.release(place)  # a dead copy
            return False
        self._to_device(placed.victim.slot, placed.victim.word, place)
        return True

    def synced(self, placed: Placed, start: int) -> None:
        """The same, but the object stays in RAM too, with a clean copy."""
        place = self.device_type.place(start + placed.at, placed.length)
        if self._unstage(placed.victim):
            self._clean[placed.victim.slot] = place
            self.clean += 1
        else:
            self.device_type.release(place)

    def not_written(self, victim: Victim, *, restore: bool) -> None:
        """A staged victim's block could not be written; `restore`: the policy gets it back."""
        if self._unstage(victim) and restore:
            self.policy.restore(victim.slot)

    def _unstage(self, victim: Victim) -> bool:
        if self.staged.get(victim.slot) is not victim:
            return False
        del self.staged[victim.slot]
        return True

    def promoted(self, slot: int, word: int, tag: int, payload: int) -> None:
        """The object of this `packed` word is in the pool again; its copy stays, clean."""
        self.table.put(slot, payload << TAG_BITS | tag)
        self._clean[slot] = word >> TAG_BITS
        self.clean += 1
        self.counts[self.device_tag] -= 1
        self.counts[tag] += 1
        self.policy.insert(slot)

    def refers(self, slot: int, place: int) -> bool:
        """Whether the slot's object, or its clean copy, is at this place of the device."""
        if slot >= self.table.slots:  # a record from the device says so: it is not trusted
            return False
        word = self.table.get(slot)
        there = word >> TAG_BITS if word & TAG_MASK == self.device_tag else self._clean[slot]
        return bool(there) and self.device_type.locate(there) == self.device_type.locate(place)

    def moved(self, slot: int, old: int, new: int) -> bool:
        """The object at `old` was copied to `new`; False if the slot does not refer to it."""
        if not self.refers(slot, old):
            return False
        word = self.table.get(slot)
        if word & TAG_MASK == self.device_tag:
            if self.device_type.seen(word >> TAG_BITS):
                new = self.device_type.mark_seen(new)
            self.table.put(slot, new << TAG_BITS | self.device_tag)
        else:
            self._clean[slot] = new
        self.device_type.release(old)
        return True

    def mark_seen(self, slot: int, word: int) -> None:
        """Remember that the object of this `packed` word was read once."""
        payload = self.device_type.mark_seen(word >> TAG_BITS)
        self.table.compare_exchange(slot, word, payload << TAG_BITS | self.device_tag)

    def dirty(self) -> Iterator[int]:
        """The slots whose only copy is in RAM, coldest first."""
        return (slot for slot in self.policy.order() if not self._clean[slot])

    @property
    def object_bytes(self) -> int:
        """Compressed bytes of all objects in the pool."""
        return sum(one.object_bytes for one in self.pool_types if one is not None)

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of the tables of slots, entry types and policy."""
        types = sum(one.metadata_bytes for one in self.types if one is not None)
        return (
            self.table.metadata_bytes + resident(self._clean) + self.policy.metadata_bytes + types
        )

    def _pool_type(self, word: int) -> PoolEntryType:
        one = self.pool_types[word & TAG_MASK]
        if one is None:
            raise ValueError(f"word {word:#x} is not of an object in the pool")
        return one

    def _to_device(self, slot: int, word: int, place: int) -> None:
        self._pool_type(word).release(word >> TAG_BITS)
        self.counts[word & TAG_MASK] -= 1
        self.counts[self.device_tag] += 1
        self.table.put(slot, place << TAG_BITS | self.device_tag)

    def _retire(self, slot: int, word: int) -> bool:
        """Free what a word stands for; whether the slot was in use a short while ago."""
        tag = word & TAG_MASK
        payload = word >> TAG_BITS
        self.counts[tag] -= 1
        self.staged.pop(slot, None)
        one = self.types[tag]
        if one is None:
            raise ValueError(f"word {word:#x} of slot {slot} has an unknown tag")
        one.release(payload)
        if self.pool_types[tag] is not None:
            self.policy.remove(slot)
            place = self._clean[slot]
            if place:
                self._clean[slot] = 0
                self.clean -= 1
                self.device_type.release(place)
            return True  # a hit, as policies count them
        if tag == self.shadow_tag:
            return self.clock - self.shadow_type.clock(payload) <= len(self.policy)
        return False


def only_one(types: Sequence[EntryType], kind: Any) -> Any:
    """The one entry type of this kind. Raises `PluginError` if there is none or another."""
    found = [one for one in types if isinstance(one, kind)]
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise PluginError(f"a pipeline has exactly one {kind.__name__}, got {names}")
    return found[0]
