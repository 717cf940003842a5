"""ARC: recency against frequency, weighed by what was evicted too early."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress import Policy, flat_table, resident
from coldpress_arc.queues import ONCE, TWICE, Queues


@attrs.define(slots=False, eq=False, kw_only=True)
class Arc(Policy):
    """Two queues, for slots used once and slots used again, whose sizes adapt to the accesses.

    A new slot joins the queue of those used once, T1; one that is used again, that is warm, or that
    comes back while it has a ghost, the queue of those used twice, T2. Each queue's victims leave
    ghosts, B1 and B2. A slot that comes back and has a ghost in B1 was evicted too early: the
    target size of T1 grows; one with a ghost in B2 makes it shrink. T1 gives the victim while it
    is above its target, else T2. What is stored once and never used passes through T1 and leaves
    T2 alone.

    The algorithm is that of Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement
    Cache", FAST 2003. There the cache holds a fixed number c of objects, and makes room for a new
    one before that is in. How many fit a compressed pool changes, and here the new one is in
    already. So c is the number of slots that are known now, T1 gives the victim from two above its
    target on (the paper: from one above, the new slot not counted), and a target moves by whole
    slots. That a ghost in B2 breaks a tie against T1 falls away: victims are taken many at a time.

    Attributes:
        ghosts: how many slots have a ghost. As an object comes in, the oldest are dropped until
            T1 and B1 together have no more than c, nor B1 and B2.
        ghost_bytes: resident bytes of their list, not counted in `metadata_bytes`.
        target: how many slots T1 is to have.
    """

    name = "arc"

    def open(self, slots: int) -> None:
        self.target = 0
        # Of each slot the queue that it is in, or was in last. A slot and its ghost never are in
        # a queue at once, so one table tells of both.
        self._which = flat_table("B", slots)
        self._slots = Queues(slots, self._which)
        self._ghosts = Queues(slots, self._which)

    def insert(self, slot: int, warm: bool = False) -> None:
        if self._ghosts.has(slot):  # so it is not known, and is not refused below
            self._adapt(self._which[slot])
            self._ghosts.remove(slot)
            warm = True
        self._slots.push_newest(TWICE if warm else ONCE, slot)
        self._drop_ghosts()

    def touch(self, slot: int) -> None:
        if self._slots.remove(slot):
            self._slots.push_newest(TWICE, slot)

    def remove(self, slot: int) -> None:
        self._slots.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        if self._slots.has(slot):
            self._ghosts.remove(new)  # what is in the pool has no ghost
        self._slots.rename(slot, new)

    def evict(self) -> int:
        slot = self.coldest()
        if slot >= 0:
            queue = self._which[slot]
            self._slots.remove(slot)
            self._ghosts.push_newest(queue, slot)
        return slot

    def restore(self, slot: int) -> None:
        self._ghosts.remove(slot)
        once, twice = self._slots.counts
        # To the queue that it came from, if from there it is the next victim again. If not, the
        # target has moved meanwhile, and it is from the other.
        if self._which[slot] == ONCE:
            queue = ONCE if self._giver(once + 1, twice) == ONCE else TWICE
        else:
            queue = TWICE if self._giver(once, twice + 1) == TWICE else ONCE
        self._slots.push_oldest(queue, slot)

    def coldest(self) -> int:
        if not len(self._slots):
            return -1
        return self._slots.oldest(self._giver(*self._slots.counts))

    def order(self) -> Iterator[int]:
        counts = list(self._slots.counts)
        walks = [self._slots.from_oldest(queue) for queue in (ONCE, TWICE)]
        while any(counts):
            queue = self._giver(*counts)
            counts[queue] -= 1
            yield next(walks[queue])

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def metadata_bytes(self) -> int:
        return self._slots.metadata_bytes + resident(self._which)

    @property
    def ghosts(self) -> int:
        return len(self._ghosts)

    @property
    def ghost_bytes(self) -> int:
        return self._ghosts.metadata_bytes

    def _giver(self, once: int, twice: int) -> int:
        """Which of the queues, of so many slots each, gives the next victim."""
        if not twice:
            return ONCE
        return ONCE if once > self.target + 1 else TWICE

    def _adapt(self, queue: int) -> None:
        """A slot comes back whose ghost is in this queue: it should have had more room."""
        known = len(self._slots)
        mine, other = self._ghosts.counts[queue], self._ghosts.counts[1 - queue]
        step = max(1, other // mine)
        target = min(self.target, known)  # the pool may hold fewer than when it was set
        self.target = min(target + step, known) if queue == ONCE else max(target - step, 0)

    def _drop_ghosts(self) -> None:
        # Not as they are made: a victim that is given back must not have cost another's ghost.
        ghosts = self._ghosts
        while ghosts.counts[ONCE] > self._slots.counts[TWICE]:
            ghosts.remove(ghosts.oldest(ONCE))
        while len(ghosts) > len(self._slots):
            ghosts.remove(ghosts.oldest(TWICE))
