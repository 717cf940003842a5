"""The allocator role."""

from __future__ import annotations

import abc

import attrs

from coldpress.budget import PoolBudget
from coldpress.component import Buffer, Component, option
from coldpress.units import Size, format_size


@attrs.frozen
class Zspage:
    """Pages cut into equal objects.

    Attributes:
        number: which of all zspages it is.
        size: bytes of each object's room.
        pages: how many pages it has.
        owners: the slots that its objects were allocated for.
    """

    number: int
    size: int
    pages: int
    owners: list[int]


def _some(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"must be at least one byte, got {format_size(value)}")


@attrs.define(slots=False, eq=False, kw_only=True)
class Allocator(Component):
    """Keeps compressed objects in RAM under a byte limit.

    An object is 1 to `max_size` bytes and is known by a *handle*, a number from 0 to 2**32 - 1 that
    stays the same while the object lives, wherever the allocator moves it. The caller remembers
    an object's length; the allocator need not.

    Real memory is taken from the `PoolBudget` before it is touched and given back when it is
    returned to the operating system; `ReservedMapping` does both. What `budget.take` refuses is
    not used. So the sum of all real bytes never passes the limit.

    Attributes:
        limit: config key; the whole pool's limit in bytes, staged blocks included.
        max_size: the largest object that `alloc` takes, in bytes. Larger ones are stored `raw`.
        objects: how many objects are allocated.
        pool_bytes: real bytes in use for objects.
        metadata_bytes: resident bytes of the allocator's own tables.

    Notes:
        Not thread-safe: the pipeline calls under its lock. `alloc`, `free`, `read`, `copy_into` are
        the hot path: O(1) but for the copying, or amortised so.
    """

    limit: Size = option(
        default=Size(64 << 20),
        help="most bytes the pool may hold, staged blocks and raw pages included",
        validator=_some,
    )

    @abc.abstractmethod
    def open(self, budget: PoolBudget, page_size: int) -> None:
        """Reserve what is needed for `budget.limit` bytes in pages of `page_size`."""

    def largest_grant(self, page_size: int) -> int:
        """The most bytes that one `alloc` takes from the budget; called before `open`."""
        return page_size

    @property
    @abc.abstractmethod
    def max_size(self) -> int: ...

    @property
    @abc.abstractmethod
    def objects(self) -> int: ...

    @property
    @abc.abstractmethod
    def pool_bytes(self) -> int: ...

    @property
    @abc.abstractmethod
    def metadata_bytes(self) -> int: ...

    @abc.abstractmethod
    def alloc(self, data: Buffer, owner: int = 0) -> int:
        """Copy `data` in and return its handle; -1, and nothing changed, if there is no room.

        `owner` (below 2**32) is the slot that the object belongs to, for `zspage`.
        Raises `ValueError` for an object of no bytes or of more than `max_size`.
        """

    @abc.abstractmethod
    def read(self, handle: int, length: int) -> bytes:
        """A copy of the object's first `length` bytes.

        Like `free` and `copy_into`, raises `ValueError` for a handle that is not allocated, and
        for a length past the object's room.
        """

    @abc.abstractmethod
    def copy_into(self, handle: int, length: int, out: memoryview, at: int) -> None:
        """Copy the object's first `length` bytes to `out[at:at + length]`; nothing is allocated."""

    def zspage(self, handle: int) -> Zspage | None:
        """The zspage that the object shares with others; None if it shares none."""
        return None

    def zspage_number(self, handle: int) -> int:
        """The `number` of that zspage, or -1."""
        return -1

    @abc.abstractmethod
    def free(self, handle: int) -> None:
        """End the object, and leave nothing of it in the pool.

        Its bytes are overwritten, unless its pages go back to the system; empty ones do at once.
        """

    @abc.abstractmethod
    def compact(self) -> int:
        """Move objects together, handles unchanged; how many bytes went back to the system."""

    @abc.abstractmethod
    def resident_bytes(self) -> int:
        """What the pool's mapping has in RAM, as the operating system counts it."""

    def close(self) -> None:
        """Let go of the mapping. Nothing is called after this.

        It has no object any more, and so nothing of the budget; or the whole pipeline ends.
        """
