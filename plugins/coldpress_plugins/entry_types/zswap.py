"""Compressed objects in the pool."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress import EntryContext, PoolEntryType, Zspage
from coldpress.codecs import STORED

# payload: handle (32 bits) | length (17) | codec id (8)
_LENGTH = 32
_CODEC = 49
_HANDLE_MASK = (1 << 32) - 1
_LENGTH_MASK = (1 << 17) - 1


@attrs.define(slots=False, eq=False, kw_only=True)
class Zswap(PoolEntryType):
    """Pages compressed into the pool; what does not shrink is left to the next type."""

    name = "zswap"

    def open(self, context: EntryContext) -> None:
        self._page_size = context.page_size
        self._codecs = context.codecs
        self._compress = context.codecs.compress
        self._allocator = context.allocator
        self._max_size = context.allocator.max_size
        self._alloc = context.allocator.alloc
        self._read = context.allocator.read
        self._copy = context.allocator.copy_into
        self._free = context.allocator.free
        self._bytes = 0

    @property
    def object_bytes(self) -> int:
        return self._bytes

    def prepare(self, page: memoryview) -> Any | None:
        data = self._compress(page)
        length = len(data)
        return data if length <= self._max_size and length <= len(page) else None

    def commit(self, slot: int, prepared: Any) -> int:
        return self._store(slot, self._codecs.current, prepared)

    def fetch(self, slot: int, payload: int) -> tuple[int, bytes]:
        length = payload >> _LENGTH & _LENGTH_MASK
        return payload >> _CODEC, self._read(payload & _HANDLE_MASK, length)

    def decode(self, token: tuple[int, bytes]) -> bytes:
        codec, data = token
        return self._codecs.decode(codec, data, self._page_size)

    def release(self, payload: int) -> None:
        self._free(payload & _HANDLE_MASK)
        self._bytes -= payload >> _LENGTH & _LENGTH_MASK

    def describe(self, payload: int) -> tuple[int, int]:
        return payload >> _CODEC, payload >> _LENGTH & _LENGTH_MASK

    def copy_into(self, payload: int, out: memoryview, at: int) -> None:
        self._copy(payload & _HANDLE_MASK, payload >> _LENGTH & _LENGTH_MASK, out, at)

    def zspage(self, payload: int) -> Zspage | None:
        return self._allocator.zspage(payload & _HANDLE_MASK)

    def adopts(self, codec: int, length: int) -> bool:
        return codec != STORED and length <= self._max_size

    def adopt(self, slot: int, codec: int, data: bytes) -> int:
        return self._store(slot, codec, data)

    def _store(self, slot: int, codec: int, data: bytes) -> int:
        handle = self._alloc(data, slot)
        if handle < 0:
            return -1
        length = len(data)
        self._bytes += length
        return handle | length << _LENGTH | codec << _CODEC
