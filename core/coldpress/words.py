"""What the slots' words stand for: the swap table as it can be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from coldpress.errors import PluginError
from coldpress.flat import resident, table
from coldpress.folio import MAX_PAGES
from coldpress.origins import Origins
from coldpress.roles.allocator import Zspage
from coldpress.roles.entry_type import (
    CacheEntryType,
    DeviceEntryType,
    EntryType,
    PoolEntryType,
    ShadowEntryType,
)
from coldpress.roles.packer import DeviceObject, Placed, Victim
from coldpress.roles.policy import Policy
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK, SwapTable


class Order(Protocol):
    """What keeps slots in an order: a policy, or that of the swap cache."""

    def insert(self, slot: int, warm: bool = False) -> None: ...
    def touch(self, slot: int) -> None: ...
    def remove(self, slot: int) -> None: ...
    def rename(self, slot: int, new: int) -> None: ...


class Words:
    """The swap table, the entry types that its tags mean, and what else is known of each slot.

    The slots of a folio hold the same word, until one is overwritten or emptied; those that still
    hold it are the object's *members*, and it lives as long as there is one. The policy knows it
    by the first of them. An object in the pool may have a *clean copy* on the device too (it was
    promoted, or synced), kept as a place in a second flat table, for each member.

    `types` gets its tags in order, from 1. Attributes: `types`, by tag, None if it is free;
    `present`, the tags of those that new objects may have, in order; `counts`, slots per tag;
    `stored`, slots that hold a page; `clean`, how many objects have a clean copy; `origins`, which
    compressors made them, once there was more than one; `seal`, bytes that an object has more on
    the device than in the pool, which a victim's length includes.

    Notes: not thread-safe; the pipeline calls under its lock. Every call but `dirty` is O(1), or
    O(slots of a folio).
    """

    def __init__(
        self,
        slots: int,
        types: Sequence[EntryType],
        policy: Policy,
        cache_order: Order,
        seal: int = 0,
    ) -> None:
        if len(types) > TAG_MASK:
            raise ValueError(f"{len(types)} entry types; a word's tag has room for {TAG_MASK}")
        self.table = SwapTable(slots)
        self.origins: Origins | None = None
        free = [None] * (TAG_MASK - len(types))
        self.types: list[EntryType | None] = [None, *types, *free]
        self.pool_types: list[PoolEntryType | None] = [
            one if isinstance(one, PoolEntryType) else None for one in self.types
        ]
        self.present: Sequence[int] = range(1, len(types) + 1)
        self.counts = [0] * len(self.types)
        self._since = [0] * len(self.types)  # when the type came, counted in `enter`s
        self.device_type: DeviceEntryType = _only_one(types, DeviceEntryType)
        self.device_tag = self.types.index(self.device_type)
        self.shadow_type: ShadowEntryType = _only_one(types, ShadowEntryType)
        self.shadow_tag = self.types.index(self.shadow_type)
        self.cache_type: CacheEntryType = _only_one(types, CacheEntryType)
        self.cache_tag = self.types.index(self.cache_type)
        self.orders: list[Order | None] = [None] * len(self.types)
        self.orders[self.cache_tag] = cache_order
        self.follow(policy)
        self.clock = 0
        self.clean = 0
        self.seal = seal
        self._staged: dict[tuple[int, int], Victim] = {}
        self._clean = table("Q", slots)

    def follow(self, policy: Policy) -> None:
        """From now on this policy, which knows the same slots, orders what is in the pool."""
        self.policy = policy
        for tag, one in enumerate(self.pool_types):
            if one is not None:
                self.orders[tag] = policy

    @property
    def free_tags(self) -> list[int]:
        """The tags that no type has."""
        return [tag for tag, one in enumerate(self.types) if tag and one is None]

    def enter(self, types: Mapping[int, EntryType], present: Sequence[int]) -> None:
        """Types for tags that were free; and `present` is another from now on."""
        now = max(self._since) + 1
        for tag, one in types.items():
            self.types[tag] = one
            self._since[tag] = now
            if isinstance(one, PoolEntryType):
                self.pool_types[tag] = one
                self.orders[tag] = self.policy
        self.present = present

    def leave(self, tags: Iterable[int]) -> None:
        """No slot has one of these tags: they are free."""
        for tag in tags:
            self.types[tag] = self.pool_types[tag] = self.orders[tag] = None

    @property
    def present_types(self) -> tuple[EntryType, ...]:
        """The types that new objects may have, in order."""
        return tuple(one for tag in self.present if (one := self.types[tag]))

    @property
    def adopters(self) -> Iterator[tuple[int, PoolEntryType]]:
        """The tags and types that an object from the device may get in the pool."""
        for tag in self.present:
            one = self.pool_types[tag]
            if one is not None:
                yield tag, one

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

    def members(self, slot: int, word: int) -> Sequence[int]:
        """The slots whose object this word stands for, `slot` being or having been one, in order.

        All of them hold the word; none does if the object is gone.
        """
        span = self._span(word)
        get = self.table.get
        first = slot & -span
        if first + span > self.table.slots:
            span = self.table.slots - first
        return [one for one in range(first, first + span) if get(one) == word]

    def known_as(self, slot: int) -> int:
        """The slot by which its order knows the object that this slot belongs to."""
        word = self.table.get(slot)
        first = slot & -self._span(word)
        while self.table.get(first) != word:
            first += 1
        return first

    def victim(self, slot: int, sequence: int) -> Victim:
        """The slot's pool object, described for a packer."""
        word = self.table.get(slot)
        codec, order, length = self._pool_type(word).describe(word >> PAYLOAD_AT)
        return Victim(slot & -(1 << order), word, codec, order, length + self.seal, sequence)

    def zspage(self, victim: Victim) -> Zspage | None:
        """The zspage in which the victim lies together with other slots' objects, if it does."""
        return self._pool_type(victim.word).zspage(victim.word >> PAYLOAD_AT)

    def companion(self, owner: int, zspage: int, victim: Victim) -> int:
        """A slot of the object that lies in the victim's zspage under its owner's name.

        The owner is a folio's first slot, which may hold something else by now. -1 if there is no
        such object, or it has a copy on the device or is on its way there.
        """
        since = self._since[victim.word & TAG_MASK]
        for slot in range(owner, min(owner + MAX_PAGES, self.table.slots)):
            word = self.table.get(slot)
            if (slot == owner or word & FOLIO) and self.is_dirty(slot):
                one = self._pool_type(word)
                # Another allocator has zspages of the same numbers.
                same = self._since[word & TAG_MASK] == since
                if same and one.zspage_number(word >> PAYLOAD_AT) == zspage:
                    return slot
        return -1

    def is_dirty(self, slot: int) -> bool:
        """Whether the slot's only copy is in the pool and not on its way to the device."""
        word = self.table.get(slot)
        return (
            self.pool_types[word & TAG_MASK] is not None
            and not self._clean[slot]
            and self._key(slot, word) not in self._staged
        )

    def dirty(self) -> Iterator[int]:
        """The slots whose only copy is in the pool, coldest first; all slots of a folio."""
        for slot in self.policy.order():
            if not self._clean[slot]:
                yield from self.members(slot, self.table.get(slot))

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        """Copy the compressed bytes of a victim, which is unchanged."""
        self._pool_type(victim.word).copy_into(victim.word >> PAYLOAD_AT, out, at)

    def refers(self, slot: int, place: int) -> bool:
        """Whether the slot's object, or its clean copy, is at this place of the device."""
        word = self.table.get(slot)
        there = word >> PAYLOAD_AT if word & TAG_MASK == self.device_tag else self._clean[slot]
        return bool(there) and self.device_type.locate(there) == self.device_type.locate(place)

    def covers(self, slot: int, word: int, one: DeviceObject) -> bool:
        """Whether an object that was read is of all slots for which this `packed` word stands.

        What a block's table says of it need not be true: it is as somebody has made it.
        """
        if not word & FOLIO:
            return one.order == 0
        own = range(one.first_slot, one.first_slot + (1 << one.order))
        return one.order > 0 and all(member in own for member in self.members(slot, word))

    def referring(self, slot: int, order: int, place: int) -> list[int]:
        """Those of a folio's slots that refer to this place; `slot` is its first."""
        stop = min(slot + (1 << order), self.table.slots)  # a record on the device is not trusted
        return [one for one in range(slot, stop) if self.refers(one, place)]

    def within(self, slots: range, low: int, high: int) -> Iterator[tuple[int, int, int]]:
        """The slots whose object, or its clean copy, lies in this range of the devices.

        Each with the object's offset and length.
        """
        for slot, word in zip(slots, self.table.words[slots.start : slots.stop], strict=True):
            place = word >> PAYLOAD_AT if word & TAG_MASK == self.device_tag else self._clean[slot]
            if place:
                offset, length = self.device_type.locate(place)
                if low <= offset < high:
                    yield slot, offset, length

    def is_staged(self, victim: Victim) -> bool:
        """Whether the object is on its way and has not changed."""
        return self._staged.get((victim.slot, victim.word)) is victim

    def is_leaving(self, slot: int, word: int) -> bool:
        """Whether the object of this word is staged."""
        return self._key(slot, word) in self._staged

    def place(self, placed: Placed, start: int) -> int:
        """The place of an object in the block that begins at `start`."""
        return self.device_type.place(start + placed.at, placed.length)

    def on_device(self, one: DeviceObject) -> int:
        """The `packed` word of an object that was found on the device; 0 if no slot has it."""
        place = self.device_type.place(one.offset, one.length)
        for slot in self.referring(one.first_slot, one.order, place):
            word = self.table.get(slot)
            if word & TAG_MASK == self.device_tag:
                return word
        return 0

    @property
    def object_bytes(self) -> int:
        """Compressed bytes of all objects in the pool."""
        return sum(one.object_bytes for one in self.pool_types if one is not None)

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of the tables of slots, entry types and policy."""
        parts = (self.table, self.policy, self.origins, *self.types)
        return resident(self._clean) + sum(one.metadata_bytes for one in parts if one is not None)

    @property
    def staged(self) -> list[Victim]:
        """All objects that are on their way."""
        return list(self._staged.values())

    def _seen(self, word: int) -> bool:
        return self.device_type.seen(word >> PAYLOAD_AT)

    def _type(self, word: int) -> EntryType:
        one = self.types[word & TAG_MASK]
        if one is None:
            raise ValueError(f"word {word:#x} has an unknown tag")
        return one

    def _pool_type(self, word: int) -> PoolEntryType:
        one = self.pool_types[word & TAG_MASK]
        if one is None:
            raise ValueError(f"word {word:#x} is not of an object in the pool")
        return one

    def _key(self, slot: int, word: int) -> tuple[int, int]:
        return slot & -self._span(word), word

    def _span(self, word: int) -> int:
        """How many slots, from a multiple of that number on, may have this word."""
        if not word & FOLIO:
            return 1
        if word & TAG_MASK == self.device_tag:
            return MAX_PAGES  # the order stands on the device
        return self._type(word).span(word >> PAYLOAD_AT)

    def _folio_word(self, tag: int, payload: int) -> int:
        """The word for all of a folio's slots."""
        word = payload << PAYLOAD_AT | tag
        return word | FOLIO if self._type(word).span(payload) > 1 else word


def _only_one(types: Sequence[EntryType], kind: Any) -> Any:
    """The one entry type of this kind. Raises `PluginError` if there is none or another."""
    found = [one for one in types if isinstance(one, kind)]
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise PluginError(f"a pipeline has exactly one {kind.__name__}, got {names}")
    return found[0]
