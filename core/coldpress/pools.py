"""The allocators that a pipeline's objects lie in: the present one, and those on their way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from coldpress.budget import PoolBudget
from coldpress.entries import Entries
from coldpress.errors import ConfigError, Problem
from coldpress.roles.allocator import Allocator
from coldpress.roles.entry_type import EntryType, PoolEntryType


@attrs.frozen(eq=False)
class Pool:
    """An allocator, and by their tags the entry types whose objects lie in it."""

    allocator: Allocator
    types: Mapping[int, EntryType]


def open_allocator(allocator: Allocator, budget: PoolBudget, page_size: int) -> None:
    """Open it for the pool's limit. Raises `ConfigError` if there is no address space for it."""
    try:
        allocator.open(budget, page_size)
    except MemoryError as error:
        raise ConfigError([Problem("allocator.limit", str(error))]) from error


def first_pool(allocator: Allocator, entries: Entries, tags: Iterable[int]) -> Pool:
    """The pool of those of these tags whose types need the allocator."""
    types = {tag: one for tag in tags if (one := entries.types[tag]) and one.in_allocator}
    return Pool(allocator, types)


class Pools:
    """All pools that have objects, under one budget; new objects go to `current`.

    One that was replaced serves its objects until the last has left, by writeback, or because its
    slot was overwritten or invalidated. Then it is closed, and its tags are free for the next.

    Notes: not thread-safe; the pipeline calls under its lock.
    """

    def __init__(self, entries: Entries, current: Pool) -> None:
        self.current = current
        self._entries = entries
        self._retired: list[Pool] = []

    def replace(self, new: Pool) -> None:
        """New objects go to this one."""
        self._retired.append(self.current)
        self.current = new

    def take_back(self, old: Pool) -> None:
        """The last `replace` shall not have been; `old` was the one before."""
        self.current = old
        if old in self._retired:
            self._retired.remove(old)

    def reap(self) -> None:
        """Close what was replaced and has no objects any more. O(1) if nothing was."""
        if not self._retired:
            return
        counts = self._entries.counts
        for pool in [one for one in self._retired if not any(counts[tag] for tag in one.types)]:
            self._retired.remove(pool)
            self._entries.leave(pool.types)
            for one in pool.types.values():
                one.close()
            pool.allocator.close()

    @property
    def retired(self) -> int:
        """How many pools were replaced and still have objects."""
        return len(self._retired)

    @property
    def retired_pages(self) -> int:
        """How many slots have their object in a pool that was replaced."""
        return sum(self._entries.counts[tag] for pool in self._retired for tag in pool.types)

    @property
    def retired_for_good(self) -> int:
        """How many of these slots have an object that writeback can not take out."""
        counts = self._entries.counts
        return sum(
            counts[tag]
            for pool in self._retired
            for tag, one in pool.types.items()
            if not isinstance(one, PoolEntryType)
        )

    def compact(self) -> int:
        """Move the objects of each together; how many bytes went back to the system."""
        return sum(one.compact() for one in self._allocators())

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of the allocators' own tables."""
        return sum(one.metadata_bytes for one in self._allocators())

    def resident_bytes(self) -> int:
        """What the allocators' mappings have in RAM, as the operating system counts it."""
        return sum(one.resident_bytes() for one in self._allocators())

    def close(self) -> None:
        """Let go of all mappings."""
        for one in self._allocators():
            one.close()

    def _allocators(self) -> Iterator[Allocator]:
        return (pool.allocator for pool in [self.current, *self._retired])
