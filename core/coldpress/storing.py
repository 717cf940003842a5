"""Pages in: compressed without a lock, then published in one hold of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from coldpress.backpressure import Background, Inline
from coldpress.claims import STALE, Claim, Claims
from coldpress.entries import Entries
from coldpress.errors import PoolFull
from coldpress.locks import Gate
from coldpress.roles.entry_type import EntryType
from coldpress.swapcache import SwapCache

_NO_PLACE = 1 << 60  # no payload: the cache has become full


class Stores:
    """Stores pages and folios, all or nothing.

    `pool_full` makes the error for a pool without room.

    Notes: thread-safe.
    """

    def __init__(
        self,
        gate: Gate,
        claims: Claims,
        entries: Entries,
        backpressure: Inline | Background,
        cache: SwapCache,
        pool_full: Callable[[], PoolFull],
    ) -> None:
        self._gate = gate
        self._claims = claims
        self._entries = entries
        self._types = entries.types
        self._backpressure = backpressure
        self._cache = cache
        self._cached = cache.pages
        self._pool_full = pool_full

    def page(self, slot: int, page: memoryview) -> None:
        """Keep a page. Raises `PoolFull`, `PipelineClosed`, `PageRefused`."""
        # As `folio` does it, in fewer calls: this is the hot path.
        if self._cached and self._to_cache(slot, page, 1):
            return
        gate, backpressure = self._gate, self._backpressure
        while True:
            tag, one, prepared = self._claims.page(slot, page)
            with gate.lock:
                if gate.closed:
                    gate.check()
                backpressure.before_store()
                if self._types[tag] is not one:
                    continue  # its allocator was replaced meanwhile, and is closed already
                payload = -1 if backpressure.crowded else one.commit(slot, prepared)
                if payload < 0:
                    payload = self._wait(partial(self._commit, tag, one, slot, prepared))
                    if payload == STALE:
                        continue
                self._entries.publish(slot, tag, payload)
                backpressure.after_store()
                return

    def _commit(self, tag: int, one: EntryType, slot: int, prepared: Any) -> int:
        return one.commit(slot, prepared) if self._types[tag] is one else STALE

    def folio(self, slot: int, data: memoryview, pages: int) -> None:
        """Keep a folio of so many pages. Raises as `page` does."""
        if self._cached and self._to_cache(slot, data, pages):
            return
        while not self._publish(self._claims.folio(slot, data)):
            pass

    def _publish(self, claims: list[Claim]) -> bool:
        """Commit and publish; False if the pages have to be claimed anew."""
        with self._gate.entered():
            self._backpressure.before_store()
            commit = partial(self._claims.commit, claims)
            done = -1 if self._backpressure.crowded else commit()
            if done < 0:
                done = self._wait(commit)
            if done == STALE:
                return False
            for claim in claims:
                self._entries.publish_folio(claim.slot, claim.tag, claim.payload, claim.pages)
            self._backpressure.after_store()
        return True

    def _wait(self, commit: Callable[[], int]) -> int:
        """What `commit` returns once the pool has room. Raises `PoolFull`."""
        while True:
            payload = self._backpressure.wait_for_room(commit)
            if payload >= 0:
                return payload
            if not self._cache.squeeze():
                raise self._pool_full()

    def _to_cache(self, slot: int, data: memoryview, pages: int) -> bool:
        """Keep the pages as they are; False if they have to be compressed at once."""
        if pages > self._cached:
            return False
        while (early := self._claims.early(slot, data)) is not None:
            if self._publish([early]):
                return True
        cache, backpressure = self._cache, self._backpressure
        with self._gate.entered():
            backpressure.before_store()
            while not cache.closed_to_new:
                if cache.rewrite(slot, data, pages):
                    break
                if not cache.has_place(pages):
                    if not cache.shrink():
                        return False
                    self._gate.check()
                    continue
                commit = partial(self._commit_cached, slot, data, pages)
                payload = -1 if backpressure.crowded else commit()
                if payload < 0:
                    payload = backpressure.wait_for_room(commit)
                if payload == _NO_PLACE:
                    continue
                if payload < 0:
                    return False  # compressed, there may be room for it
                self._entries.publish_folio(slot, self._entries.cache_tag, payload, pages)
                break
            else:
                return False
            cache.stored()
            backpressure.after_store()
        return True

    def _commit_cached(self, slot: int, data: memoryview, pages: int) -> int:
        # While this store waited for room, others may have filled the cache, or drain it now.
        if self._cache.closed_to_new or not self._cache.has_place(pages):
            return _NO_PLACE
        return self._entries.cache_type.commit(slot, data)
