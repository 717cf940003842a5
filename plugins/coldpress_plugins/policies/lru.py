"""Least recently used."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress import Policy, SlotList


@attrs.define(slots=False, eq=False, kw_only=True)
class Lru(Policy):
    """The slot stored or loaded longest ago leaves first."""

    name = "lru"

    def open(self, slots: int) -> None:
        self._list = SlotList(slots)

    def insert(self, slot: int, warm: bool = False) -> None:
        self._list.push_head(slot)

    def touch(self, slot: int) -> None:
        if self._list.remove(slot):
            self._list.push_head(slot)

    def remove(self, slot: int) -> None:
        self._list.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        self._list.rename(slot, new)

    def evict(self) -> int:
        slot = self._list.tail()
        if slot >= 0:
            self._list.remove(slot)
        return slot

    def restore(self, slot: int) -> None:
        self._list.push_tail(slot)

    def coldest(self) -> int:
        return self._list.tail()

    def order(self) -> Iterator[int]:
        return self._list.from_tail()

    def __len__(self) -> int:
        return self._list.count

    @property
    def metadata_bytes(self) -> int:
        return self._list.metadata_bytes
