"""SIEVE: a queue that a hand goes through, sifting out what was not used since it last came by."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress import Policy, SlotList
from coldpress.flat import resident, table


@attrs.define(slots=False, eq=False, kw_only=True)
class Sieve(Policy):
    """First in, first out, but a slot that was loaded since keeps its place for one more pass.

    A hand moves from the tail to the head, and then begins at the tail again. It takes the first
    slot that is not visited, and clears the bit of those that it passes. Unlike `clock` it moves
    none of them: new slots stay apart from proven ones, and the hand soon comes to the new. A load
    costs one byte's write. A warm slot comes with its bit set.

    The algorithm is that of Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU: an
    Efficient Turn-Key Eviction Algorithm for Web Caches", NSDI 2024.
    """

    name = "sieve"

    def open(self, slots: int) -> None:
        self._list = SlotList(slots)
        self._visited = table("B", slots)
        self._hand = -1  # the slot that it looks at next; -1 for the tail

    def insert(self, slot: int, warm: bool = False) -> None:
        self._list.push_head(slot)
        self._visited[slot] = warm

    def touch(self, slot: int) -> None:
        self._visited[slot] = 1

    def remove(self, slot: int) -> None:
        if slot == self._hand:
            self._hand = self._list.before(slot)
        self._list.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        if self._list.rename(slot, new):
            self._visited[new] = self._visited[slot]
            if slot == self._hand:
                self._hand = new

    def evict(self) -> int:
        slot = self.coldest()
        if slot >= 0:
            self.remove(slot)
        return slot

    def coldest(self) -> int:
        # The hand stays where the search ends, and the bits behind it cleared: the order is the
        # same as before, and no search goes the same way twice.
        slot = self._hand if self._hand >= 0 else self._list.tail()
        while slot >= 0 and self._visited[slot]:
            self._visited[slot] = 0
            slot = self._list.before(slot)
            if slot < 0:
                slot = self._list.tail()
        self._hand = slot
        return slot

    def restore(self, slot: int) -> None:
        # Its old neighbours may have left meanwhile. Where the hand stands is where it was, and
        # under the hand is where the next victim is looked for.
        self._list.push_behind(slot, self._hand)
        self._visited[slot] = 0
        self._hand = slot

    def order(self) -> Iterator[int]:
        queue = list(self._list.from_tail())
        at = queue.index(self._hand) if self._hand >= 0 else 0
        behind, ahead = queue[:at], queue[at:]
        for part, visited in ((ahead, 0), (behind, 0), (ahead, 1), (behind, 1)):
            yield from (slot for slot in part if self._visited[slot] == visited)

    def __len__(self) -> int:
        return self._list.count

    @property
    def metadata_bytes(self) -> int:
        return self._list.metadata_bytes + resident(self._visited)
