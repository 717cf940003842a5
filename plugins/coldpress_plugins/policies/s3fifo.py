"""S3-FIFO: a small queue that most slots leave quickly, a main queue, and a queue of ghosts."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress import Percent, Policy, SlotList, option
from coldpress.flat import resident, table

# A slot's byte: how often it was loaded, up to 3, and where it is. Neither bit: in the small queue.
_LOADS = 3
_MAIN = 4
_RETURNED = 8


@attrs.define(slots=False, eq=False, kw_only=True)
class S3Fifo(Policy):
    """Three queues, first in, first out: new slots pass a small one before they may stay.

    A slot that comes to the small queue's tail goes on to the main queue if it was loaded more
    than once, else it is the victim and leaves a ghost. A slot that comes to the main queue's tail
    goes round again, with one load less, if it was loaded, else it is the victim. A slot whose
    ghost is still known, or that is warm, goes straight to the main queue.

    The algorithm is that of Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for
    cache eviction", SOSP 2023. There the cache holds a fixed number of objects; how many fit a
    compressed pool changes, so the sizes of the queues are shares of the slots that are known now.
    The paper's small queue gives a victim from 10 % on, before the new object is in; here the new
    one is in already, so it does above that. The main queue is full, as the paper says, when the
    small one is within its share: the victim then comes from the main queue.

    Attributes:
        ghosts: how many slots have a ghost. As an object comes in, the oldest are dropped until
            no more are left than the main queue's share.
        ghost_bytes: resident bytes of their table, not counted in `metadata_bytes`.
    """

    name = "s3fifo"

    small: Percent = option(
        default=Percent(0.10), help="of the slots in the pool: share of the small queue"
    )

    def open(self, slots: int) -> None:
        # From head to tail: the small queue, the main queue, and victims that were given back.
        self._list = SlotList(slots)
        self._state = table("B", slots)
        self._small_count = 0
        self._small_tail = -1
        self._ghosts = SlotList(slots)

    def insert(self, slot: int, warm: bool = False) -> None:
        if not self._list.has(slot):  # else it is refused below
            self._drop_ghosts()
        if self._ghosts.remove(slot) or warm:
            self._push_main(slot)
            return
        self._list.push_head(slot)
        self._state[slot] = 0
        self._small_count += 1
        if self._small_tail < 0:
            self._small_tail = slot

    def touch(self, slot: int) -> None:
        state = self._state[slot]
        if state & _LOADS < _LOADS:
            self._state[slot] = state + 1

    def remove(self, slot: int) -> None:
        if self._list.has(slot):
            if self._state[slot] < _MAIN:
                self._leave_small(slot)
            self._list.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        if self._list.rename(slot, new):
            self._ghosts.remove(new)
            self._state[new] = self._state[slot]
            if slot == self._small_tail:
                self._small_tail = new

    def evict(self) -> int:
        slot = self.coldest()
        if slot >= 0:
            self.remove(slot)
            if not self._state[slot] & _MAIN:
                self._ghosts.push_head(slot)
        return slot

    def coldest(self) -> int:
        # What the search moves on its way stays moved: the order is the same as before, since each
        # step looks at the queues afresh, and no search goes the same way twice.
        listed, states = self._list, self._state
        while (slot := listed.tail()) >= 0:
            state = states[slot]
            if state & _RETURNED:
                if not state & _LOADS:
                    break
                listed.remove(slot)  # loaded after it had been a victim, as a ghost's slot is
                self._push_main(slot)
            elif self._gives_small(self._small_count, listed.count):
                slot = self._small_tail
                if states[slot] <= 1:
                    break
                self._leave_small(slot)
                states[slot] = _MAIN  # it lies between the two queues: now it is main's head
            elif state & _LOADS:
                listed.remove(slot)
                self._push_main(slot, state - 1)
            else:
                break
        return slot

    def restore(self, slot: int) -> None:
        self._ghosts.remove(slot)
        listed = self._list
        main = self._state[slot] & _MAIN
        last = listed.tail()
        if (last >= 0 and self._state[last] & _RETURNED) or bool(main) == self._gives_small(
            self._small_count + (not main), listed.count + 1
        ):
            # The shares have changed since, and at the tail of its queue it would not be the next
            # victim. Behind both queues it is.
            listed.push_tail(slot)
            self._state[slot] = main | _RETURNED
        elif main:
            listed.push_tail(slot)
            self._state[slot] = _MAIN
        else:
            listed.push_behind(slot, self._small_tail)
            self._state[slot] = 0
            self._small_tail = slot
            self._small_count += 1

    def order(self) -> Iterator[int]:
        # Which queue gives a victim depends on those before it, so only taking them tells.
        twin = attrs.evolve(self)
        twin.open(self._list.slots)
        for slot in self._list.from_tail():
            twin._list.push_head(slot)
            twin._state[slot] = self._state[slot]
        twin._small_count = self._small_count
        twin._small_tail = self._small_tail
        while (slot := twin.evict()) >= 0:
            yield slot

    def __len__(self) -> int:
        return self._list.count

    @property
    def metadata_bytes(self) -> int:
        return self._list.metadata_bytes + resident(self._state)

    @property
    def ghosts(self) -> int:
        return self._ghosts.count

    @property
    def ghost_bytes(self) -> int:
        return self._ghosts.metadata_bytes

    def _drop_ghosts(self) -> None:
        # Not as they are made: a victim that is given back must not have cost another's ghost.
        while self._ghosts.count > (1 - self.small) * self._list.count:
            self._ghosts.remove(self._ghosts.tail())

    def _gives_small(self, small: int, count: int) -> bool:
        """Whether a small queue of `small` in `count` slots is above its share, or all there is."""
        return small > self.small * count or small == count

    def _push_main(self, slot: int, state: int = _MAIN) -> None:
        self._list.push_behind(slot, self._small_tail)
        self._state[slot] = state

    def _leave_small(self, slot: int) -> None:
        if slot == self._small_tail:
            self._small_tail = self._list.before(slot)
        self._small_count -= 1
