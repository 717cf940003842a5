"""The policy role."""

from __future__ import annotations

import abc
from collections.abc import Iterator

import attrs

from coldpress.component import Component


@attrs.define(slots=False, eq=False, kw_only=True)
class Policy(Component):
    """Orders the slots whose objects are in the pool, and names victims.

    Every such slot is known to the policy exactly once, from `insert` until `remove` or `evict`.

    Attributes:
        metadata_bytes: resident bytes of the policy's tables.

    Notes:
        Not thread-safe: the pipeline calls under its lock. Every call but `order` is O(1),
        `evict` amortised. A slot costs flat table bytes, never a Python object.
    """

    @abc.abstractmethod
    def open(self, slots: int) -> None:
        """Make ready for the slots 0 to `slots` - 1, of which there are at most 2**32 - 2.

        Memory is taken as slots are used, not for all that might be: `SlotList` and
        `coldpress.flat.table` do so.
        """

    @abc.abstractmethod
    def insert(self, slot: int, warm: bool = False) -> None:
        """A new object is in the pool; `warm`: the slot was in use a short while ago.

        That is, its former object was in the pool still, or was invalidated lately.

        Raises `ValueError` if the slot is known already.
        """

    @abc.abstractmethod
    def touch(self, slot: int) -> None:
        """The slot was loaded from the pool."""

    @abc.abstractmethod
    def remove(self, slot: int) -> None:
        """The object left the pool, not as a victim. An unknown slot is no error."""

    @abc.abstractmethod
    def rename(self, slot: int, new: int) -> None:
        """The object known as `slot` is known as `new` from now on; an unknown `slot` is no error.

        Its place in the order stays, and all that the policy knows of it.

        Raises `ValueError` if both are known already.
        """

    @abc.abstractmethod
    def evict(self) -> int:
        """Take the coldest slot off and return it; -1 if there is none."""

    @abc.abstractmethod
    def restore(self, slot: int) -> None:
        """An evicted object comes back to the cold end: it is the very next victim again.

        It may be known by another of its folio's slots now, or it was another policy that named it,
        in whose place this one has come.
        """

    def coldest(self) -> int:
        """The slot that `evict` would name, or -1; the order stays as it is. O(1), amortised.

        What is here takes the first of `order`. A policy whose order does not begin at once has its
        own; it may keep what its search did on the way.
        """
        return next(self.order(), -1)

    @abc.abstractmethod
    def order(self) -> Iterator[int]:
        """All slots, in the order in which `evict` would name them if nothing else happened.

        O(slots) in all, changes nothing; the caller changes nothing while it iterates.
        """

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    @abc.abstractmethod
    def metadata_bytes(self) -> int: ...
