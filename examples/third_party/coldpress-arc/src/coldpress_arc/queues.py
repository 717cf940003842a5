"""Two queues of slots in one list."""

from __future__ import annotations

from collections.abc import Iterator

from coldpress import SlotList

ONCE = 0
"""The queue of slots that were used once lately."""

TWICE = 1
"""The queue of slots that were used at least twice."""


class Queues:
    """The two queues, most recent first, in one list: ONCE at the head, TWICE at the tail.

    So a slot costs 8 bytes, whichever queue it is in. `which`, a table of a byte for each slot,
    tells that; what it says of a slot in neither is left as it was.

    Attributes: `counts`, how many slots are in each.

    Notes: not thread-safe; the pipeline calls under its lock. Every call but `from_oldest` is O(1).
    """

    def __init__(self, slots: int, which: memoryview) -> None:
        self.counts = [0, 0]
        self._list = SlotList(slots)
        self._which = which
        self._oldest_once = -1

    def push_newest(self, queue: int, slot: int) -> None:
        """Insert at the recent end. Raises `ValueError` if the slot is in one of the queues."""
        if queue == ONCE:
            self._list.push_head(slot)
            if self._oldest_once < 0:
                self._oldest_once = slot
        else:
            self._list.push_behind(slot, self._oldest_once)
        self._joined(queue, slot)

    def push_oldest(self, queue: int, slot: int) -> None:
        """Insert at the other end. Raises `ValueError` if the slot is in one of the queues."""
        if queue == ONCE:
            self._list.push_behind(slot, self._oldest_once)
            self._oldest_once = slot
        else:
            self._list.push_tail(slot)
        self._joined(queue, slot)

    def remove(self, slot: int) -> bool:
        """Take a slot out; False if it was in neither."""
        if not self._list.has(slot):
            return False
        if slot == self._oldest_once:
            self._oldest_once = self._list.before(slot)
        self.counts[self._which[slot]] -= 1
        return self._list.remove(slot)

    def rename(self, slot: int, new: int) -> bool:
        """Put `new` in the place of a slot; False if that was in neither.

        Raises `ValueError` if both are in one of the queues.
        """
        if not self._list.rename(slot, new):
            return False
        self._which[new] = self._which[slot]
        if slot == self._oldest_once:
            self._oldest_once = new
        return True

    def has(self, slot: int) -> bool:
        """Whether the slot is in one of the queues."""
        return self._list.has(slot)

    def oldest(self, queue: int) -> int:
        """The slot at the old end; the queue must not be empty."""
        return self._oldest_once if queue == ONCE else self._list.tail()

    def from_oldest(self, queue: int) -> Iterator[int]:
        """The slots of one queue, oldest first."""
        slot = self._oldest_once if queue == ONCE else self._list.tail()
        for _ in range(self.counts[queue]):
            yield slot
            slot = self._list.before(slot)

    def __len__(self) -> int:
        return self._list.count

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the list's tables that are in RAM."""
        return self._list.metadata_bytes

    def _joined(self, queue: int, slot: int) -> None:
        self._which[slot] = queue
        self.counts[queue] += 1
