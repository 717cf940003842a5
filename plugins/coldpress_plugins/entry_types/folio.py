"""Pages and folios that were stored lately, not compressed yet."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress import CacheEntryType, EntryContext, ReservedMapping
from coldpress.folio import MAX_BYTES

# payload: number of the extent (32 bits) | folio order (3)
_ORDER = 32
_NUMBER_MASK = (1 << 32) - 1


@attrs.define(slots=False, eq=False, kw_only=True)
class Folio(CacheEntryType):
    """Pages and folios as they were stored, in the swap cache in front of the pool."""

    name = "folio"

    def open(self, context: EntryContext) -> None:
        self._page_size = context.page_size
        self._pages = 0
        self._most = context.cache_pages
        # Each has the address space of the largest folio, and takes what it needs of it.
        extent = max(MAX_BYTES, context.page_size)
        self._extents = ReservedMapping(context.budget, extent, context.cache_pages)

    @property
    def pages(self) -> int:
        return self._pages

    @property
    def metadata_bytes(self) -> int:
        return self._extents.metadata_bytes

    @property
    def resident_bytes(self) -> int:
        return self._extents.resident_bytes()

    def commit(self, slot: int, prepared: Any) -> int:
        size = len(prepared)
        pages = size // self._page_size
        if self._pages + pages > self._most:
            return -1
        number = self._extents.acquire(size)
        if number < 0:
            return -1
        self._pages += pages
        payload = number | pages.bit_length() - 1 << _ORDER
        self.overwrite(payload, prepared)
        return payload

    def overwrite(self, payload: int, pages: memoryview, at: int = 0) -> None:
        start = self._range(payload)[0] + at * self._page_size
        self._extents.view[start : start + len(pages)] = pages

    def fetch(self, slot: int, payload: int) -> bytes:
        start, end = self._range(payload)
        return self._extents.view[start:end].tobytes()

    def decode(self, token: bytes) -> bytes:
        return token

    def span(self, payload: int) -> int:
        return 1 << (payload >> _ORDER)

    def release(self, payload: int) -> None:
        pages = self.span(payload)
        self._extents.release(payload & _NUMBER_MASK, pages * self._page_size)
        self._pages -= pages

    def close(self) -> None:
        self._extents.close()

    def _range(self, payload: int) -> tuple[int, int]:
        start = (payload & _NUMBER_MASK) * self._extents.extent
        return start, start + self.span(payload) * self._page_size
