"""No compression, for pages that are compressed already and as a baseline."""

from __future__ import annotations

import attrs

from coldpress import Buffer, Compressor


@attrs.define(slots=False, eq=False, kw_only=True)
class NoCompression(Compressor):
    """Stores pages as they are: a baseline, and for pages compressed by their owner."""

    name = "none"

    def compress(self, page: Buffer) -> bytes:
        return bytes(page)

    def decompress(self, data: Buffer, size: int) -> bytes:
        if len(data) > size:
            raise ValueError(f"{len(data)} bytes for a page of {size}")
        return bytes(data)
