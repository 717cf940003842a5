"""Pages in: compressed without a lock, then published in one hold of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from coldpress.backpressure import Background, Inline
from coldpress.claims import Claim, Claims, commit_all
from coldpress.entries import Entries
from coldpress.errors import PoolFull
from coldpress.locks import Gate
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
        self._backpressure = backpressure
        self._cache = cache
        self._pool_full = pool_full

    def store(self, slot: int, data: memoryview, pages: int) -> None:
        """Keep a folio of so many pages. Raises `PoolFull`, `PipelineClosed`, `PageRefused`."""
        if self._cache.takes(pages) and self._to_cache(slot, data, pages):
            return
        if pages > 1:
            self._folio(self._claims.folio(slot, data))
            return
        tag, one, prepared = self._claims.page(slot, data)
        gate = self._gate
        with gate.lock:
            if gate.closed:
                gate.check()
            payload = self._admit(one.commit, slot, prepared)
            self._entries.publish(slot, tag, payload)
            self._backpressure.after_store()

    def _folio(self, claims: list[Claim]) -> None:
        with self._gate.entered():
            self._admit(commit_all, claims)
            for claim in claims:
                self._entries.publish(claim.slot, claim.tag, claim.payload, claim.pages)
            self._backpressure.after_store()

    def _admit(self, commit: Callable[..., int], *args: Any) -> int:
        """What `commit(*args)` returns, once the pool has room. Raises `PoolFull`."""
        backpressure = self._backpressure
        backpressure.before_store()
        payload = -1 if backpressure.crowded else commit(*args)
        while payload < 0:
            payload = backpressure.wait_for_room(partial(commit, *args))
            if payload < 0 and not self._cache.squeeze():
                raise self._pool_full()
        return payload

    def _to_cache(self, slot: int, data: memoryview, pages: int) -> bool:
        """Keep the pages as they are; False if they have to be compressed at once."""
        early = self._claims.early(slot, data)
        if early is not None:
            self._folio([early])
            return True
        cache, backpressure = self._cache, self._backpressure
        with self._gate.entered():
            backpressure.before_store()
            while not cache.rewrite(slot, data, pages):
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
                self._entries.publish(slot, self._entries.cache_tag, payload, pages)
                break
            cache.stored()
            backpressure.after_store()
        return True

    def _commit_cached(self, slot: int, data: memoryview, pages: int) -> int:
        # While this store waited for room, others may have filled the cache.
        if not self._cache.has_place(pages):
            return _NO_PLACE
        return self._entries.cache_type.commit(slot, data)
