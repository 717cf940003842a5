"""Pages whose contents were seen before, one copy for all slots that have them."""

from __future__ import annotations

from typing import Any

import attrs
import xxhash

from coldpress import EntryContext, EntryType
from coldpress_dedup.copies import Copies
from coldpress_dedup.sightings import Sight, Sightings

_SHARE = 4  # copies may take one part in so many of the pool's limit
_BYTES_PER_DIGEST = 1024  # of the pool's limit: more digests than pages find room in it
_SMALLEST = 32  # bytes that even the smallest object takes of the pool


@attrs.define(slots=False, eq=False, kw_only=True)
class Dedup(EntryType):
    """Identical pages share one compressed copy, which lives until the last of them has changed.

    Contents that are seen for the first time are left to the next entry type, which can write them
    back; only a digest is remembered. From the second time on they are kept here: a copy is made
    once, and each further slot with the same contents only counts a reference. Pages are the same
    if the compressed bytes are, compared in full; a digest alone proves nothing.

    Copies stay in the pool: they are never written back, whatever their slots' age. So no new ones
    are made once they take a quarter of the pool's limit; what has a copy then still shares it.

    Attributes:
        copies: how many there are.
        references: how many slots share them.
        copied_bytes: compressed bytes of the copies.

    Notes:
        Each page costs a hash of 64 bits; one that is claimed is compressed before it is compared,
        because a copy can be read only under the lock, where nothing may be decompressed.
        A folio is left to the other types as a whole; what they leave comes here page by page.
    """

    name = "dedup"
    in_allocator = True

    def open(self, context: EntryContext) -> None:
        limit = context.budget.limit
        most = limit // _SMALLEST
        self._page_size = context.page_size
        self._codecs = context.codecs
        self._largest = min(context.allocator.max_size, context.page_size)
        self._room = limit // _SHARE
        self._copies = Copies(context.allocator, most)
        self._seen = Sightings(limit // _BYTES_PER_DIGEST, most)
        self.references = 0

    def prepare(self, page: memoryview) -> Any | None:
        digest = xxhash.xxh3_64_intdigest(page)
        sight = self._seen.look(digest)
        if sight is Sight.FIRST or (sight is Sight.AGAIN and self._is_full()):
            return None
        codec, compress = self._codecs.current
        data = compress(page)
        return (digest, codec, data) if len(data) <= self._largest else None

    def commit(self, slot: int, prepared: Any) -> int:
        digest, codec, data = prepared
        number = self._seen.copy_of(digest)
        if number >= 0 and self._copies.is_same(number, codec, data):
            self._copies.share(number)
        else:
            # The first, or one of another compressor than before, or of other contents that happen
            # to have the same digest: those who share the older one keep it.
            number = self._copies.add(slot, codec, data)
            if number < 0:
                return -1
            self._seen.has_copy(digest, number)
        self.references += 1
        return number

    def fetch(self, slot: int, payload: int) -> tuple[int, bytes]:
        return self._copies.read(payload)

    def decode(self, token: tuple[int, bytes]) -> bytes:
        codec, data = token
        return self._codecs.decode(codec, data, self._page_size)

    def codec(self, payload: int) -> int:
        return self._copies.codec(payload)

    def release(self, payload: int) -> None:
        self.references -= 1
        if self._copies.drop(payload):
            self._seen.forget_copy(payload)

    @property
    def copies(self) -> int:
        return self._copies.count

    @property
    def copied_bytes(self) -> int:
        return self._copies.object_bytes

    @property
    def metadata_bytes(self) -> int:
        return self._copies.metadata_bytes + self._seen.metadata_bytes

    def _is_full(self) -> bool:
        # Each counts as what it takes at least, so that the numbers last: stores that are under way
        # may still come to be copies afterwards.
        taken = max(self._copies.object_bytes, _SMALLEST * self._copies.count)
        return taken >= self._room
