"""Objects that were written to the device, still compressed."""

from __future__ import annotations

import attrs

from coldpress import DeviceEntryType, EntryContext
from coldpress.roles import DeviceObject

# payload: device byte offset (42 bits: 4 TiB) | length - 1 (16) | read once (1)
_LENGTH = 42
_SEEN = 1 << 58
_OFFSET_MASK = (1 << _LENGTH) - 1
_LENGTH_MASK = (1 << 16) - 1


@attrs.define(slots=False, eq=False, kw_only=True)
class Packed(DeviceEntryType):
    """Objects on the device, inside a block, as they were compressed in the pool.

    The word holds the place and the length; codec, folio order and checksum stand in front of the
    object on the device, so that a page there costs no memory but its word.
    """

    name = "packed"
    largest_device = _OFFSET_MASK + 1

    def open(self, context: EntryContext) -> None:
        self._page_size = context.page_size
        self._codecs = context.codecs
        self._store = context.store

    def fetch(self, slot: int, payload: int) -> DeviceObject:
        return self._store.reference(slot, *self.locate(payload))

    def decode(self, token: DeviceObject) -> bytes:
        self._store.read(token)
        return self._codecs.decode(token.codec, token.data, self._page_size << token.order)

    def release(self, payload: int) -> None:
        self._store.space.release(*self.locate(payload))

    def place(self, offset: int, length: int) -> int:
        return offset | length - 1 << _LENGTH

    def locate(self, payload: int) -> tuple[int, int]:
        return payload & _OFFSET_MASK, (payload >> _LENGTH & _LENGTH_MASK) + 1

    def seen(self, payload: int) -> bool:
        return bool(payload & _SEEN)

    def mark_seen(self, payload: int) -> int:
        return payload | _SEEN
