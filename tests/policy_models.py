"""The policies once more, slow and plain: from the papers' pseudo code, on lists that are copied.

What the search for a victim did on its way (bits cleared, slots moved on) stays done when the
victim is given back: it changes nothing about who comes next.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from fractions import Fraction


class Model:
    """What all have in common: `known`, the slots in the pool."""

    def __init__(self) -> None:
        self.known: set[int] = set()

    def prediction(self) -> list[int]:
        """The slots as `evict` would name them if nothing else happened."""
        twin = copy.deepcopy(self)
        return [twin.evict() for _ in self.known]

    def coldest(self) -> int:
        """The next victim; a model whose policy keeps what the search did does so too."""
        return next(iter(self.prediction()), -1)

    def searched(self) -> int:
        """The next victim, found and given back: what the search did stays done."""
        slot = self.evict()
        if slot >= 0:
            self.restore(slot)
        return slot

    def evict(self) -> int:
        if not self.known:
            return -1
        slot = self.victim()
        self.known.remove(slot)
        return slot

    def insert(self, slot: int, warm: bool) -> None:
        self.known.add(slot)
        self.admit(slot, warm)

    def touch(self, slot: int) -> None:
        if slot in self.known:
            self.hit(slot)

    def remove(self, slot: int) -> None:
        if slot in self.known:
            self.known.remove(slot)
            self.forget(slot)

    def rename(self, slot: int, new: int) -> None:
        if slot in self.known:
            self.known.remove(slot)
            self.known.add(new)
            self.relabel(slot, new)

    def restore(self, slot: int) -> None:
        self.known.add(slot)
        self.give_back(slot)

    def victim(self) -> int:
        raise AssertionError

    def admit(self, slot: int, warm: bool) -> None:
        raise AssertionError

    def hit(self, slot: int) -> None:
        raise AssertionError

    def forget(self, slot: int) -> None:
        raise AssertionError

    def relabel(self, slot: int, new: int) -> None:
        raise AssertionError

    def give_back(self, slot: int) -> None:
        raise AssertionError


def renamed(queue: list[int], slot: int, new: int) -> list[int]:
    return [new if one == slot else one for one in queue]


class FifoModel(Model):
    """An OrderedDict of slot -> used bit, coldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: OrderedDict[int, bool] = OrderedDict()

    def victim(self) -> int:
        return self.queue.popitem(last=False)[0]

    def admit(self, slot: int, warm: bool) -> None:
        self.queue[slot] = False

    def hit(self, slot: int) -> None:
        pass

    def forget(self, slot: int) -> None:
        del self.queue[slot]

    def relabel(self, slot: int, new: int) -> None:
        self.queue = OrderedDict(
            (new if one == slot else one, used) for one, used in self.queue.items()
        )

    def give_back(self, slot: int) -> None:
        self.queue[slot] = False
        self.queue.move_to_end(slot, last=False)


class LruModel(FifoModel):
    def hit(self, slot: int) -> None:
        self.queue.move_to_end(slot)


class ClockModel(FifoModel):
    def admit(self, slot: int, warm: bool) -> None:
        self.queue[slot] = warm

    def hit(self, slot: int) -> None:
        self.queue[slot] = True

    def victim(self) -> int:
        while True:
            slot, used = self.queue.popitem(last=False)
            if not used:
                return slot
            self.queue[slot] = False

    def coldest(self) -> int:
        return self.searched()


