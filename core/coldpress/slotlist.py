"""A doubly linked list of slots in two flat tables: what most policies are made of."""

from __future__ import annotations

from collections.abc import Iterator

from coldpress.flat import resident, table


class SlotList:
    """An ordered set of slots, 8 bytes each, with O(1) insertion and removal anywhere.

    A link holds a slot's number plus one, so that fresh (zero) memory means "in no list"; the entry
    past the last slot is the sentinel that closes the ring.

    Parameters:
        slots: the list can hold the slots from 0 to `slots` - 1.

    Attributes:
        count: how many slots are in the list.

    Notes:
        Not thread-safe: the pipeline calls under its lock. `from_tail` walks the live list: do not
        change it meanwhile.
    """

    def __init__(self, slots: int) -> None:
        if not 0 < slots < 2**32 - 1:
            raise ValueError(f"a list of {slots} slots")
        self.slots = slots
        self.count = 0
        self._next = table("I", slots + 1)
        self._prev = table("I", slots + 1)
        self._next[slots] = self._prev[slots] = slots + 1

    def push_head(self, slot: int) -> None:
        """Insert at the head. Raises `ValueError` if the slot is in the list."""
        self._link(slot, self.slots)

    def push_tail(self, slot: int) -> None:
        """Insert at the tail. Raises `ValueError` if the slot is in the list."""
        self._link(slot, self._prev[self.slots] - 1)

    def push_behind(self, slot: int, neighbour: int) -> None:
        """Insert next to `neighbour`, on its tail side; at the head if that is -1.

        Raises `ValueError` if the slot is in the list, or the neighbour is not.
        """
        if neighbour >= 0 and not self.has(neighbour):
            raise ValueError(f"slot {neighbour} is not in the list")
        self._link(slot, self.slots if neighbour < 0 else neighbour)

    def remove(self, slot: int) -> bool:
        """Take a slot out; False if it was not in the list."""
        if slot < 0 or slot >= self.slots:
            return False
        after = self._next[slot]
        if after == 0:
            return False
        before = self._prev[slot]
        self._next[before - 1] = after
        self._prev[after - 1] = before
        self._next[slot] = 0
        self._prev[slot] = 0
        self.count -= 1
        return True

    def rename(self, slot: int, new: int) -> bool:
        """Put `new` in the place of a slot; False if that was not in the list.

        Raises `ValueError` if both are in the list, or `new` is out of range.
        """
        if not self.has(slot):
            return False
        if new < 0 or new >= self.slots or self._next[new] != 0:
            raise ValueError(f"slot {new} is in the list or out of range")
        after = self._next[slot]
        before = self._prev[slot]
        self._next[new] = after
        self._prev[new] = before
        self._next[before - 1] = new + 1
        self._prev[after - 1] = new + 1
        self._next[slot] = 0
        self._prev[slot] = 0
        return True

    def tail(self) -> int:
        """The slot at the tail, or -1 if the list is empty."""
        last = self._prev[self.slots] - 1
        return -1 if last == self.slots else last

    def has(self, slot: int) -> bool:
        """Whether the slot is in the list."""
        return 0 <= slot < self.slots and self._next[slot] != 0

    def before(self, slot: int) -> int:
        """The neighbour towards the head, or -1 at the head."""
        slot = self._prev[slot] - 1
        return -1 if slot == self.slots else slot

    def from_tail(self) -> Iterator[int]:
        """All slots, tail first."""
        slot = self.tail()
        while slot >= 0:
            yield slot
            slot = self.before(slot)

    def _link(self, slot: int, before: int) -> None:
        """Insert on the tail side of `before`, which is in the list or its sentinel."""
        if slot < 0 or slot >= self.slots or self._next[slot] != 0:
            raise ValueError(f"slot {slot} is in the list or out of range")
        after = self._next[before] - 1
        self._prev[slot] = before + 1
        self._next[slot] = after + 1
        self._next[before] = slot + 1
        self._prev[after] = slot + 1
        self.count += 1

    def __len__(self) -> int:
        return self.count

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the two tables that are in RAM."""
        return resident(self._next, self._prev)
