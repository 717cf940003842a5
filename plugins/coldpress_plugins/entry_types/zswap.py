"""Compressed objects in the pool."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress import EntryContext, PoolEntryType, Zspage
from coldpress.codecs import STORED
from coldpress_plugins.entry_types.chain import Chain

# payload: handle (32 bits) | length - 1 (16) | codec id (8) | folio order (3)
_LENGTH = 32
_CODEC = 48
_ORDER = 56
_HANDLE_MASK = (1 << 32) - 1
_LENGTH_MASK = (1 << 16) - 1
_CODEC_MASK = (1 << 8) - 1


@attrs.define(slots=False, eq=False, kw_only=True)
class Zswap(PoolEntryType):
    """Pages and folios compressed into the pool; what does not shrink is left to the next type.

    An object of more than a page is a chain of pieces. A folio whose object is larger than half a
    block of the packer is left, too: its pages are then compressed one by one.
    """

    name = "zswap"
    folios = True

    def open(self, context: EntryContext) -> None:
        self._page_size = context.page_size
        self._codecs = context.codecs
        self._allocator = context.allocator
        self._max_size = context.allocator.max_size
        self._context = context
        self._objects = Chain(context.allocator)
        self._alloc = context.allocator.alloc
        self._read = context.allocator.read
        self._bytes = 0

    @property
    def object_bytes(self) -> int:
        return self._bytes

    def prepare(self, page: memoryview) -> Any | None:
        size = len(page)
        if size > self._page_size:
            return self._prepare_folio(page)
        codec, compress = self._codecs.current
        data = compress(page)
        length = len(data)
        return (data, codec, 0) if length <= self._max_size and length <= size else None

    def _prepare_folio(self, pages: memoryview) -> Any | None:
        largest = min(self._context.largest_folio, len(pages))
        if not largest:
            return None
        codec, compress = self._codecs.current
        data = compress(pages)
        order = (len(pages) // self._page_size).bit_length() - 1
        return (data, codec, order) if len(data) <= largest else None

    def commit(self, slot: int, prepared: Any) -> int:
        data, codec, order = prepared
        return self._store(slot, codec, order, data)

    def fetch(self, slot: int, payload: int) -> tuple[int, bytes, int]:
        length = (payload >> _LENGTH & _LENGTH_MASK) + 1
        order = payload >> _ORDER
        read = self._objects.read if order else self._read
        data = read(payload & _HANDLE_MASK, length)
        return payload >> _CODEC & _CODEC_MASK, data, self._page_size << order

    def decode(self, token: tuple[int, bytes, int]) -> bytes:
        return self._codecs.decode(*token)

    def span(self, payload: int) -> int:
        return 1 << (payload >> _ORDER)

    def release(self, payload: int) -> None:
        length = (payload >> _LENGTH & _LENGTH_MASK) + 1
        self._objects.free(payload & _HANDLE_MASK, length)
        self._bytes -= length

    def describe(self, payload: int) -> tuple[int, int, int]:
        length = (payload >> _LENGTH & _LENGTH_MASK) + 1
        return payload >> _CODEC & _CODEC_MASK, payload >> _ORDER, length

    def copy_into(self, payload: int, out: memoryview, at: int) -> None:
        length = (payload >> _LENGTH & _LENGTH_MASK) + 1
        self._objects.copy_into(payload & _HANDLE_MASK, length, out, at)

    def zspage(self, payload: int) -> Zspage | None:
        if self._is_chain(payload):
            return None  # its pieces lie in several
        return self._allocator.zspage(payload & _HANDLE_MASK)

    def zspage_number(self, payload: int) -> int:
        if self._is_chain(payload):
            return -1
        return self._allocator.zspage_number(payload & _HANDLE_MASK)

    def _is_chain(self, payload: int) -> bool:
        return (payload >> _LENGTH & _LENGTH_MASK) + 1 > self._max_size

    def adopts(self, codec: int, order: int, length: int) -> bool:
        most = self._context.largest_folio if order else self._max_size
        return codec != STORED and length <= most

    def adopt(self, slot: int, codec: int, order: int, data: bytes) -> int:
        return self._store(slot, codec, order, data)

    def _store(self, slot: int, codec: int, order: int, data: bytes) -> int:
        handle = self._objects.store(data, slot) if order else self._alloc(data, slot)
        if handle < 0:
            return -1
        length = len(data)
        self._bytes += length
        return handle | length - 1 << _LENGTH | codec << _CODEC | order << _ORDER