class SieveModel(Model):
    """NSDI'24, algorithm 1: a queue from head to tail, and the hand, which is a slot or none."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[int] = []
        self.visited: set[int] = set()
        self.hand: int | None = None

    def prev(self, slot: int) -> int | None:
        at = self.queue.index(slot)
        return self.queue[at - 1] if at else None

    def victim(self) -> int:
        slot = self.hand
        if slot is None:
            slot = self.queue[-1]
        while slot in self.visited:
            self.visited.remove(slot)
            before = self.prev(slot)
            slot = self.queue[-1] if before is None else before
        self.hand = self.prev(slot)
        self.queue.remove(slot)
        return slot

    def admit(self, slot: int, warm: bool) -> None:
        self.queue.insert(0, slot)
        if warm:
            self.visited.add(slot)

    def hit(self, slot: int) -> None:
        self.visited.add(slot)

    def forget(self, slot: int) -> None:
        if self.hand == slot:
            self.hand = self.prev(slot)
        self.queue.remove(slot)
        self.visited.discard(slot)

    def relabel(self, slot: int, new: int) -> None:
        self.queue = renamed(self.queue, slot, new)
        if slot in self.visited:
            self.visited.remove(slot)
            self.visited.add(new)
        if self.hand == slot:
            self.hand = new

    def coldest(self) -> int:
        return self.searched()

    def give_back(self, slot: int) -> None:
        self.queue.insert(0 if self.hand is None else self.queue.index(self.hand) + 1, slot)
        self.hand = slot


class S3FifoModel(Model):
    """SOSP'23, algorithm 1: S, M and G from head to tail, sizes as shares of what is cached now."""

    def __init__(self, small: Fraction = Fraction(1, 10)) -> None:
        super().__init__()
        self.small = small
        self.s: list[int] = []
        self.m: list[int] = []
        self.g: list[int] = []
        self.given_back: list[int] = []  # the next victim last
        self.freq: dict[int, int] = {}
        self.from_small: dict[int, bool] = {}  # of each victim

    def main_is_full(self) -> bool:
        return len(self.s) <= self.small * (len(self.s) + len(self.m))

    def admit(self, slot: int, warm: bool) -> None:
        cached = len(self.known) - 1
        while len(self.g) > (1 - self.small) * cached:
            self.g.pop()
        (self.m if warm or slot in self.g else self.s).insert(0, slot)
        if slot in self.g:
            self.g.remove(slot)
        self.freq[slot] = 0

    def hit(self, slot: int) -> None:
        self.freq[slot] = min(self.freq[slot] + 1, 3)

    def forget(self, slot: int) -> None:
        for queue in (self.s, self.m, self.given_back):
            if slot in queue:
                queue.remove(slot)
                if queue is not self.given_back:
                    self.from_small[slot] = queue is self.s

    def relabel(self, slot: int, new: int) -> None:
        self.s = renamed(self.s, slot, new)
        self.m = renamed(self.m, slot, new)
        self.given_back = renamed(self.given_back, slot, new)
        if new in self.g:
            self.g.remove(new)  # what is cached has no ghost
        self.freq[new] = self.freq.pop(slot)
        if slot in self.from_small:
            self.from_small[new] = self.from_small.pop(slot)

    def next_queue(self) -> list[int]:
        return self.s if self.s and not (self.m and self.main_is_full()) else self.m

    def victim(self) -> int:
        while self.given_back:
            slot = self.given_back.pop()
            if not self.freq[slot]:
                if self.from_small[slot]:
                    self.g.insert(0, slot)
                return slot
            self.m.insert(0, slot)  # accessed after it was a victim: as good as a ghost hit
            self.freq[slot] = 0
        return self.evict_small() if self.next_queue() is self.s else self.evict_main()

    def evict_small(self) -> int:
        while self.s:
            slot = self.s.pop()
            if self.freq[slot] <= 1:
                self.g.insert(0, slot)
                self.from_small[slot] = True
                return slot
            self.m.insert(0, slot)
            self.freq[slot] = 0
            if self.main_is_full():
                break
        return self.evict_main()

    def evict_main(self) -> int:
        while self.freq[slot := self.m.pop()] > 0:
            self.m.insert(0, slot)
            self.freq[slot] -= 1
        self.from_small[slot] = False
        return slot

    def coldest(self) -> int:
        slot = self.evict()
        if slot >= 0:
            freq = self.freq[slot]
            self.restore(slot)
            self.freq[slot] = freq
        return slot

    def give_back(self, slot: int) -> None:
        if slot in self.g:
            self.g.remove(slot)
        self.freq[slot] = 0
        queue = self.s if self.from_small[slot] else self.m
        queue.append(slot)
        if self.given_back or self.next_queue() is not queue:
            queue.remove(slot)  # there it would not be next
            self.given_back.append(slot)
