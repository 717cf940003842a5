"""What the built-in allocators have in common: a flat pool does the work."""

from __future__ import annotations

import abc
from typing import Any, Protocol

import attrs

import coldpress
from coldpress import Buffer, PoolBudget


class Pool(Protocol):
    """A pool's flat state and all operations on it; see `Allocator` for what they promise."""

    @property
    def page_size(self) -> int: ...
    @property
    def objects(self) -> int: ...
    @property
    def pool_bytes(self) -> int: ...
    @property
    def metadata_bytes(self) -> int: ...
    def alloc(self, data: Buffer, owner: int = 0) -> int: ...
    def read(self, handle: int, length: int) -> bytes: ...
    def copy_into(self, handle: int, length: int, out: memoryview, at: int) -> None: ...
    def free(self, handle: int) -> None: ...
    def compact(self) -> int: ...
    def resident_bytes(self) -> int: ...
    def zspage(self, handle: int) -> coldpress.Zspage | None: ...
    def zspage_number(self, handle: int) -> int: ...
    def close(self) -> None: ...


@attrs.define(slots=False, eq=False, kw_only=True)
class PooledAllocator(coldpress.Allocator):
    """An allocator whose work is done by a `Pool`, an object of up to a page at a time.

    The four hot methods are the pool's own: bound after `open`, a call reaches compiled code.
    """

    @abc.abstractmethod
    def make_pool(self, budget: PoolBudget, page_size: int) -> Pool:
        """The pool, for `open`."""

    def open(self, budget: PoolBudget, page_size: int) -> None:
        self._pool = self.make_pool(budget, page_size)

    @property
    def alloc(self) -> Any:
        return self._pool.alloc

    @property
    def read(self) -> Any:
        return self._pool.read

    @property
    def copy_into(self) -> Any:
        return self._pool.copy_into

    @property
    def free(self) -> Any:
        return self._pool.free

    @property
    def max_size(self) -> int:
        return self._pool.page_size

    @property
    def objects(self) -> int:
        return self._pool.objects

    @property
    def pool_bytes(self) -> int:
        return self._pool.pool_bytes

    @property
    def metadata_bytes(self) -> int:
        return self._pool.metadata_bytes

    def zspage(self, handle: int) -> coldpress.Zspage | None:
        return self._pool.zspage(handle)

    def zspage_number(self, handle: int) -> int:
        return self._pool.zspage_number(handle)

    def compact(self) -> int:
        return self._pool.compact()

    def resident_bytes(self) -> int:
        return self._pool.resident_bytes()

    def close(self) -> None:
        self._pool.close()
