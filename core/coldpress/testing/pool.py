"""A pool in an allocator, with a copy of all that is in it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from coldpress.budget import PoolBudget
from coldpress.flat import OS_PAGE
from coldpress.roles import Allocator
from coldpress.testing.pages import same

PAGE = max(4096, OS_PAGE)


class Pool:
    """An opened allocator, its budget, and a copy of all that is in it."""

    def __init__(self, allocator: Allocator, limit: int) -> None:
        self.allocator = allocator
        self.budget = PoolBudget(limit)
        self.others = 0  # bytes of the budget that are not the allocator's
        self.stored: dict[int, bytes] = {}
        self._numbers = count(1)
        allocator.open(self.budget, PAGE)

    def content(self, length: int) -> bytes:
        """`length` bytes that nothing else in the pool holds, nor the same bytes shifted."""
        return random.Random(next(self._numbers)).randbytes(length)

    def alloc(self, length: int) -> int:
        """Store a new object; its handle, or -1."""
        data = self.content(length)
        handle = self.allocator.alloc(data)
        if handle != -1:
            assert 0 <= handle < 2**32
            assert handle not in self.stored, "one handle for two objects"
            self.stored[handle] = data
        return handle

    def fill(self, lengths: Iterator[int]) -> None:
        """Store objects until one is refused."""
        while self.alloc(next(lengths)) != -1:
            pass

    def free(self, handle: int) -> None:
        self.allocator.free(handle)
        del self.stored[handle]

    def free_all(self) -> None:
        for handle in list(self.stored):
            self.free(handle)

    def compact(self) -> int:
        before = self.allocator.pool_bytes
        given = self.allocator.compact()
        assert given == before - self.allocator.pool_bytes >= 0
        return given

    def check_counts(self) -> None:
        assert self.allocator.objects == len(self.stored)
        assert self.allocator.pool_bytes == self.budget.used - self.others
        assert self.allocator.pool_bytes >= sum(map(len, self.stored.values()))
        assert self.budget.used <= self.budget.limit
        assert self.allocator.resident_bytes() <= self.allocator.pool_bytes

    def check_contents(self) -> None:
        for handle, data in self.stored.items():
            assert same(self.allocator.read(handle, len(data)), data), f"object {handle} changed"

    def check(self) -> None:
        self.check_counts()
        self.check_contents()
