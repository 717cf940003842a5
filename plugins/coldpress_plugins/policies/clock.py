"""Second chance: a queue whose slots, if they were used, go round once more."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress import Policy, SlotList
from coldpress.flat import resident, table


@attrs.define(slots=False, eq=False, kw_only=True)
class Clock(Policy):
    """First in, first out, but a slot that was loaded since goes round once more.

    The second chance algorithm, as the hand of a clock: a load costs one byte's write, no list
    operation. A warm slot comes with its bit set.
    """

    name = "clock"

    def open(self, slots: int) -> None:
        self._list = SlotList(slots)
        self._used = table("B", slots)

    def insert(self, slot: int, warm: bool = False) -> None:
        self._list.push_head(slot)
        self._used[slot] = warm

    def touch(self, slot: int) -> None:
        self._used[slot] = 1

    def remove(self, slot: int) -> None:
        self._list.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        if self._list.rename(slot, new):
            self._used[new] = self._used[slot]

    def evict(self) -> int:
        slot = self.coldest()
        if slot >= 0:
            self._list.remove(slot)
        return slot

    def coldest(self) -> int:
        # What went round stays at the head, its bit cleared: the order is the same as before, and
        # no search goes the same way twice.
        while (slot := self._list.tail()) >= 0 and self._used[slot]:
            self._list.remove(slot)
            self._used[slot] = 0
            self._list.push_head(slot)
        return slot

    def restore(self, slot: int) -> None:
        self._used[slot] = 0
        self._list.push_tail(slot)

    def order(self) -> Iterator[int]:
        yield from (slot for slot in self._list.from_tail() if not self._used[slot])
        yield from (slot for slot in self._list.from_tail() if self._used[slot])

    def __len__(self) -> int:
        return self._list.count

    @property
    def metadata_bytes(self) -> int:
        return self._list.metadata_bytes + resident(self._used)
