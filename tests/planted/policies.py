"""Policies with one fault each."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator

from coldpress import Policy, SlotList
from coldpress.component import Component
from coldpress_plugins.policies.clock import Clock
from coldpress_plugins.policies.fifo import Fifo
from coldpress_plugins.policies.lru import Lru


class ForgetsASlot(Lru):
    """A load of the coldest slot takes it out for good."""

    def touch(self, slot: int) -> None:
        if slot == self._list.tail():
            self._list.remove(slot)
        else:
            super().touch(slot)


class RepeatsASlot(Lru):
    """A victim that was given back is named twice."""

    def open(self, slots: int) -> None:
        super().open(slots)
        self._again = -1

    def restore(self, slot: int) -> None:
        super().restore(slot)
        self._again = slot

    def evict(self) -> int:
        slot = super().evict()
        if slot >= 0 and slot == self._again:
            self._list.push_head(slot)
            self._again = -1
        return slot


class TakesTheSecond(Lru):
    """Every fifth victim is the last but one."""

    def open(self, slots: int) -> None:
        super().open(slots)
        self._victims = 0

    def evict(self) -> int:
        first = super().evict()
        self._victims += 1
        if self._victims % 5 or (second := super().evict()) < 0:
            return first
        self._list.push_tail(first)
        return second


class RestoresToTheHotEnd(Lru):
    """A victim that is given back is as good as new."""

    def restore(self, slot: int) -> None:
        self._list.push_head(slot)


class RestoresToItsOldNeighbour(Lru):
    """A victim that is given back goes before what was inserted since, not before all others."""

    def open(self, slots: int) -> None:
        super().open(slots)
        self._newest = -1

    def insert(self, slot: int, warm: bool = False) -> None:
        super().insert(slot, warm)
        self._newest = slot

    def evict(self) -> int:
        self._newest = -1
        return super().evict()

    def restore(self, slot: int) -> None:
        if self._list.has(self._newest):
            self._list.push_behind(slot, self._newest)
        else:
            super().restore(slot)


class RenamedAreNew(Lru):
    """A renamed slot goes to the hot end."""

    def rename(self, slot: int, new: int) -> None:
        if self._list.rename(slot, new):
            self.touch(new)


class RenamedAreUnused(Clock):
    """A renamed slot was never used, as far as this knows."""

    def rename(self, slot: int, new: int) -> None:
        if self._list.rename(slot, new):
            self._used[new] = 0


class SearchesToRemove(Lru):
    """Goes through a table of all slots for the one that leaves."""

    def open(self, slots: int) -> None:
        super().open(slots)
        self._seen = array("I")

    def insert(self, slot: int, warm: bool = False) -> None:
        super().insert(slot, warm)
        self._seen.append(slot)

    def remove(self, slot: int) -> None:
        super().remove(slot)
        with contextlib.suppress(ValueError):
            self._seen.remove(slot)

    @property
    def metadata_bytes(self) -> int:
        return super().metadata_bytes + self._seen.itemsize * len(self._seen)


class SearchesForTheColdest(Clock):
    """Passes all that were used at each look, and leaves their bits."""

    def evict(self) -> int:
        slot = super().coldest()
        self._list.remove(slot)
        return slot

    def coldest(self) -> int:
        return Policy.coldest(self)


class KeepsAnObjectASlot(Lru):
    """Has a Python object for each slot."""

    def open(self, slots: int) -> None:
        super().open(slots)
        self._loads: dict[int, list[int]] = {}

    def insert(self, slot: int, warm: bool = False) -> None:
        super().insert(slot, warm)
        self._loads[slot] = [0]

    def remove(self, slot: int) -> None:
        super().remove(slot)
        self._loads.pop(slot, None)


class HidesATable(Lru):
    """A quarter of its tables is counted."""

    @property
    def metadata_bytes(self) -> int:
        return super().metadata_bytes // 4


_TABLES: dict[int, SlotList] = {}


class SharesATable(Fifo):
    """Two of the same size have one list."""

    def open(self, slots: int) -> None:
        self._list = _TABLES.setdefault(slots, SlotList(slots))


class LearnsUnknownSlots(Lru):
    """A load of a slot that it does not know makes it known."""

    def touch(self, slot: int) -> None:
        self._list.remove(slot)
        self._list.push_head(slot)


class MovesWhatItShows(Clock):
    """A look at the order gives used slots their second chance."""

    def order(self) -> Iterator[int]:
        self.coldest()
        return super().order()


class TakesAKnownSlotAgain(Lru):
    """A slot that is known may be inserted once more."""

    def insert(self, slot: int, warm: bool = False) -> None:
        self._list.remove(slot)
        super().insert(slot, warm)


FAULTS: dict[type[Component], str] = {
    ForgetsASlot: "a long history keeps each slot once",
    RepeatsASlot: "a long history keeps each slot once",
    TakesTheSecond: "a long history keeps each slot once",
    RestoresToTheHotEnd: "a long history keeps each slot once",
    RestoresToItsOldNeighbour: "a long history keeps each slot once",
    RenamedAreNew: "a long history keeps each slot once",
    RenamedAreUnused: "a long history keeps each slot once",
    SearchesToRemove: "no call costs more among many slots",
    SearchesForTheColdest: "no call costs more among many slots",
    KeepsAnObjectASlot: "a slot costs no python object",
    HidesATable: "the tables are as large as it says",
    SharesATable: "any history keeps each slot once",
    LearnsUnknownSlots: "a long history keeps each slot once",
    MovesWhatItShows: "looks at the order change nothing that comes",
    TakesAKnownSlotAgain: "a long history keeps each slot once",
}
