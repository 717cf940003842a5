"""Allocators with one fault each."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

from coldpress import Buffer, PoolBudget, ReservedMapping
from coldpress.component import Component
from coldpress_plugins.allocators.zsmalloc import Zsmalloc


class Proxy:
    """A pool that does what another one does, which may be compiled."""

    def __init__(self, pool: Any, budget: PoolBudget) -> None:
        self.pool = pool
        self.budget = budget
        self.handles: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)

    def alloc(self, data: Buffer, owner: int = 0) -> int:
        handle: int = self.pool.alloc(data, owner)
        if handle != -1:
            self.handles.append(handle)
        return handle


class Proxied(Zsmalloc):
    """An allocator with something between itself and its pool."""

    proxy: ClassVar[type[Proxy]] = Proxy

    def make_pool(self, budget: PoolBudget, page_size: int) -> Any:
        return self.proxy(super().make_pool(budget, page_size), budget)


class _Overlapping(Proxy):
    """The first byte of a long object is where the one before it has its last."""

    def alloc(self, data: Buffer, owner: int = 0) -> int:
        handle = super().alloc(data, owner)
        if handle != -1 and len(self.handles) > 1 and len(data) > 2000:
            self.byte = bytes(data[:1])
        return handle

    def read(self, handle: int, length: int) -> bytes:
        data: bytes = self.pool.read(handle, length)
        if len(self.handles) > 1 and handle == self.handles[-2] and hasattr(self, "byte"):
            return data[:-1] + self.byte
        return data


class PutsObjectsOverEachOther(Proxied):
    """An object's end is another one's beginning."""

    proxy = _Overlapping


class _Leaking(Proxy):
    def free(self, handle: int) -> None:
        self.pool.free(handle)
        if self.pool.objects == 0:
            self.budget.take(1)


class LeaksTheBudget(Proxied):
    """Gives back a byte less than it took."""

    proxy = _Leaking


class _Generous(PoolBudget):
    """What is refused is used all the same."""

    def __init__(self, budget: PoolBudget) -> None:
        super().__init__(budget.limit)
        self.budget = budget

    def take(self, size: int) -> bool:
        if not self.budget.take(size):
            self.budget.used += size
        return True

    def give(self, size: int) -> None:
        self.budget.give(size)


class ExceedsTheLimit(Zsmalloc):
    """Uses what the budget refuses."""

    def make_pool(self, budget: PoolBudget, page_size: int) -> Any:
        return super().make_pool(_Generous(budget), page_size)


class _Forgetful(Proxy):
    lost = -1

    def compact(self) -> int:
        given: int = self.pool.compact()
        if given:
            self.lost = self.handles[-1]
        return given

    def read(self, handle: int, length: int) -> bytes:
        data: bytes = self.pool.read(handle, length)
        return bytes(length) if handle == self.lost else data


class LosesAnObjectInCompaction(Proxied):
    """One of the objects that move has no bytes afterwards."""

    proxy = _Forgetful


class _Patient(Proxy):
    def free(self, handle: int) -> None:
        with contextlib.suppress(ValueError):
            self.pool.free(handle)


class FreesTwice(Proxied):
    """A handle that is not allocated may be freed."""

    proxy = _Patient


class _Boastful(Proxy):
    @property
    def pool_bytes(self) -> int:
        return int(self.pool.pool_bytes) - 4096 * (self.pool.objects > 100)


class LiesAboutItsSize(Proxied):
    """One page is not counted."""

    proxy = _Boastful


class _Searching(Proxy):
    def free(self, handle: int) -> None:
        self.pool.free(handle)
        self.handles.remove(handle)


class SearchesToFree(Proxied):
    """Goes through all handles for the one that is freed."""

    proxy = _Searching


class _Hasty(Proxy):
    def copy_into(self, handle: int, length: int, out: memoryview, at: int) -> None:
        self.pool.copy_into(handle, length, out, at)
        if at + length < len(out):
            out[at + length] = 0


class WritesPastTheObject(Proxied):
    """Copies one byte more than the object has."""

    proxy = _Hasty


class _Slack(Proxy):
    def close(self) -> None:
        pass


class KeepsItsMemory(Proxied):
    """A closed pool's pages stay for as long as someone holds one of its methods."""

    proxy = _Slack


class _Careless(Proxy):
    """The first bytes of what was freed lately stay in some corner of the pool's memory."""

    def __init__(self, pool: Any, budget: PoolBudget) -> None:
        super().__init__(pool, budget)
        self.corner = ReservedMapping(PoolBudget(8192), 4096, 1)
        self.freed = 0

    def free(self, handle: int) -> None:
        at = self.freed % 256 * 16
        self.corner.view[at : at + 16] = self.pool.read(handle, 16)
        self.freed += 1
        self.pool.free(handle)


class LeavesWhatWasFreed(Proxied):
    """What was freed can be found where it was."""

    proxy = _Careless


FAULTS: dict[type[Component], str] = {
    PutsObjectsOverEachOther: "every length reads back",
    LeaksTheBudget: "every length reads back",
    ExceedsTheLimit: "a full pool refuses and changes nothing",
    LosesAnObjectInCompaction: "compaction keeps handles and bytes",
    FreesTwice: "a handle that is not allocated",
    LiesAboutItsSize: "a pool that was emptied fills again just as well",
    SearchesToFree: "no call costs more in a pool of many",
    WritesPastTheObject: "every length reads back",
    LeavesWhatWasFreed: "nothing of what was freed is left",
    KeepsItsMemory: "close gives the memory back",
}
