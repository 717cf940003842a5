"""Brotli: its built-in dictionary makes it the densest on text, and slow."""

from __future__ import annotations

import attrs
import brotli

from coldpress import Buffer, Compressor, option

_WINDOW_BITS = 16  # 64 KiB, the largest folio


@attrs.define(slots=False, eq=False, kw_only=True)
class Brotli(Compressor):
    """Brotli streams: the densest on text, slow to write, quick enough to read."""

    name = "brotli"
    quality: int = option(
        default=5,
        help="0 (fast) to 11 (dense)",
        validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(11)),
    )

    def compress(self, page: Buffer) -> bytes:
        data: bytes = brotli.compress(page, quality=self.quality, lgwin=_WINDOW_BITS)
        return data

    def decompress(self, data: Buffer, size: int) -> bytes:
        # decompress() would follow a hostile stream to any length: the stepwise call has a bound.
        decoder = brotli.Decompressor()
        page: bytes = decoder.process(data, output_buffer_limit=size)
        while len(page) < size and not decoder.is_finished():
            more = decoder.process(b"", output_buffer_limit=size - len(page))
            if not more:
                break
            page += more
        if len(page) > size:  # the bound is kept to within the decoder's own buffer
            raise ValueError(f"the stream holds more than {size} bytes")
        return page
