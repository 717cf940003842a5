"""ARC once more, slow and plain: the four lists of the paper, most recent first."""

from __future__ import annotations


class PaperArc:
    """FAST 2003, figure 4, for a cache that holds `c` pages; `request` is true for a hit."""

    def __init__(self, c: int) -> None:
        self.c = c
        self.p = 0.0
        self.t1: list[int] = []
        self.t2: list[int] = []
        self.b1: list[int] = []
        self.b2: list[int] = []

    def request(self, x: int) -> bool:
        t1, t2, b1, b2, c = self.t1, self.t2, self.b1, self.b2, self.c
        if x in t1 or x in t2:
            (t1 if x in t1 else t2).remove(x)
            t2.insert(0, x)
            return True
        if x in b1:
            self.p = min(self.p + max(len(b2) / len(b1), 1), c)
            self.replace(x)
            b1.remove(x)
            t2.insert(0, x)
        elif x in b2:
            self.p = max(self.p - max(len(b1) / len(b2), 1), 0)
            self.replace(x)
            b2.remove(x)
            t2.insert(0, x)
        else:
            if len(t1) + len(b1) == c:
                if len(t1) < c:
                    b1.pop()
                    self.replace(x)
                else:
                    t1.pop()
            elif len(t1) + len(t2) + len(b1) + len(b2) >= c:
                if len(t1) + len(t2) + len(b1) + len(b2) == 2 * c:
                    b2.pop()
                self.replace(x)
            t1.insert(0, x)
        return False

    def replace(self, x: int) -> None:
        t1 = self.t1
        if t1 and (len(t1) > self.p or (x in self.b2 and len(t1) == self.p)):
            self.b1.insert(0, t1.pop())
        else:
            self.b2.insert(0, self.t2.pop())


class ArcModel:
    """The same four lists, driven as a pool drives a policy."""

    def __init__(self) -> None:
        self.p = 0
        self.t1: list[int] = []
        self.t2: list[int] = []
        self.b1: list[int] = []
        self.b2: list[int] = []
        self.came_from: dict[int, int] = {}

    @property
    def known(self) -> set[int]:
        return {*self.t1, *self.t2}

    def insert(self, slot: int, warm: bool) -> None:
        c = len(self.known)
        if slot in self.b1:
            step = max(len(self.b2) // len(self.b1), 1)
            self.p = min(min(self.p, c) + step, c)
        elif slot in self.b2:
            step = max(len(self.b1) // len(self.b2), 1)
            self.p = max(min(self.p, c) - step, 0)
        again = warm or slot in self.b1 or slot in self.b2
        self.no_ghost(slot)
        (self.t2 if again else self.t1).insert(0, slot)
        c = len(self.known)
        while self.b1 and len(self.t1) + len(self.b1) > c:
            self.b1.pop()
        while len(self.b1) + len(self.b2) > c:
            self.b2.pop()

    def touch(self, slot: int) -> None:
        if slot in self.known:
            self.remove(slot)
            self.t2.insert(0, slot)

    def remove(self, slot: int) -> None:
        for queue in (self.t1, self.t2):
            if slot in queue:
                queue.remove(slot)
                self.came_from[slot] = 1 if queue is self.t1 else 2

    def rename(self, slot: int, new: int) -> None:
        if slot in self.known:
            self.no_ghost(new)
            self.t1 = [new if one == slot else one for one in self.t1]
            self.t2 = [new if one == slot else one for one in self.t2]

    def from_once(self) -> bool:
        return not self.t2 or len(self.t1) > self.p + 1

    def evict(self) -> int:
        if not self.known:
            return -1
        once = self.from_once()
        slot = (self.t1 if once else self.t2).pop()
        self.came_from[slot] = 1 if once else 2
        (self.b1 if once else self.b2).insert(0, slot)
        return slot

    def restore(self, slot: int) -> None:
        self.no_ghost(slot)
        back = self.t1 if self.came_from[slot] == 1 else self.t2
        for queue in (back, self.t2 if back is self.t1 else self.t1):
            queue.append(slot)
            if (self.t1 if self.from_once() else self.t2)[-1] == slot:
                return
            queue.pop()
        raise AssertionError("nowhere would it be the next victim")

    def no_ghost(self, slot: int) -> None:
        for ghosts in (self.b1, self.b2):
            if slot in ghosts:
                ghosts.remove(slot)

    def prediction(self) -> list[int]:
        """The slots as `evict` would name them if nothing else happened."""
        t1, t2 = list(self.t1), list(self.t2)
        found = []
        while t1 or t2:
            found.append((t1 if not t2 or len(t1) > self.p + 1 else t2).pop())
        return found
