"""Which entry type takes which page: asked in their order, without a lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from coldpress.errors import PageRefused
from coldpress.roles.entry_type import EntryType, PoolEntryType

STALE = 1 << 61
"""In the place of a payload: the page has to be claimed anew, by the types that are there now."""


@attrs.define
class Claim:
    """Some slots' pages, taken by an entry type, and what its `commit` made of them."""

    slot: int
    pages: int
    tag: int
    one: EntryType
    prepared: Any
    payload: int = -1


class Claims:
    """The entry types that claim pages, each with its tag, in the order in which they are asked.

    `types` are all types by tag, as they are at any time: a type whose allocator was replaced may
    be closed between `prepare` and `commit`.

    Notes: thread-safe, but for what says that it runs under the pipeline's lock.
    """

    def __init__(
        self, types: Sequence[EntryType | None], tags: Sequence[int], page_size: int
    ) -> None:
        self._types = types
        self._page_size = page_size
        self.offer(tags)

    def offer(self, tags: Sequence[int]) -> None:
        """From now on the types with these tags are asked, in this order. Under the lock."""
        claimers = [(tag, one) for tag in tags if (one := self._types[tag])]
        pooled = [isinstance(one, PoolEntryType) or one.in_allocator for _, one in claimers]
        # Those before the first that needs the pool decide at a glance.
        self._early = claimers[: pooled.index(True) if True in pooled else len(pooled)]
        self._claimers: Sequence[tuple[int, EntryType]] = claimers

    def __len__(self) -> int:
        return len(self._claimers)

    def are_good(self, claims: Iterable[Claim]) -> bool:
        """Whether the types that made these claims are still there. Under the lock."""
        types = self._types
        return all(types[claim.tag] is claim.one for claim in claims)

    def commit(self, claims: Sequence[Claim]) -> int:
        """`commit_all`, or STALE."""
        return commit_all(claims) if self.are_good(claims) else STALE

    def page(self, slot: int, page: memoryview) -> tuple[int, EntryType, Any]:
        """The entry type that takes the page, with its tag and what its `commit` needs.

        Raises `PageRefused`.
        """
        for tag, one in self._claimers:
            prepared = one.prepare(page)
            if prepared is not None:
                return tag, one, prepared
        raise PageRefused(f"slot {slot}: no entry type takes this page; add 'raw' to entries")

    def folio(self, slot: int, pages: memoryview) -> list[Claim]:
        """One claim for all pages of a folio, or one for each. Raises `PageRefused`."""
        whole = self._whole(slot, pages, self._claimers)
        if whole is not None:
            return [whole]
        size = self._page_size
        count = len(pages) // size
        each = [self.page(slot + at, pages[at * size : (at + 1) * size]) for at in range(count)]
        return [Claim(slot + at, 1, *claim) for at, claim in enumerate(each)]

    def early(self, slot: int, pages: memoryview) -> Claim | None:
        """A claim that needs no room in the pool, and so no place in the cache; if there is one."""
        return self._whole(slot, pages, self._early)

    def _whole(
        self, slot: int, pages: memoryview, claimers: Sequence[tuple[int, EntryType]]
    ) -> Claim | None:
        count = len(pages) // self._page_size
        for tag, one in claimers:
            if one.folios or count == 1:
                prepared = one.prepare(pages)
                if prepared is not None:
                    return Claim(slot, count, tag, one, prepared)
        return None


def commit_all(claims: Sequence[Claim]) -> int:
    """Commit all of them, or none: 0, or -1 if the pool has no room; none if one raises, too.

    Under the pipeline's lock.
    """
    done: list[Claim] = []
    try:
        for claim in claims:
            claim.payload = claim.one.commit(claim.slot, claim.prepared)
            if claim.payload < 0:
                return -1
            done.append(claim)
    finally:
        if len(done) < len(claims):
            for claim in done:
                claim.one.release(claim.payload)
    return 0
