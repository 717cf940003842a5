"""Pages that do not shrink, kept as they are in whole pages of the pool."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress import EntryContext, PoolEntryType, ReservedMapping
from coldpress.codecs import STORED


@attrs.define(slots=False, eq=False, kw_only=True)
class Raw(PoolEntryType):
    """Pages that no other type takes, as they are, each in a whole page of the pool."""

    name = "raw"
    counts_as = "incompressible_pages"
    takes_all = True
    in_allocator = False

    def open(self, context: EntryContext) -> None:
        self._page_size = context.page_size
        self._count = 0
        self._pages = ReservedMapping(
            context.budget, context.page_size, context.budget.limit // context.page_size
        )

    @property
    def object_bytes(self) -> int:
        return self._count * self._page_size

    @property
    def metadata_bytes(self) -> int:
        return self._pages.metadata_bytes

    @property
    def resident_bytes(self) -> int:
        return self._pages.resident_bytes()

    def prepare(self, page: memoryview) -> Any | None:
        return page

    def commit(self, slot: int, prepared: Any) -> int:
        number = self._pages.acquire(self._page_size)
        if number >= 0:
            at = number * self._page_size
            self._pages.view[at : at + self._page_size] = prepared
            self._count += 1
        return number

    def fetch(self, slot: int, payload: int) -> bytes:
        at = payload * self._page_size
        return self._pages.view[at : at + self._page_size].tobytes()

    def decode(self, token: bytes) -> bytes:
        return token

    def release(self, payload: int) -> None:
        self._pages.release(payload, self._page_size)
        self._count -= 1

    def close(self) -> None:
        self._pages.close()

    def describe(self, payload: int) -> tuple[int, int, int]:
        return STORED, 0, self._page_size

    def copy_into(self, payload: int, out: memoryview, at: int) -> None:
        start = payload * self._page_size
        out[at : at + self._page_size] = self._pages.view[start : start + self._page_size]

    def adopts(self, codec: int, order: int, length: int) -> bool:
        return codec == STORED and not order and length == self._page_size

    def adopt(self, slot: int, codec: int, order: int, data: bytes) -> int:
        return self.commit(slot, data)
